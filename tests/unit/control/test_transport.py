"""The control connection's transport: what is sent at once, and what needs a turn of the reactor."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from ftpsd.control.transport import ControlTransport


class Watched:
    """A reactor that only takes down who wants to read or write."""

    def __init__(self) -> None:
        self.readers: set[object] = set()
        self.writers: set[object] = set()

    def addReader(self, reader: object) -> None:
        self.readers.add(reader)

    def removeReader(self, reader: object) -> None:
        self.readers.discard(reader)

    def addWriter(self, writer: object) -> None:
        self.writers.add(writer)

    def removeWriter(self, writer: object) -> None:
        self.writers.discard(writer)


@pytest.fixture
def ends() -> Iterator[tuple[Any, socket.socket, Watched]]:
    """A transport, the client's socket, and who is watched."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    reactor: Any = Watched()
    port: Any = None
    transport = ControlTransport(ours, Protocol(), ("192.0.2.1", 1024), port, 1, reactor)
    yield transport, theirs, reactor
    ours.close()
    theirs.close()


def test_a_reply_leaves_at_once(ends: tuple[Any, socket.socket, Watched]) -> None:
    """What is written is with the client before the reactor has had a turn."""
    transport, client, reactor = ends
    transport.write(b"200 Fine.\r\n")
    assert (client.recv(100), reactor.writers) == (b"200 Fine.\r\n", set())


def test_a_close_gets_its_turn(ends: tuple[Any, socket.socket, Watched]) -> None:
    """curl's session after a download was held until the farewell timer: the reactor was never asked to close it."""
    transport, client, reactor = ends
    transport.write(b"221 Goodbye.\r\n")
    transport.loseConnection()
    assert reactor.writers == {transport}
    transport.connectionLost(Failure(transport.doWrite()))
    assert [client.recv(100), client.recv(100)] == [b"221 Goodbye.\r\n", b""]
