"""One client that wants everything: ports, memory, connections. Others are still served."""

from __future__ import annotations

import socket
import ssl

import pytest

from tests.e2e.client import CLEAR, EXPLICIT, IPV4, TIMEOUT, ControlConnection, Way, content, control, read_all
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Daemon
from tests.e2e.polling import eventually
from tests.tools import missing

OTHER = "127.0.0.2"
MIB = 1024 * 1024
MEMORY = "process_resident_memory_bytes"
# The cost of many megabytes of commands at most: buffers are some hundred kilobytes.
GROWTH = 48 * MIB


@pytest.fixture
def few_ports(start_daemon: StartDaemon) -> Daemon:
    """A daemon with three passive ports, in clear."""
    daemon = start_daemon({"tls": {"require": "none"}})
    first = daemon.ports.passive[0]
    daemon.stop()
    return start_daemon({"tls": {"require": "none"}, "passive": {"ports": f"{first}-{first + 2}"}})


def from_other(daemon: Daemon) -> ControlConnection:
    """Return a session in clear from another address."""
    try:
        connection = ControlConnection(IPV4, daemon.ports.explicit, OTHER)
    except OSError:
        missing(f"the address {OTHER}")
    assert connection.reply().startswith("220")
    return connection


def test_one_address_cannot_take_the_ports_of_others(few_ports: Daemon) -> None:
    """All three ports are reserved by one address: it waits and is refused, the others do not notice."""
    greedy, honest = few_ports.account(), few_ports.account()
    (honest.home / "file").write_bytes(content(100_000))
    sessions = [control(few_ports, CLEAR) for _ in range(4)]
    for connection in sessions:
        connection.log_in(greedy)
    for connection in sessions[:3]:
        connection.passive()
    sessions[3].send("EPSV")
    other = from_other(few_ports)
    other.log_in(honest)
    data = socket.create_connection(other.passive(), TIMEOUT, (OTHER, 0))
    assert other.ask("RETR file").startswith("150")
    assert read_all(data) == content(100_000)
    assert other.reply().startswith("226")
    assert sessions[3].reply().startswith("425")
    sessions[0].close()
    eventually(lambda: sessions[3].ask("EPSV").startswith("229"), "a port is free again")


def test_one_session_holds_one_port(few_ports: Daemon) -> None:
    """However often it asks."""
    connection = control(few_ports, CLEAR)
    connection.log_in(few_ports.account())
    for _ in range(50):
        connection.passive()
    eventually(lambda: few_ports.metrics()['ftpsd_passive_ports{state="reserved"}'] == 1, "all ports but one are free")
    connection.close()


@pytest.mark.parametrize(
    "flood",
    [b"NOOP\r\n", b"HELP\r\n", b"A" * 60_000, b"\0" * 60_000, b"\xff\xfd\x06" * 20_000, b"\r\n" * 30_000],
    ids=["NOOP", "HELP", "A", "NUL", "telnet", "empty"],
)
def test_a_flood_costs_no_memory(tls_daemon: Daemon, flood: bytes) -> None:
    """Megabytes from a client that reads nothing: it is closed or no longer read from, and others are answered."""
    before = tls_daemon.metrics()[MEMORY]
    greedy = control(tls_daemon, EXPLICIT)
    assert isinstance(greedy.sock, ssl.SSLSocket)
    greedy.sock.settimeout(1)
    block = flood * (60_000 // len(flood))
    try:
        for _ in range(500):
            greedy.sock.sendall(block)
    except OSError:
        pass  # not read from any more, or closed
    other = control(tls_daemon, EXPLICIT)
    assert other.ask("NOOP").startswith("200")
    assert tls_daemon.metrics()[MEMORY] - before < GROWTH
    for connection in (greedy, other):
        connection.close()


@pytest.mark.parametrize("way", [CLEAR, EXPLICIT], ids=str)
def test_data_connections_that_nobody_closes_are_few(start_daemon: StartDaemon, way: Way) -> None:
    """Fifty transfers whose client leaves its end open: at most eight descriptors, and none behind the session."""
    daemon = start_daemon({"tls": {"require": "none"}})
    account = daemon.account()
    (account.home / "file").write_bytes(b"content")
    connection = control(daemon, way)
    connection.log_in(account)
    kept = []
    before = daemon.metrics()["process_open_fds"]
    for _ in range(50):
        data = socket.create_connection(connection.passive(), TIMEOUT)
        connection.send("RETR file")
        if isinstance(connection.sock, ssl.SSLSocket):
            data = connection.sock.context.wrap_socket(
                data, server_hostname=IPV4, session=connection.sock.session, suppress_ragged_eofs=False
            )
        assert data.recv(100) == b"content"
        assert [connection.reply()[:3] for _ in range(2)] == ["150", "226"]
        kept.append(data)
    few = 8 + len(daemon.ports.passive)
    eventually(lambda: daemon.metrics()["process_open_fds"] - before <= few, "few are open")
    connection.close()
    eventually(
        lambda: daemon.metrics()["process_open_fds"] < before + len(daemon.ports.passive), "the session's are closed"
    )
    for data in kept:
        data.close()
