"""Sockets of data connections as the reactor sees them: readiness, told once."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from ftpsd.data.sockets import MOST_UNSENT, DataPort, DataSocket, keep_alive
from ftpsd.wire.address import plain_address
from tests.reactor import PATIENCE, Reactor, tcp_pair


class Watched:
    """A data socket, its client, and how often its owner was told."""

    def __init__(self) -> None:
        reactor: Any = Reactor()
        self.reactor = reactor
        ours, self.theirs = tcp_pair()
        self.socket = DataSocket(ours, self.reactor)
        self.told = 0

    def tell(self) -> None:
        self.told += 1


@pytest.fixture
def watched() -> Iterator[Watched]:
    """A connected data socket."""
    made = Watched()
    yield made
    made.socket.close()
    made.theirs.close()


def test_interface(watched: Watched) -> None:
    """The reactor finds every method it calls."""
    assert verifyObject(IReadWriteDescriptor, watched.socket)


def test_readiness_is_told_once(watched: Watched) -> None:
    """Watching is one-shot: the holder may lend the socket to a worker."""
    watched.socket.watch(watched.tell, read=True, write=True)
    watched.theirs.sendall(b"data")
    watched.reactor.run_until(lambda: watched.told > 0)
    watched.reactor.turn()
    assert (watched.told, watched.reactor.watched) == (1, 0)


def test_readiness_moves_no_byte(watched: Watched) -> None:
    """Bytes that have arrived are still there for whoever reads them."""
    watched.socket.watch(watched.tell, read=True)
    watched.theirs.sendall(b"data")
    watched.reactor.run_until(lambda: watched.told > 0)
    assert watched.socket.socket.recv(10) == b"data"


def test_an_unwatched_socket_is_not_told(watched: Watched) -> None:
    """unwatch() takes the socket out of the reactor's hands."""
    watched.socket.watch(watched.tell, write=True)
    watched.socket.unwatch()
    watched.reactor.turn()
    assert watched.told == 0


def test_an_error_counts_as_readiness(watched: Watched) -> None:
    """When the reactor reports a hang-up, the next read will say what it was."""
    watched.socket.watch(watched.tell, read=True)
    watched.socket.connectionLost(Failure(OSError()))
    assert watched.told == 1


def test_severing_reaches_the_client(watched: Watched) -> None:
    """sever() ends the connection and leaves the descriptor open for its holder."""
    watched.socket.sever()
    assert watched.theirs.recv(1) == b""
    assert watched.socket.socket.fileno() != -1


def test_severing_a_dead_connection_is_harmless(watched: Watched) -> None:
    """The peer may have been faster."""
    watched.theirs.close()
    watched.socket.sever()
    watched.socket.sever()


def test_closing_twice_is_harmless(watched: Watched) -> None:
    """The second close() does nothing, and nothing is watched behind it."""
    watched.socket.watch(watched.tell, read=True)
    watched.socket.close()
    watched.socket.close()
    assert watched.reactor.watched == 0


@pytest.mark.parametrize(
    ("host", "plain"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:0:1", "::ffff:0:1"),
    ],
)
def test_addresses_are_compared_in_one_form(host: str, plain: str) -> None:
    """No IPv6 mapping of an IPv4 address, no zone."""
    assert plain_address(host) == plain


class Listening:
    """A data port on loopback that accepts as it is told."""

    def __init__(self, *, accepts: bool) -> None:
        self.reactor: Any = Reactor()
        self.asked: list[str] = []
        self.arrived: list[DataSocket] = []
        self._accepts = accepts
        self.port: Any = DataPort(0, "127.0.0.1", self._accept, self.reactor)
        self.port.startListening()

    def _accept(self, host: str) -> Any:
        self.asked.append(host)
        return self.arrived.append if self._accepts else None

    def client(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port.getHost().port), PATIENCE)


def test_a_data_port_hands_the_socket_over() -> None:
    """An accepted connection goes to who expects it, by the client's address."""
    listening = Listening(accepts=True)
    with listening.client() as client:
        listening.reactor.run_until(lambda: bool(listening.arrived))
        client.sendall(b"data")
        (arrived,) = listening.arrived
        arrived.watch(lambda: None, read=True)
        assert listening.asked == ["127.0.0.1"]
        arrived.close()
    listening.port.stopListening()


def test_a_data_port_closes_on_strangers() -> None:
    """A connection nobody expects is closed, and the port listens on."""
    listening = Listening(accepts=False)
    for _ in range(2):
        with listening.client() as client:
            listening.reactor.turn(1)
            assert client.recv(1) == b""
    assert (listening.asked, listening.arrived) == (["127.0.0.1"] * 2, [])
    listening.port.stopListening()


def test_an_accepted_connection_is_prepared() -> None:
    """
    It has the options of its listener.

    The last record of a handshake is not held back (vsftpd 3.0.3). Silence is broken every two minutes: NAT gateways
    forget a connection that is silent for longer, and a client that has gone is noticed.
    """
    listening = Listening(accepts=True)
    with listening.client():
        listening.reactor.run_until(lambda: bool(listening.arrived))
        ours = listening.arrived[0].socket
        see_that_it_is_prepared(ours)
        ours.close()
    listening.port.stopListening()


def see_that_it_is_prepared(ours: socket.socket) -> None:
    """Look at the options of a socket for data."""
    assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
    assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == MOST_UNSENT
    assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    assert [ours.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [120, 30, 4]


def test_other_sockets_are_kept_alive_too() -> None:
    """The control connection's is one."""
    with socket.socket() as sock:
        keep_alive(sock)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 120
