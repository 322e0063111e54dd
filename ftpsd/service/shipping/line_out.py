"""
One connection to a receiver of syslog: bytes out, at the receiver's speed, and an end that confirms them.

Syslog has no acknowledgement (RFC 5425). A written line has surely been read when the receiver answers our
close_notify, which comes behind all data, with its own. Some receivers (rsyslog with GnuTLS) end TCP instead; where
that is allowed, an orderly end of TCP behind our close_notify confirms as well. Any other end confirms nothing.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IPushProducer, IStreamClientEndpoint
from twisted.internet.protocol import Protocol
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import implementer


class Unconfirmed(Exception):
    """An end that confirms nothing; the text is for the operator."""


class TCPEnd:
    """How a TCP connection has ended."""

    is_orderly = False
    """Whether by FIN, and not by a reset or a timeout."""


class _Noted(ProtocolWrapper):
    """A connection whose end is noted before the protocol above it learns of it."""

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        factory: Any = self.factory
        factory.end.is_orderly = reason.check(ConnectionDone) is not None
        super().connectionLost(reason)  # type: ignore[no-untyped-call]


class _Noting(WrappingFactory):
    protocol = _Noted
    noisy = False

    def __init__(self, factory: IProtocolFactory, end: TCPEnd) -> None:
        super().__init__(factory)  # type: ignore[no-untyped-call]
        self.end = end


@implementer(IStreamClientEndpoint)
class NotedEndpoint:
    """*endpoint*, with the end of its connection noted in *end*."""

    def __init__(self, endpoint: IStreamClientEndpoint, end: TCPEnd) -> None:
        self._endpoint = endpoint
        self._end = end

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect, and return the protocol of *factory*."""
        connected: Deferred[Any] = self._endpoint.connect(_Noting(factory, self._end))
        return connected.addCallback(lambda wrapper: wrapper.wrappedProtocol)


@implementer(IPushProducer)
class LineOut(Protocol):
    """
    The protocol of the connection; `write` waits while the receiver does not read.

    *tcp* knows how the connection below TLS has ended; it is looked at where *is_fin_enough*.
    """

    def __init__(self, tcp: TCPEnd, *, is_fin_enough: bool) -> None:
        self._tcp = tcp
        self._is_fin_enough = is_fin_enough
        self._is_paused = False
        self._is_ending = False
        self._room: Deferred[None] | None = None
        self._end: Deferred[None] | None = None
        self._lost: Failure | None = None

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """Read nothing: receivers of syslog say nothing."""

    def write(self, data: bytes) -> Deferred[None]:
        """Send *data*; fire when there is room for more, fail when the connection is lost."""
        if self._lost is not None:
            return _failed(self._lost)
        transport: Any = self.transport
        transport.write(data)
        if not self._is_paused:
            return succeed(None)
        self._room = Deferred()
        return self._room

    def finish(self) -> Deferred[None]:
        """End the connection; fire when the receiver has confirmed all of it, fail when it has not."""
        if self._lost is not None:
            return _failed(self._lost)
        self._is_ending = True
        self._end = Deferred()
        transport: Any = self.transport
        transport.unregisterProducer()
        transport.loseConnection()
        return self._end

    def abort(self) -> None:
        """Sever the connection; harmless when it has ended."""
        transport: Any = self.transport
        if self._lost is None and transport is not None:
            transport.abortConnection()

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        is_notified, is_orderly = reason.check(ConnectionDone) is not None, self._tcp.is_orderly
        is_confirmed = self._is_ending and (is_notified or (self._is_fin_enough and is_orderly))
        if self._is_ending and is_orderly and not is_confirmed:
            text = "it ends TLS without close_notify, so nothing is confirmed; see confirm: fin"
            self._lost = Failure(Unconfirmed(text))
        else:
            self._lost = Failure(ConnectionLost("it closed the connection")) if is_notified else reason
        room, self._room = self._room, None
        end, self._end = self._end, None
        if room is not None:
            room.errback(self._lost)
        if end is not None:
            end.callback(None) if is_confirmed else end.errback(self._lost)

    # IPushProducer

    def pauseProducing(self) -> None:
        self._is_paused = True

    def resumeProducing(self) -> None:
        self._is_paused = False
        room, self._room = self._room, None
        if room is not None:
            room.callback(None)

    def stopProducing(self) -> None:
        """Nothing: the end of the connection is told by connectionLost."""


def _failed(reason: Failure) -> Deferred[None]:
    failed: Deferred[None] = Deferred()
    failed.errback(reason)
    return failed
