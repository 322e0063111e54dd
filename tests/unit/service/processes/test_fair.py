"""A shared port: who has more sessions leaves the connection to the others, for a moment."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from ftpsd.processes.fair import LONGEST, STEP_BACK, FairPort
from tests.reactor import Reactor


class Port:
    """The port that the reactor's adoptStreamPort returns, as far as it is used; it counts what it accepts."""

    numberAccepts = 100

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.accepted: list[socket.socket] = []
        self.at_once: list[int] = []

    def fileno(self) -> int:
        return self.sock.fileno()

    def doRead(self) -> None:
        self.at_once.append(self.numberAccepts)
        try:
            self.accepted.append(self.sock.accept()[0])
        except BlockingIOError:
            pass  # another process was faster

    def stopReading(self) -> None:
        pass

    def stopListening(self) -> None:
        self.sock.close()


class Shared:
    """Two processes that accept from one socket, by one reactor; *surplus* is how far the first is ahead."""

    def __init__(self) -> None:
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.sock.setblocking(False)
        self.reactor = Reactor()
        self.surplus = 0
        self.port = Port(self.sock)
        self.fair = FairPort(self.port, lambda: self.surplus, self.reactor)
        self.clients: list[socket.socket] = []

    def connect(self) -> None:
        self.clients.append(socket.create_connection(self.sock.getsockname()[:2]))

    def close(self) -> None:
        for each in (*self.clients, *self.port.accepted, self.sock):
            each.close()


@pytest.fixture
def shared() -> Iterator[Shared]:
    """A shared socket."""
    made = Shared()
    yield made
    made.close()


def test_who_is_not_ahead_accepts_at_once(shared: Shared) -> None:
    """One connection at a time, so that the next one can go elsewhere."""
    shared.connect()
    shared.reactor.turn(1)
    assert (len(shared.port.accepted), shared.port.at_once) == (1, [1])


def test_who_is_ahead_steps_back_and_comes_back(shared: Shared) -> None:
    """Nothing is watched meanwhile; nobody took it, so it is taken here."""
    shared.surplus = 1
    shared.connect()
    shared.reactor.turn(1)
    assert (len(shared.port.accepted), shared.reactor.watched) == (0, 0)
    shared.reactor.advance(STEP_BACK)
    shared.reactor.turn(1)
    assert len(shared.port.accepted) == 1


@pytest.mark.parametrize(("surplus", "seconds"), [(1, STEP_BACK), (2, 4 * STEP_BACK), (50, LONGEST)])
def test_the_further_ahead_the_longer(shared: Shared, surplus: int, seconds: float) -> None:
    """But never so long that a client would notice."""
    shared.surplus = surplus
    shared.connect()
    shared.reactor.turn(1)
    (call,) = shared.reactor.getDelayedCalls()
    assert call.getTime() == pytest.approx(seconds)


def test_it_steps_back_for_each_connection(shared: Shared) -> None:
    """Having waited for one is no right to the next."""
    shared.surplus = 1
    shared.connect()
    shared.connect()
    shared.reactor.turn(1)
    shared.reactor.advance(STEP_BACK)
    shared.reactor.turn(1)
    shared.reactor.turn()
    assert (len(shared.port.accepted), shared.reactor.watched) == (1, 0)


def test_it_can_be_closed_at_any_time(shared: Shared) -> None:
    """Also while it steps back: nothing comes back to a closed socket."""
    shared.surplus = 1
    shared.connect()
    shared.reactor.turn(1)
    shared.fair.stopListening()
    assert shared.reactor.getDelayedCalls() == []
    assert (shared.reactor.watched, shared.sock.fileno()) == (0, -1)
