"""PROXY headers and the names that clients ask for, byte by byte: who says what, and in which segment."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.client import TIMEOUT, ControlConnection
from tests.e2e.daemon import PASSWORD, Daemon
from tests.e2e.haproxy import DAEMON, PROXY, ProxiedDaemon
from tests.e2e.hosted import ALSO, MAIN, OTHER, HostedDaemon
from tests.e2e.polling import eventually

CLIENT, REACHED = "198.51.100.7", "203.0.113.1"
CLIENT_6, REACHED_6 = "2001:db8::7", "2001:db8::1"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
# The field in which a proxy tells of the client's hello: PP2_TYPE_AUTHORITY (2.2.2 of the specification).
AUTHORITY = 2


def header_1(client: str, reached: str) -> bytes:
    """Return the header of version 1."""
    return f"PROXY TCP{6 if ':' in client else 4} {client} {reached} 40000 990\r\n".encode()


def header_2(client: str, reached: str, extra: bytes = b"") -> bytes:
    """Return the header of version 2."""
    family = socket.AF_INET6 if ":" in client else socket.AF_INET
    body = socket.inet_pton(family, client) + socket.inet_pton(family, reached) + struct.pack("!HH", 40000, 990) + extra
    return SIGNATURE + bytes([0x21, 0x21 if ":" in client else 0x11]) + struct.pack("!H", len(body)) + body


def authority(name: str) -> bytes:
    """Return the field of a header of version 2 that says what *name* the client has asked its proxy for."""
    return struct.pack("!BH", AUTHORITY, len(name)) + name.encode()


HEADERS = {
    "v1": header_1(CLIENT, REACHED),
    "v2": header_2(CLIENT, REACHED),
    "v1 IPv6": header_1(CLIENT_6, REACHED_6),
    "v2 IPv6": header_2(CLIENT_6, REACHED_6),
    "v2 naming another host": header_2(CLIENT, REACHED, authority(MAIN)),
}


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory, tls_files: Demonstration) -> Iterator[HostedDaemon]:
    """A daemon with several hosts that believes PROXY, which is this test."""
    folder = tmp_path_factory.mktemp("proxied-names")
    with ExitStack() as stack:

        def start(changes: Mapping[str, Any]) -> Daemon:
            daemon = ProxiedDaemon(folder / "daemon", tls_files, dict(changes))
            stack.callback(daemon.kill)
            daemon.start()
            return daemon

        hosted = HostedDaemon(folder, start)
        yield hosted
        hosted.daemon.stop()
        assert "Traceback" not in hosted.daemon.stderr


class Hello:
    """TLS of a client whose ClientHello, asking for *name*, can be sent together with what comes before it."""

    def __init__(self, hosted: HostedDaemon, name: str | None) -> None:
        context = ssl.create_default_context(cafile=str(hosted.trust))
        context.check_hostname = name is not None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        with pytest.raises(ssl.SSLWantReadError):
            self._tls.do_handshake()
        self.first = self._outgoing.read()

    def go_on(self, sock: socket.socket) -> None:
        """Complete the handshake over *sock*, which has sent the first record."""
        self._sock = sock
        self._until_done(self._tls.do_handshake)

    def names(self) -> set[str]:
        """Return the names in the server's certificate."""
        shown = self._tls.getpeercert()
        assert shown is not None
        return {str(pair[1]) for pair in shown["subjectAltName"] if pair[0] == "DNS"}

    def line(self) -> str:
        """Return the next line of the server."""
        text = b""
        while not text.endswith(b"\n"):
            text += self._until_done(lambda: self._tls.read(1))
        return text.decode().rstrip()

    def ask(self, line: str) -> str:
        """Send one line and return the reply, which has one line too."""
        self._tls.write(f"{line}\r\n".encode())
        self._sock.sendall(self._outgoing.read())
        return self.line()

    def _until_done(self, step: Any) -> Any:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self._sock.sendall(self._outgoing.read())
                piece = self._sock.recv(65536)
                assert piece, "the server has closed the connection"
                self._incoming.write(piece)
            else:
                self._sock.sendall(self._outgoing.read())
                return result


