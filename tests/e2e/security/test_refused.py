"""Connections above a limit: each is told why where that costs little, and few of them stay open."""

from __future__ import annotations

import os
import socket

import pytest

from ftpsd.control.state.limits import MOST_REFUSED, MOST_REFUSED_OF_CLIENT
from tests.e2e.client import EXPLICIT, IPV4, TIMEOUT, ControlConnection, control
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Daemon
from tests.e2e.polling import eventually

MANY = 200


def descriptors(daemon: Daemon) -> int:
    """Return how many files and sockets the daemon has open."""
    assert daemon.process is not None
    return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))


def silent(daemon: Daemon, address: str) -> socket.socket:
    """Return a connection to the implicit port that says nothing."""
    return socket.create_connection((IPV4, daemon.ports.implicit), TIMEOUT, (address, 0))


def is_open(connection: socket.socket) -> bool:
    """Whether the server has neither said nor ended anything."""
    connection.setblocking(False)
    try:
        connection.recv(1)
    except BlockingIOError:
        return True
    except ConnectionError:
        pass
    return False


def still_open(connections: list[socket.socket], most: int) -> bool:
    """Whether no more than *most* are open."""
    return sum(map(is_open, connections)) <= most


@pytest.mark.parametrize("addresses", [1, 40])
def test_few_refused_connections_stay_open(start_daemon: StartDaemon, addresses: int) -> None:
    """Those that say nothing on the implicit port: four of an address and 64 in all; others are closed at once."""
    daemon = start_daemon({"limits": {"connections": 2}})
    kept = [control(daemon, EXPLICIT) for _ in range(2)]
    before = descriptors(daemon)
    connections = [silent(daemon, f"127.0.1.{1 + number % addresses}") for number in range(MANY)]
    most = min(MOST_REFUSED, addresses * MOST_REFUSED_OF_CLIENT)
    eventually(lambda: still_open(connections, most), "the others are closed")
    # And not because their time was over.
    assert is_open(connections[0])
    # A few are the daemon's own: the metrics port, which says that it is ready.
    assert descriptors(daemon) <= before + most + 4
    assert all(each.ask("NOOP").startswith("200") for each in kept)
    for each in kept:
        each.close()
    for connection in connections:
        connection.close()


def test_in_clear_each_is_told(start_daemon: StartDaemon) -> None:
    """It costs nothing there: 421 and the end come at once, though the client says and closes nothing."""
    daemon = start_daemon({"limits": {"connections": 2}})
    kept = [control(daemon, EXPLICIT) for _ in range(2)]
    before = descriptors(daemon)
    refused = [ControlConnection(IPV4, daemon.ports.explicit) for _ in range(MANY)]
    for connection in refused:
        assert connection.reply().startswith("421 Too many connections")
        assert connection.rest() == b""
    eventually(lambda: descriptors(daemon) <= before + 4, "all are closed")
    for connection in (*kept, *refused):
        connection.close()
