"""
A process as the supervisor sees it: started, asked, replaced when it dies.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import (
    ConnectionDone,
    ConnectionLost,
    ProcessDone,
    ProcessExitedAlready,
    ProcessTerminated,
)
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

import ftpsd
from ftpsd.processes.seat import Place
from ftpsd.processes.sums import Families, from_text
from ftpsd.service.orders import OneConnection, Orders

# Seconds for an answer; a process that does not answer this many times in a row hangs, and is killed. Together they are
# the watchdog's time for a server of one process.
ANSWER = 5.0
MOST_MISSED = 6
# Seconds from its start to the first connection; reading 10,000 users takes two.
START = 60.0
# Seconds until a dead process is replaced, by how many have died in the last minute.
DELAYS = (0.1, 0.5, 2.0, 5.0)
MINUTE = 60.0
# systemd's variables for the supervisor are not for its children.
NOT_INHERITED = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
FIRST_DESCRIPTOR = 3

log = Logger()


class Child(ProcessProtocol):
    """
    One process, from its start to its end.

    *began* is called when it accepts connections, *ended* with a sentence when it is dead.
    """

    def __init__(self, index: int, began: Callable[[Child], None], ended: Callable[[Child, str], None]) -> None:
        self.index = index
        self.is_ready = False
        self.exit_code: int | None = None
        self.version = 0
        self.missed = 0
        self.families: Families = {}
        self.status: Mapping[str, object] = {}
        self.ports: Mapping[str, int] = {}
        """The passive ports of its busiest clients, by address."""
        self.orders = Orders({"ready": self._ready})
        self._began = began
        self._ended = ended
        self._reactor: Any = None
        self._process: IProcessTransport | None = None
        self._report: Deferred[None] | None = None

    @property
    def name(self) -> str:
        """The name of the process for people."""
        return f"process {self.index + 1}"

    @property
    def pid(self) -> int | None:
        """Its process id."""
        return None if self._process is None else self._process.pid

    # --- life

    def start(
        self,
        reactor: Any,
        path: Path,
        count: int,
        listeners: Sequence[Sequence[int]],
        table: int,
        homes: int,
        deadlines: int,
        records: int,
        arrivals: int,
        configuration: int,
    ) -> None:
        """Start it, with the descriptors it is to have."""
        self._reactor = reactor
        ours, theirs = socket.socketpair()
        with ours, theirs:
            descriptors: dict[int, int] = {number: number for number in range(FIRST_DESCRIPTOR)}

            def passed(descriptor: int) -> int:
                number = len(descriptors)
                descriptors[number] = descriptor
                return number

            place = Place(
                index=self.index,
                count=count,
                path=str(path),
                listeners=tuple(tuple(map(passed, each)) for each in listeners),
                table=passed(table),
                homes=passed(homes),
                deadlines=passed(deadlines),
                records=passed(records),
                arrivals=passed(arrivals),
                configuration=passed(configuration),
                link=passed(theirs.fileno()),
            )
            environ = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
            self._process = reactor.spawnProcess(
                self, sys.executable, command(place.to_text()), environ, childFDs=descriptors
            )
            ours.setblocking(False)
            reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, OneConnection(self.orders))
        reactor.callLater(START, self._is_late)

    def signal(self, name: str) -> None:
        """Send a signal: "TERM" drains, "KILL" kills."""
        if self._process is not None:
            try:
                self._process.signalProcess(name)
            except ProcessExitedAlready:
                pass  # it was faster

    def processEnded(self, reason: Failure) -> None:
        """Report how it ended (IProcessProtocol)."""
        self._process = None
        self.is_ready = False
        self.exit_code, sentence = _how(reason)
        self._ended(self, sentence)

    def _ready(self, version: int) -> None:
        self.is_ready = True
        self.version = version
        self._began(self)

    def _is_late(self) -> None:
        if self._process is not None and not self.is_ready:
            log.error("{name} does not come up and is killed", name=self.name)
            self.signal("KILL")

    # --- questions

    def ask(self, question: str, seconds: float = ANSWER, **arguments: object) -> Deferred[Any]:
        """Ask; fails when it does not answer within *seconds*."""
        return self.orders.ask(question, **arguments).addTimeout(seconds, self._reactor)

    def look(self) -> Deferred[None]:
        """Have `families` and `status` brought up to date; one that hangs keeps the old, and is killed in the end."""
        if self._report is None:

            def arrived(told: dict[str, Any]) -> None:
                self.families, self.status = from_text(told["metrics"]), told["status"]
                self.ports = told["ports"]
                self.missed = 0

            def missed(failure: Failure) -> None:
                if failure.check(ConnectionDone, ConnectionLost):
                    return  # it has ended, which is reported by itself
                self.missed += 1
                log.warn("{name} does not answer: {why}", name=self.name, why=failure.getErrorMessage())
                if self.missed >= MOST_MISSED:
                    log.error("{name} hangs and is killed", name=self.name)
                    self.signal("KILL")

            def over(_: object) -> None:
                self._report = None

            self._report = self.ask("report").addCallback(arrived).addErrback(missed)
            looking = self._report
            looking.addCallback(over)
        else:
            looking = self._report
        result: Deferred[None] = Deferred()
        looking.chainDeferred(result)
        return result


class Deaths:
    """The recent deaths of the processes at one place, and the consequence."""

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._times: deque[float] = deque(maxlen=len(DELAYS) + 1)

    def delay_after(self) -> float | None:
        """Note one more; return the seconds until the place is filled again, None when that has no sense any more."""
        now = self._seconds()
        self._times.append(now)
        recent = sum(now - moment < MINUTE for moment in self._times)
        return DELAYS[recent - 1] if recent <= len(DELAYS) else None


def command(place: str) -> list[str]:
    """Return the command that starts a process; nothing is imported from the working directory, unless we were."""
    unsafe = [] if Path(ftpsd.__file__).resolve().parents[1] == Path.cwd() else ["-P"]
    return [sys.executable, *unsafe, "-m", "ftpsd.processes", place]


def _how(reason: Failure) -> tuple[int | None, str]:
    """Return the exit code and a sentence."""
    end = reason.value
    if isinstance(end, ProcessDone):
        return 0, "ended by itself"
    assert isinstance(end, ProcessTerminated)
    if end.signal is not None:
        return None, f"was killed by signal {end.signal}"
    return end.exitCode, f"ended with exit code {end.exitCode}"
