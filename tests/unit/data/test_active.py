"""Active mode: the server connects to the client, which may not be there."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from ftpsd.data.active import Dialer
from ftpsd.data.connection import DataConnection
from ftpsd.data.sockets import DataSocket
from ftpsd.data.trouble import Cause, Trouble
from tests.dataclient import DataClient
from tests.reactor import PATIENCE, Reactor
from tests.unit.data.side import CONNECT, HOST, Side
from tests.unit.data.test_transport import see_that_it_is_prepared


@pytest.fixture
def listener() -> Any:
    """A client's data port."""
    with socket.create_server((HOST, 0)) as server:
        server.settimeout(PATIENCE)
        yield server


def aim(side: Side, listener: socket.socket) -> None:
    side.dtp.aim(HOST, listener.getsockname()[1])


def test_the_server_connects_to_the_client(listener: socket.socket) -> None:
    """After PORT open() connects, from the address the client knows us by."""
    side = Side()
    aim(side, listener)
    opening = side.open()
    side.reactor.run_until(lambda: opening.is_over)
    assert isinstance(opening.result, DataConnection)
    assert listener.accept()[1][0] == HOST
    see_that_it_is_prepared(opening.result._socket.socket)


def test_the_server_is_the_tls_server_in_active_mode_too(listener: socket.socket) -> None:
    """RFC 4217, 7: who connected does not matter."""
    side = Side()
    side.protect()
    aim(side, listener)
    opening = side.open()
    DataClient(side.reactor, listener.accept()[0]).shake_hands(side.resuming())
    assert opening.result.is_secure


def test_a_client_that_does_not_listen(listener: socket.socket) -> None:
    """A refused connection is NOT_REACHED."""
    side = Side()
    aim(side, listener)
    listener.close()
    opening = side.open()
    side.reactor.run_until(lambda: opening.is_over)
    assert opening.trouble is Trouble.NOT_REACHED


def test_a_target_is_used_once(listener: socket.socket) -> None:
    """A second transfer needs a second PORT."""
    side = Side()
    aim(side, listener)
    side.open()
    assert not side.dtp.has_port


def full_backlog() -> tuple[socket.socket, list[socket.socket]]:
    """Return a listener whose queue is full: the next connection stays under way."""
    server = socket.create_server((HOST, 0), backlog=0)
    waiting: list[socket.socket] = []
    while True:
        client = socket.socket()
        client.settimeout(0.05)
        waiting.append(client)
        try:
            client.connect(server.getsockname())
        except TimeoutError:
            return server, waiting


@pytest.fixture
def unanswered() -> Any:
    """A client's data port that does not answer."""
    server, waiting = full_backlog()
    yield server
    for client in waiting:
        client.close()
    server.close()


def test_a_client_that_does_not_answer(unanswered: socket.socket) -> None:
    """The connection attempt has connect_timeout seconds."""
    side = Side()
    aim(side, unanswered)
    opening = side.open()
    assert not opening.is_over
    side.reactor.advance(CONNECT)
    assert opening.trouble is Trouble.NOT_REACHED
    assert side.reactor.watched == 0


def test_aborting_ends_the_attempt(unanswered: socket.socket) -> None:
    """ABOR while the server connects is answered at once, not when the attempt has timed out."""
    side = Side()
    aim(side, unanswered)
    opening = side.open()
    side.dtp.abort(Cause.ABOR)
    assert opening.is_over
    assert opening.trouble is Trouble.ABORTED


def test_forgetting_ends_the_attempt(unanswered: socket.socket) -> None:
    """A session that ends while the server connects leaves no timer and no socket."""
    side = Side()
    aim(side, unanswered)
    side.open()
    side.dtp.forget()
    assert (side.reactor.getDelayedCalls(), side.reactor.watched) == ([], 0)


def test_active_mode_that_is_off() -> None:
    """Without a dialer nobody is connected to."""
    side = Side(dialer=False)
    side.dtp.aim(HOST, 40000)
    assert side.open().trouble is Trouble.NOT_REACHED


def test_a_passive_port_replaces_the_target() -> None:
    """PASV after PORT: the server waits."""
    side = Side()
    side.dtp.aim(HOST, 40000)
    side.listen()
    side.arrive()
    assert isinstance(side.open().result, DataConnection)
    assert side.dtp.mode == "passive"


def test_a_target_replaces_the_passive_port() -> None:
    """PORT after PASV: the reservation returns to the pool."""
    side = Side()
    side.listen()
    side.dtp.aim(HOST, 40000)
    assert (side.ports.claimed, side.dtp.mode) == (0, "active")


@pytest.mark.parametrize("reached", ["192.0.2.254", "2001:db8::1"])
def test_the_address_the_client_reached_may_be_a_proxys(listener: socket.socket, reached: str) -> None:
    """An address that cannot be bound here, or is of the other family, is no reason not to connect."""
    reactor: Any = Reactor()
    arrived: list[object] = []
    Dialer(0, PATIENCE, reactor).dial(reached, HOST, listener.getsockname()[1]).addCallback(arrived.append)
    reactor.run_until(lambda: bool(arrived))
    (sock,) = arrived
    assert isinstance(sock, DataSocket)
    assert listener.accept()[1] == sock.socket.getsockname()
    sock.close()
