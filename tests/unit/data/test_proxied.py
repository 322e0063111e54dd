"""The header of a proxy is taken off a connection, and nothing behind it; what is late, wrong or too much is closed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest

from ftpsd.data.proxy_header import HEADER_TIMEOUT, HeaderStage
from ftpsd.data.sockets import DataSocket
from ftpsd.wire.proxy import Endpoint, Header, Proxied
from tests.reactor import PATIENCE, Reactor, tcp_pair

PROXY = "192.0.2.2"
HEADER = b"PROXY TCP4 198.51.100.7 203.0.113.1 40000 21\r\n"
REAL = Proxied(Endpoint("198.51.100.7", 40000), Endpoint("203.0.113.1", 21))


class Stage:
    """A stage that takes up to two connections, and what came of each."""

    def __init__(self) -> None:
        self.reactor: Any = Reactor()
        self.arrived: list[tuple[DataSocket, Header]] = []
        self.refused: list[tuple[str, str]] = []
        trusted = [ip_network("192.0.2.0/28"), ip_network("2001:db8::/64")]
        self.stage = HeaderStage(trusted, self.reactor, lambda *args: self.refused.append(args), most=2)
        self._ours: list[DataSocket] = []
        self._theirs: list[socket.socket] = []

    def connect(self, first: bytes = b"") -> socket.socket:
        """Connect through the proxy, with *first* already there; return the proxy's end."""
        ours, theirs = tcp_pair()
        theirs.sendall(first)
        sock = DataSocket(ours, self.reactor)
        self._ours.append(sock)
        self._theirs.append(theirs)
        self.stage.read(sock, PROXY, lambda sock, header: self.arrived.append((sock, header)))
        return theirs

    def why(self) -> str:
        """Return why the one connection that was refused was."""
        self.reactor.run_until(lambda: bool(self.refused))
        ((address, why),) = self.refused
        assert address == PROXY
        return why

    def close(self) -> None:
        for sock in self._ours:
            sock.close()
        for theirs in self._theirs:
            theirs.close()


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A stage, whose timers must all be gone at the end."""
    made = Stage()
    yield made
    made.stage.close()
    assert made.reactor.getDelayedCalls() == []
    assert made.reactor.watched == 0
    made.close()


def is_closed(theirs: socket.socket) -> bool:
    theirs.settimeout(PATIENCE)
    try:
        return theirs.recv(1) == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize(
    ("address", "trusted"),
    [(PROXY, True), ("192.0.2.16", False), ("2001:db8::1", True), ("2001:db8:1::1", False), ("fe80::1", False)],
)
def test_who_is_trusted(stage: Stage, address: str, trusted: bool) -> None:
    """The networks decide, of either family."""
    assert stage.stage.trusts(address) is trusted


def test_a_header_that_is_there_is_taken_at_once(stage: Stage) -> None:
    """Nothing is watched for it, and what follows it stays in the socket."""
    stage.connect(HEADER + b"\x16\x03\x01")
    stage.reactor.run_until(lambda: bool(stage.arrived))
    ((sock, header),) = stage.arrived
    assert header == REAL
    assert sock.socket.recv(100) == b"\x16\x03\x01"


def test_a_header_in_pieces(stage: Stage) -> None:
    """A piece is taken as it comes: a socket left readable would spin the reactor."""
    theirs = stage.connect()
    for at in range(0, len(HEADER), 7):
        theirs.sendall(HEADER[at : at + 7])
        stage.reactor.turn(PATIENCE)
        assert not stage.reactor.turn()
    assert [header for _, header in stage.arrived] == [REAL]


def test_silence(stage: Stage) -> None:
    """Closed when its time is over, not before."""
    theirs = stage.connect(HEADER[:20])
    stage.reactor.advance(HEADER_TIMEOUT - 0.1)
    assert stage.refused == []
    stage.reactor.advance(0.2)
    assert stage.why() == "no PROXY header in time"
    assert is_closed(theirs)


def test_no_header(stage: Stage) -> None:
    """Closed as soon as that is plain."""
    theirs = stage.connect(b"USER alice\r\n")
    assert stage.why() == "no PROXY header"
    assert is_closed(theirs)


def test_the_end_before_the_header(stage: Stage) -> None:
    """A check that only connects is not served."""
    stage.connect(HEADER[:20]).shutdown(socket.SHUT_WR)
    assert stage.why() == "closed before its PROXY header"


def test_too_many_at_once(stage: Stage) -> None:
    """The bound holds, and is free again when one has its header."""
    first, _ = stage.connect(), stage.connect()
    assert is_closed(stage.connect(HEADER))
    assert stage.why() == "too many connections wait for their header"
    first.sendall(HEADER)
    stage.reactor.run_until(lambda: len(stage.arrived) == 1)
    stage.connect(HEADER)
    stage.reactor.run_until(lambda: len(stage.arrived) == 2)


def test_closing_the_stage(stage: Stage) -> None:
    """A connection that still waits is closed, and nobody is told of a refusal."""
    theirs = stage.connect()
    stage.stage.close()
    assert is_closed(theirs)
    assert stage.refused == []
