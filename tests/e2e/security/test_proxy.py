"""PROXY headers that lie, are late, or are none: who may say whose connection it is, and how others fare."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.client import TIMEOUT, ControlConnection, content, read_all, tls_context
from tests.e2e.daemon import Daemon
from tests.e2e.haproxy import DAEMON, PROXY, ProxiedDaemon
from tests.e2e.polling import eventually

CLIENT, FORGER, REACHED = "198.51.100.7", "127.0.0.66", "203.0.113.1"
HEADER = f"PROXY TCP4 {CLIENT} {REACHED} 40000 21\r\n".encode()
HEADER_V2 = (
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + socket.inet_aton(CLIENT) + socket.inet_aton(REACHED) + b"\x9c\x40\0\x15"
)
REJECTED = 'ftpsd_connection_rejects_total{reason="proxy-protocol"}'
DATA_REFUSED = 'ftpsd_data_connection_refusals_total{reason="proxy-protocol"}'


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory, tls_files: Demonstration) -> Iterator[Daemon]:
    """A daemon that believes PROXY, which is this test, and plain FTP so that headers are all there is to get right."""
    daemon = ProxiedDaemon(tmp_path_factory.mktemp("headers"), tls_files, {"tls": {"require": "none"}})
    with daemon.running():
        yield daemon


def arrive(daemon: Daemon, header: bytes, source: str = PROXY, port: int | None = None) -> ControlConnection:
    """Connect from *source* and begin with *header*."""
    connection = ControlConnection(DAEMON, daemon.ports.explicit if port is None else port, source)
    try:
        connection.sock.sendall(header)
    except ConnectionError:
        pass  # closed already, as it must be
    return connection


def all_that_comes(connection: ControlConnection) -> bytes:
    """Return what the server says before it closes."""
    try:
        return connection.rest()
    except ConnectionError:
        return b""


def assert_an_honest_client_is_served(daemon: Daemon) -> None:
    connection = arrive(daemon, HEADER)
    assert connection.reply().startswith("220")
    connection.close()


@pytest.mark.parametrize("header", [HEADER, HEADER_V2, b"", b"USER x\r\n"], ids=["v1", "v2", "nothing", "FTP"])
def test_an_address_that_is_not_trusted_is_closed(proxied: Daemon, header: bytes) -> None:
    """A client that reaches the port directly and forges a header gets nothing, and is known by its real address."""
    before = proxied.metrics().get(REJECTED, 0.0)
    assert all_that_comes(arrive(proxied, header, FORGER)) == b""
    assert eventually(lambda: proxied.metrics().get(REJECTED, 0.0) - before, "counted") == 1
    event = proxied.wait_for_event("connection-rejected", peer=FORGER)
    assert (event["reason"], event["detail"]) == ("proxy-protocol", "not one of proxy_protocol.trusted")
    assert_an_honest_client_is_served(proxied)


@pytest.mark.parametrize(
    "header",
    [
        b"USER x\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"PROXY TCP4 198.51.100.7 203.0.113.1 40000 99999\r\n",
        b"PROXY TCP4 " + b"1" * 200,
        HEADER_V2[:14] + struct.pack("!H", 65535) + b"x" * 4000,
    ],
)
def test_a_proxy_without_a_good_header_is_closed(proxied: Daemon, header: bytes) -> None:
    """Not a word is said, so that a proxy that is set up wrongly shows at once."""
    before = proxied.metrics().get(REJECTED, 0.0)
    assert all_that_comes(arrive(proxied, header)) == b""
    assert eventually(lambda: proxied.metrics().get(REJECTED, 0.0) - before, "counted") == 1
    assert_an_honest_client_is_served(proxied)


def test_a_header_that_never_ends_is_given_up(proxied: Daemon) -> None:
    """Silence, and half a header: the connection is closed in time, and others are served meanwhile."""
    waiting = {beginning: arrive(proxied, beginning) for beginning in (b"", HEADER[:20], HEADER_V2[:20])}
    assert_an_honest_client_is_served(proxied)
    assert {beginning: all_that_comes(each) for beginning, each in waiting.items()} == dict.fromkeys(waiting, b"")


@pytest.mark.parametrize("header", [HEADER, HEADER_V2], ids=["v1", "v2"])
def test_the_header_decides_who_the_client_is(proxied: Daemon, header: bytes) -> None:
    """Header and first command in one segment: the peer is the client's, PASV names the address it reached."""
    connection = arrive(proxied, header + b"NOOP\r\n")
    assert [connection.reply()[:3] for _ in range(2)] == ["220", "200"]
    connection.log_in(proxied.account())
    assert connection.ask("PASV").startswith("227 Entering Passive Mode (203,0,113,1,")
    assert connection.ask("PORT 198,51,100,7,200,200").startswith("200")
    assert connection.ask("PORT 127,0,0,9,200,200").startswith("504")
    assert proxied.wait_for_event("session-opened", peer=CLIENT)["listener"].startswith("explicit:")
    connection.close()