def port(hosted: HostedDaemon, mode: str) -> int:
    ports = hosted.daemon.ports
    return ports.implicit if mode == "implicit" else ports.explicit


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_header_and_hello_in_one_segment(hosted: HostedDaemon, header: bytes) -> None:
    """Implicit TLS: the name in the hello chooses, not what a proxy says of it; the client is the header's."""
    hello = Hello(hosted, OTHER)
    client = CLIENT_6 if b"\x20\x01\x0d\xb8" in header or b"TCP6" in header else CLIENT
    before = len(hosted.daemon.audit('"logged-in"'))
    with socket.create_connection((DAEMON, port(hosted, "implicit")), TIMEOUT, (PROXY, 0)) as sock:
        sock.sendall(header + hello.first)
        hello.go_on(sock)
        assert hello.names() == {OTHER}
        assert hello.line() == f"220 This is {OTHER}."
        assert hello.ask("USER carol").startswith("331")
        assert hello.ask(f"PASS {PASSWORD}").startswith("230")
    told = eventually(lambda: hosted.daemon.audit('"logged-in"')[before:], "told")
    assert [(event["peer"], event["host"]) for event in told] == [(client, OTHER)]


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_header_before_explicit_tls(hosted: HostedDaemon, header: bytes) -> None:
    """Header and AUTH in one segment; then the hello chooses, and the host before it was the default one."""
    hello = Hello(hosted, OTHER)
    connection = ControlConnection(DAEMON, port(hosted, "explicit"), PROXY)
    connection.sock.sendall(header + b"AUTH TLS\r\n")
    assert connection.reply() == "220 FTPS server ready."
    assert connection.reply().startswith("234")
    connection.sock.sendall(hello.first)
    hello.go_on(connection.sock)
    assert hello.names() == {OTHER}
    assert hello.ask("USER carol").startswith("331")
    assert hello.ask(f"PASS {PASSWORD}").startswith("230")
    connection.close()


@pytest.mark.parametrize(("client", "reached"), [(CLIENT, REACHED), (CLIENT_6, REACHED_6)], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("version", [header_1, header_2])
def test_the_address_the_client_has_reached_is_the_default_host(
    hosted: HostedDaemon, version: Any, client: str, reached: str
) -> None:
    """HOST with the address that the header names; the daemon's own and the proxy's are no hosts of the client's."""
    literal = f"[{reached}]" if ":" in reached else reached
    connection = ControlConnection(DAEMON, port(hosted, "explicit"), PROXY)
    connection.sock.sendall(version(client, reached))
    assert connection.reply() == "220 FTPS server ready."
    assert connection.ask(f"HOST {OTHER}") == f"220 This is {OTHER}."
    assert connection.ask(f"HOST {literal}") == "220 FTPS server ready."
    assert [connection.ask(f"HOST {address}")[:3] for address in (DAEMON, PROXY, client)] == [
        "504",
        "504",
        ("501" if ":" in client else "504"),
    ]
    connection.close()


def test_host_before_auth_chooses_for_a_client_without_a_name(hosted: HostedDaemon) -> None:
    """Behind a proxy as without one; and the name in the hello is stronger than HOST in clear."""
    for name, shown in ((None, OTHER), (ALSO, ALSO)):
        hello = Hello(hosted, name)
        connection = ControlConnection(DAEMON, port(hosted, "explicit"), PROXY)
        connection.sock.sendall(header_2(CLIENT, REACHED))
        assert connection.reply().startswith("220")
        assert connection.ask(f"HOST {OTHER}").startswith("220")
        assert connection.ask("AUTH TLS").startswith("234")
        connection.sock.sendall(hello.first)
        hello.go_on(connection.sock)
        assert shown in hello.names()
        assert hello.ask("USER carol").startswith("331")
        assert hello.ask(f"PASS {PASSWORD}").startswith("230" if name is None else "530")
        connection.close()
