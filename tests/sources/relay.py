"""A relay in front of a server, over TCP or a Unix socket, which passes on or misbehaves as the test says."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from tests.sources.turning import outcome, reactor

Place = int | Path


class Mode(Enum):
    """The fate of a connection."""

    PASS = "all is passed on"
    HANG = "nothing is ever said"
    GARBAGE = "nonsense is answered"
    STOP = "the connection ends in the middle of the first answer"
    SPAM = "bytes without end"


class Relay:
    """
    A relay to the server at *target*. *mode* is that of the next connection; *connections* counts them.
    """

    def __init__(self, target: Place, at: Path | None = None) -> None:
        self.mode = Mode.PASS
        self.connections = 0
        self.open: set[_Front] = set()
        self._target = target
        self._at = at
        self._port: Any = None
        self._number = 0
        self.start()

    @property
    def place(self) -> Place:
        """The port, or the path of the socket."""
        return self._number if self._at is None else self._at

    def start(self) -> None:
        """Listen."""
        factory = Factory.forProtocol(lambda: _Front(self))
        factory.noisy = False
        if self._at is not None:
            self._port = reactor.listenUNIX(str(self._at), factory)
        else:
            self._port = reactor.listenTCP(self._number, factory, interface="127.0.0.1")
            self._number = self._port.getHost().port

    def start_again(self) -> None:
        """Listen, unless it does."""
        if self._port is None:
            self.start()

    def stop(self) -> None:
        """Be a server that is down: connections are refused, and those that there are end."""
        if self._port is not None:
            stopped, self._port = self._port.stopListening(), None
            outcome(stopped)
        for front in list(self.open):
            front.transport.abortConnection()

    def connect(self) -> Any:
        """Return a connection to the server itself."""
        target = self._target
        return (
            UNIXClientEndpoint(reactor, str(target))
            if isinstance(target, Path)
            else TCP4ClientEndpoint(reactor, "127.0.0.1", target)
        )


class _Front(Protocol):
    transport: Any

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.mode = relay.mode
        self.back: Any = None
        self._before = b""

    def connectionMade(self) -> None:
        self.relay.connections += 1
        self.relay.open.add(self)
        if self.mode is Mode.GARBAGE:
            self.transport.write(b"\x30\x05garbage\r\n\r\n" * 20)
        elif self.mode is Mode.SPAM:
            self.transport.write(b"\x30\x84\x7f\xff\xff\xff" + b"x" * 400_000)
        elif self.mode in (Mode.PASS, Mode.STOP):
            self.relay.connect().connect(Factory.forProtocol(lambda: _Back(self))).addErrback(self._failed)

    def dataReceived(self, data: bytes) -> None:
        if self.back is not None:
            self.back.transport.write(data)
        else:
            self._before += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.relay.open.discard(self)
        if self.back is not None:
            self.back.transport.loseConnection()

    def reached(self, back: _Back) -> None:
        """Send what has come meanwhile."""
        self.back = back
        back.transport.write(self._before)

    def _failed(self, failure: Failure) -> None:
        self.transport.abortConnection()


class _Back(Protocol):
    transport: Any

    def __init__(self, front: _Front) -> None:
        self.front = front

    def connectionMade(self) -> None:
        self.front.reached(self)

    def dataReceived(self, data: bytes) -> None:
        if self.front.mode is Mode.STOP:
            self.front.transport.write(data[: len(data) // 2])
            self.front.transport.loseConnection()
        else:
            self.front.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.front.transport.loseConnection()