def test_an_address_that_the_client_cannot_reach_is_warned_about(proxied: Daemon) -> None:
    """A client of the Internet that is told a private address will not come back: the log says so, once."""
    for _ in range(2):
        connection = arrive(proxied, b"PROXY TCP4 8.8.8.8 10.9.8.7 40000 21\r\n")
        connection.reply()
        connection.log_in(proxied.account())
        assert connection.ask("PASV").startswith("227 Entering Passive Mode (10,9,8,7,")
        connection.close()
    lines = [line for line in proxied.stderr.splitlines() if "10.9.8.7" in line]
    assert ["passive.public_address" in line for line in lines] == [True]


def test_a_client_over_ipv6_behind_a_proxy_over_ipv4(proxied: Daemon) -> None:
    """PASV cannot name where it is, EPSV can."""
    connection = arrive(proxied, b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 21\r\n")
    assert connection.reply().startswith("220")
    connection.log_in(proxied.account())
    assert connection.ask("PASV").startswith("522")
    assert connection.ask("EPSV 2").startswith("229")
    assert connection.ask("EPRT |2|2001:db8::7|51400|").startswith("200")
    assert proxied.wait_for_event("logged-in", peer="2001:db8::7")
    connection.close()


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", HEADER_V2[:12] + b"\x20\0\0\0"], ids=["UNKNOWN", "LOCAL"])
def test_the_proxys_own_connections(proxied: Daemon, header: bytes) -> None:
    """A health check is greeted, and is the proxy's."""
    connection = arrive(proxied, header)
    assert connection.reply().startswith("220")
    assert proxied.wait_for_event("session-opened", peer=PROXY)
    connection.close()


def test_a_header_in_pieces_before_tls(proxied: Daemon) -> None:
    """Implicit TLS begins right behind the header, and not a byte of it is lost."""
    connection = arrive(proxied, b"", port=proxied.ports.implicit)
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in HEADER:
        connection.sock.sendall(bytes([byte]))
    secure = tls_context(proxied).wrap_socket(connection.sock, server_hostname="127.0.0.1")
    assert secure.recv(100).startswith(b"220")
    secure.close()


def test_a_forged_header_takes_no_data_connection(proxied: Daemon) -> None:
    """On a passive port too only proxies are believed; the client whose port it is comes later and is served."""
    account = proxied.account()
    (account.home / "file").write_bytes(content(1000))
    connection = arrive(proxied, HEADER)
    connection.reply()
    connection.log_in(account)
    _, port = connection.passive()
    assert all_that_comes(arrive(proxied, HEADER, FORGER, port)) == b""
    before = proxied.metrics().get(DATA_REFUSED, 0.0)
    for header in (b"PROXY UNKNOWN\r\n", HEADER.replace(b"100.7", b"100.8"), b"no header at all"):
        assert all_that_comes(arrive(proxied, header, PROXY, port)) == b""
    assert eventually(lambda: proxied.metrics().get(DATA_REFUSED, 0.0) - before, "counted") == 1
    data = arrive(proxied, HEADER, PROXY, port)
    assert connection.ask("RETR file").startswith("150")
    assert read_all(data.sock) == content(1000)
    assert connection.reply().startswith("226")
    connection.close()


def test_a_stop_does_not_wait_for_headers(tls_files: Demonstration, proxied: Daemon) -> None:
    """Connections whose header has not come are no sessions: they are closed with the port."""
    daemon = ProxiedDaemon(proxied.folder / "second", tls_files)
    try:
        daemon.start()
        waiting = arrive(daemon, HEADER[:10])
        daemon.stop()
        assert all_that_comes(waiting) == b""
        assert daemon.audit("session-opened") == []
    finally:
        daemon.kill()


def test_the_timeouts_of_this_test_are_longer_than_the_daemons() -> None:
    """Otherwise the tests above would prove that our own sockets give up."""
    from ftpsd.data.proxy_header import HEADER_TIMEOUT

    assert HEADER_TIMEOUT < TIMEOUT / 2
