"""
An upgrade as the process that serves sees it: it starts its successor, and hands over when that serves.

    Succession(server, reactor).begin()  ->  what became of it, for `ftpsd upgrade`

Until the successor has said that it serves, nothing has changed here, and its failure changes nothing. From then on
this process accepts nobody, does nothing for the server as a whole, and lets its sessions come to their end.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd import __version__
from ftpsd.service.orders import Answers, OneConnection, Orders, Trouble
from ftpsd.service.outside import systemd
from ftpsd.service.upgrading.bequest import MOST_BEFORE, VARIABLE, Estate, Passed

# Seconds from its start until it serves. Nobody waits for it but the operator.
START: Final = 180.0
# Seconds until its exit status is known, once its link has ended.
LAST_WORD: Final = 2.0
# systemd's variables about this process, which are not true of another one.
NOT_INHERITED: Final = ("WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", VARIABLE)

log = Logger()


class Succeeded(Protocol):
    """A server that can have a successor."""

    def estate(self) -> Estate:
        """Return what it leaves."""

    @property
    def generation(self) -> int:
        """How many processes before it still have sessions."""

    @property
    def is_ending(self) -> bool:
        """Whether it has been told to stop."""

    def make_room(self) -> Deferred[None]:
        """Leave passive ports to the successor, which is about to accept clients."""

    def take_room_back(self) -> None:
        """Use all of them again: the successor has failed."""

    def retire(self) -> Deferred[None]:
        """Accept nobody and give the duties up; the Deferred fires when no other process need wait for them."""

    def dismiss_operators(self) -> None:
        """Close the connections of operators, who ask the successor from now on."""

    def answers_to_successor(self) -> Answers:
        """Return the answers to the successor's questions about the sessions that are left."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of an upgrade: a process with the number *pid* serves, or the *reasons* why the old one goes on."""

    pid: int = 0
    version: str = ""
    reasons: tuple[str, ...] = ()
    exit_code: int | None = None


class Succession:
    """The upgrades of *server*, one at a time and one that succeeds."""

    def __init__(self, server: Succeeded, reactor: Any) -> None:
        self._server = server
        self._reactor = reactor
        self._attempt: _Attempt | None = None

    def begin(self) -> Deferred[dict[str, Any]]:
        """Start a successor. Raises: Trouble where there can be none."""
        if self._attempt is not None:
            raise Trouble("an upgrade is under way already")
        why = why_not(self._server)
        if why:
            raise Trouble(why)
        attempt = self._attempt = _Attempt(self._server, self._reactor)

        def over(outcome: Outcome) -> dict[str, Any]:
            if outcome.reasons:
                self._attempt = None
                for reason in outcome.reasons:
                    log.error("the upgrade has failed, this process goes on: {reason}", reason=reason)
            return asdict(outcome)

        return attempt.begin().addCallback(over)

    def give_up(self) -> None:
        """End a successor that does not serve yet: the server has been told to stop."""
        if self._attempt is not None:
            self._attempt.give_up("the server was stopped meanwhile")


def why_not(server: Succeeded) -> str:
    """Return why *server* cannot have a successor now, "" where it can."""
    if server.is_ending:
        return "the server is stopping"
    if os.getpid() == 1:
        return "the server is process 1 of a container, which ends with it; start another container"
    if "serve" not in sys.orig_argv:
        return "this server was not started by `ftpsd serve`, and cannot start another one; restart it"
    if server.generation >= MOST_BEFORE:
        return (
            f"{server.generation} processes from before still have sessions; wait for them, or end them: "
            "`ftpsd who` lists them, `ftpsd kick` ends one"
        )
    return ""


