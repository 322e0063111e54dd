"""
The process before this one, as its successor sees it: it has left open sockets, and sessions of its own that go on.

Until it has handed its duties over, this process accepts clients and does nothing else for the server as a whole. When
the link between both ends, the other process is gone, however that came.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd import __version__
from ftpsd.audit.bus import AuditBus
from ftpsd.audit.events import Event, Reloaded, ReloadFailed
from ftpsd.audit.metrics import Metrics
from ftpsd.config.model import Listener
from ftpsd.service.listeners import ANY_IPV4, ANY_IPV6
from ftpsd.service.orders import OneConnection, Orders
from ftpsd.service.upgrading.bequest import Bequest
from ftpsd.service.upgrading.birth import Watched

# Seconds for the answer to a question; the other process serves clients, too.
ANSWER: Final = 5.0
# Seconds between two looks at how many sessions it still has, for the metric.
LOOK: Final = 5.0

log = Logger()


class Predecessor:
    """The giver of *bequest*; *watched* lets the process that waits for our start end."""

    def __init__(self, bequest: Bequest, watched: Watched, reactor: Any) -> None:
        self.bequest = bequest
        self._watched = watched
        self._reactor = reactor
        self.is_there = True
        self.has_handed_over = False
        self._link = Orders({}, self._has_gone)
        self._gone: list[Callable[[], object]] = []
        self._sessions = 0
        self._looking: LoopingCall | None = None

    def sockets_of(self, listener: Listener) -> list[int]:
        """Return the sockets of *listener* that are open already; they stay open."""
        if listener.socket is not None:
            return self.bequest.named_sockets().get(listener.socket, [])
        addresses = [listener.address] + ([ANY_IPV4] if listener.address == ANY_IPV6 else [])
        found = (self.bequest.listening_at(address, listener.port) for address in addresses)
        return [each for each in found if each is not None][:1]

    def close_copies(self) -> None:
        """Close the sockets that it has left, when those that are wanted have been adopted: the others end with it."""
        for descriptor in self.bequest.sockets:
            os.close(descriptor)

    def follow(self, bus: AuditBus, metrics: Metrics) -> None:
        """Have it follow what happens to the configuration here, and *metrics* tell of its sessions."""
        metrics.watch_sessions_before(lambda: self._sessions)

        def tell(event: Event, _: float) -> None:
            if isinstance(event, Reloaded):
                self.ask("reload", version=__version__)
            else:
                self.ask("reopen-log")

        bus.subscribe(tell, Reloaded, ReloadFailed)

    def connect(self) -> None:
        """Begin to speak with it."""
        link = self.bequest.link
        self._reactor.adoptStreamConnection(link, socket.AF_UNIX, OneConnection(self._link))
        os.close(link)

    def make_room(self) -> Deferred[Any]:
        """Have it leave passive ports: we are about to accept clients."""
        return self._link.ask("room").addErrback(_gone)

    def take_over(self) -> Deferred[Any]:
        """Tell it that we serve; the Deferred fires when what it did for the whole server is ours to do."""
        self._watched.over()

        def handed_over(_: object) -> None:
            self.has_handed_over = True
            self._looking = LoopingCall(self._look)
            self._looking.clock = self._reactor
            self._looking.start(LOOK)
            # Users may have been disabled or removed since it has read the files. Those of another version are not for
            # it: see `Handover.answers_to_successor`.
            if self.bequest.version == __version__:
                self.ask("reload", version=__version__)

        asked = self._link.ask("serving", pid=os.getpid(), version=__version__)
        return asked.addErrback(_gone).addCallback(handed_over)

    def refuse(self, reasons: list[str]) -> Deferred[Any]:
        """Tell it why this process will not serve; the Deferred fires when it knows, or does not listen."""
        return self._link.ask("refused", reasons=reasons).addTimeout(ANSWER, self._reactor).addErrback(lambda _: None)

    def when_gone(self, function: Callable[[], object]) -> None:
        """Call *function* when it has ended."""
        if self.is_there:
            self._gone.append(function)
        else:
            function()

    def ask(self, question: str, **arguments: object) -> Deferred[Any]:
        """Ask it; None where it has ended or does not answer, which is logged."""
        if not self.is_there:
            return succeed(None)

        def failed(failure: Failure) -> None:
            if failure.check(ConnectionDone, ConnectionLost):
                self.is_there = False  # which the link tells a moment later
            if self.is_there:
                why = failure.getErrorMessage() or type(failure.value).__name__
                log.warn("the process before this one does not answer `{question}`: {why}", question=question, why=why)

        return self._link.ask(question, **arguments).addTimeout(ANSWER, self._reactor).addErrback(failed)

    def _look(self) -> Deferred[None]:
        """Note how many sessions it still has, and those before it."""

        def noted(told: Mapping[str, int] | None) -> None:
            if told is not None:
                self._sessions = told["sessions"]

        return self.ask("progress").addCallback(noted)

    def _has_gone(self) -> None:
        self.is_there = False
        self._sessions = 0
        if self._looking is not None and self._looking.running:
            self._looking.stop()
        log.info("the process before this one has ended")
        gone, self._gone = self._gone, []
        for function in gone:
            function()


def _gone(failure: Failure) -> None:
    """Go on where the other process is dead: its end is a way to hand over, too."""
    failure.trap(ConnectionDone, ConnectionLost)
