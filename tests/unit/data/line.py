"""One data connection for a test: the server's end on a fake clock, the client's end in the test's hands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ftpsd.data.carry.pace import NO_LIMIT, Pace
from ftpsd.data.carry.quantum import Receiving, Sending, Transfer, whole
from ftpsd.data.connection import DataConnection
from ftpsd.data.holder import State
from ftpsd.data.sockets import DataSocket
from ftpsd.data.trouble import Cause
from ftpsd.tls.session_tls import SessionTLS
from ftpsd.workers import Workers
from tests.dataclient import DataClient, identity, new_client
from tests.reactor import Reactor, tcp_pair
from tests.unit.data.channels import ListSink
from tests.workers import InlineWorkers, QueueingWorkers

STALL = 300.0


class Ending:
    """The outcome of a Deferred."""

    def __init__(self, deferred: Deferred[Any]) -> None:
        self.is_over = False
        self.error: BaseException | None = None
        deferred.addCallbacks(self._succeeded, self._failed)

    def _succeeded(self, result: object) -> None:
        self.is_over = True

    def _failed(self, failure: Failure) -> None:
        self.is_over = True
        self.error = failure.value

    @property
    def is_good(self) -> bool:
        """Whether it has fired, and not with an error."""
        return self.is_over and self.error is None


class Line:
    """A data connection over loopback."""

    def __init__(self, workers: Workers | None = None) -> None:
        reactor: Any = Reactor()
        self.reactor = reactor
        self.queue = QueueingWorkers()
        ours, theirs = tcp_pair()
        self.socket = DataSocket(ours, self.reactor)
        self.client = DataClient(reactor, theirs)
        self.connection = DataConnection(self.socket, workers or InlineWorkers(), self.reactor)
        self.closed = Ending(self.connection.closed)
        self.moved: list[int] = []

    @classmethod
    def queued(cls) -> Line:
        """Return a line whose quanta wait in `queue` for the test."""
        queue = QueueingWorkers()
        line = cls(queue)
        line.queue = queue
        return line

    def carry(
        self, transfer: Transfer, *, pace: Pace = NO_LIMIT, stall_timeout: float = STALL, inline: bool = False
    ) -> Ending:
        """Carry *transfer*."""
        carried = self.connection.carry(transfer, pace, stall_timeout, progress=self.moved.append, inline=inline)
        return Ending(carried)

    def secure(self, timeout: float = 30.0) -> Ending:
        """Begin TLS."""
        return Ending(self.connection.secure(SessionTLS(identity()[0]), timeout))

    def secured(self) -> Line:
        """Do the TLS handshake."""
        secured = self.secure()
        self.client.shake_hands(new_client())
        assert secured.is_good
        return self

    def run_until(self, condition: Callable[[], bool]) -> None:
        """Let the reactor turn."""
        self.reactor.run_until(condition)


def line_in(state: State) -> tuple[Line, Ending | None]:
    """Return a line whose connection is in *state*, and what somebody waits for then."""
    line = Line.queued()
    waiting: Ending | None = None
    match state:
        case State.HANDSHAKE:
            waiting = line.secure()
        case State.READY:
            assert line.carry(Sending(whole(b"")), inline=True).is_good
        case State.WATCHED:
            waiting = line.carry(Receiving(ListSink()), inline=True)  # type: ignore[arg-type]
        case State.LENT:
            waiting = line.carry(Receiving(ListSink()))  # type: ignore[arg-type]
        case State.CLOSING:
            assert Ending(line.connection.finish(STALL)).is_good
        case State.CLOSED:
            line.connection.abort(Cause.ABOR)
    return line, waiting