class _Attempt(ProcessProtocol):
    """One successor, from its start until it serves or has failed."""

    def __init__(self, server: Succeeded, reactor: Any) -> None:
        self._server = server
        self._reactor = reactor
        self._result: Deferred[Outcome] = Deferred()
        self._reasons: list[str] = []
        self._pid: int | None = None
        self._waiter: Failure | None = None
        self._is_over = self._has_room = False
        self._serving: tuple[Outcome, Deferred[None]] | None = None
        self._timer: IDelayedCall | None = None
        own: Answers = {"born": self._born, "refused": self._refused, "room": self._room, "serving": self._serves}
        self._link = Orders({**own, **server.answers_to_successor()}, self._link_ended)

    def begin(self) -> Deferred[Outcome]:
        """Start the process; the Deferred never fails."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            passed = Passed()
            estate = self._server.estate()
            bequest = estate.left(theirs.fileno(), self._server.generation + 1, __version__, passed)
            environ = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
            environ[VARIABLE] = bequest.to_text()
            command = [sys.executable, *sys.orig_argv[1:]]
            log.info("an upgrade: {command} is started", command=" ".join(command))
            self._reactor.spawnProcess(self, command[0], command, environ, childFDs=passed.numbers)
            ours.setblocking(False)
            self._reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, OneConnection(self._link))
        self._timer = self._reactor.callLater(START, self.give_up, f"it did not serve within {START:.0f} s")
        return self._result

    def give_up(self, reason: str) -> None:
        """Kill it, unless it serves."""
        if not self._is_over and self._serving is None:
            self._reasons.append(reason)
            if self._pid is not None:
                try:
                    os.kill(self._pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass  # its end is about to be seen

    # --- what it says

    def _born(self, pid: int) -> None:
        self._pid = pid

    def _refused(self, reasons: list[str]) -> None:
        self._reasons += map(str, reasons)

    def _room(self) -> Deferred[None]:
        if self._is_over or self._server.is_ending:
            raise Trouble("the server is stopping")
        self._has_room = True
        return self._server.make_room()

    def _serves(self, pid: int, version: str) -> Deferred[None]:
        if self._is_over or self._server.is_ending:
            raise Trouble("the server is stopping")
        given: Deferred[None] = Deferred()
        self._serving = Outcome(pid, version), given
        self._hand_over()
        return given

    # --- what becomes of it

    def processEnded(self, reason: Failure) -> None:
        """Note the end of the process that waits for the successor (IProcessProtocol); it ends as that did."""
        self._waiter = reason
        if self._serving is not None:
            self._hand_over()
        elif not self._link.connected:
            self._fail()

    def _link_ended(self) -> None:
        if self._is_over:
            return
        if self._serving is not None or self._waiter is not None:
            self._fail()
        else:
            self._reactor.callLater(LAST_WORD, self._fail)

    def _hand_over(self) -> None:
        """Hand over, when the successor serves and is a child of the service manager."""
        if self._is_over or self._serving is None or self._waiter is None:
            return
        self._is_over = True
        self._stop_timer()
        outcome, given = self._serving
        log.info("process {pid}, ftpsd {version}, serves from now on", pid=outcome.pid, version=outcome.version)
        systemd.hand_over(outcome.pid)

        def retired(_: object) -> None:
            given.callback(None)
            self._result.callback(outcome)
            # The answer to the operator is written in the next turn of the reactor.
            self._reactor.callLater(0, self._reactor.callLater, 0, self._server.dismiss_operators)

        self._server.retire().addBoth(retired)

    def _fail(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._stop_timer()
        if self._has_room and not self._server.is_ending:
            self._server.take_room_back()
        code, how = _end_of(self._waiter)
        reasons = tuple(self._reasons) or (f"the new process {how} before it served; its log says why",)
        self._result.callback(Outcome(reasons=reasons, exit_code=code))

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()


def _end_of(waiter: Failure | None) -> tuple[int | None, str]:
    """Return the exit code of a process, where it has one, and how it ended."""
    if waiter is None:
        return None, "ended"
    end: Any = waiter.value
    if isinstance(end, ProcessDone):
        return 0, "ended"
    if end.signal is not None:
        return None, f"was killed by signal {end.signal}"
    return end.exitCode, f"ended with exit code {end.exitCode}"
