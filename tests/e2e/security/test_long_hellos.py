"""
Hellos with keys against quantum computers: 1.5 KB, which come in several segments or records, on either connection.

The client is of the library that the daemon has, since that of Python or the system may not know such keys.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from OpenSSL import SSL

from ftpsd.tls.native import CAN_NAME_GROUPS
from tests.e2e.client import IPV4, TIMEOUT, ControlConnection
from tests.e2e.daemon import Account, Daemon
from tests.e2e.polling import eventually
from tests.tools import missing, require_tool

GROUP = "X25519MLKEM768"
# The type of its records (RFC 8446, 5.1).
HANDSHAKE = 22
Cut = Callable[[bytes], list[bytes]]


def in_segments(hello: bytes) -> list[bytes]:
    """Return the pieces of a hello that is longer than a segment, or that loses its tail to the next one."""
    return [hello[:3], hello[3:1000], hello[1000:-1], hello[-1:]]


def in_records(hello: bytes, size: int = 700) -> list[bytes]:
    """Return the same hello in records of *size* bytes."""
    message = hello[5:]
    parts = (message[at : at + size] for at in range(0, len(message), size))
    return [hello[:3] + len(part).to_bytes(2, "big") + part for part in parts]


def in_bytes(hello: bytes) -> list[bytes]:
    """Return it in records of one byte, all at once."""
    return [b"".join(in_records(hello, 1))]


def client_context(trust: Path) -> SSL.Context:
    """Return the context of a client that insists on TLS 1.3 and on a certificate of *trust*."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.load_verify_locations(str(trust))
    context.set_verify(SSL.VERIFY_PEER)
    return context


class HybridClient:
    """A client of TLS 1.3 on *sock*, whose hello is *cut*; one with *control* resumes that TLS session."""

    def __init__(self, sock: socket.socket, trust: Path, cut: Cut, control: HybridClient | None = None) -> None:
        self.sock = sock
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._context: SSL.Context = client_context(trust) if control is None else control._context
        self.tls = SSL.Connection(self._context, None)
        self.tls.set_connect_state()
        session = control.tls.get_session() if control is not None else None
        if session is not None:
            self.tls.set_session(session)
        with suppress(SSL.WantReadError):
            self.tls.do_handshake()
        for piece in cut(self.tls.bio_read(65536)):
            sock.sendall(piece)
        while not self._is_done():
            self._take()
        self._give()

    def ask(self, line: str) -> str:
        """Send a command and return the reply, of one line."""
        self.tls.send(line.encode() + b"\r\n")
        self._give()
        return self.reply()

    def reply(self) -> str:
        """Return the next reply."""
        said = b""
        while not said.endswith(b"\r\n"):
            said += self.read()
        return said.decode()

    def read(self) -> bytes:
        """Return what the server says next, b"" for its close_notify."""
        while True:
            try:
                return self.tls.recv(65536)
            except SSL.WantReadError:
                self._take()
            except SSL.ZeroReturnError:
                return b""

    def end(self) -> None:
        """Say close_notify, and close."""
        self.tls.shutdown()
        self._give()
        self.sock.close()

    def write(self, data: bytes) -> None:
        """Send *data*."""
        self.tls.send(data)
        self._give()

    def _is_done(self) -> bool:
        try:
            self.tls.do_handshake()
        except SSL.WantReadError:
            self._give()
            return False
        return True

    def _take(self) -> None:
        heard = self.sock.recv(65536)
        assert heard, "the server has hung up"
        self.tls.bio_write(heard)

    def _give(self) -> None:
        with suppress(SSL.WantReadError):
            self.sock.sendall(self.tls.bio_read(65536))


def connect(daemon: Daemon, cut: Cut, *, is_explicit: bool) -> HybridClient:
    """Return a control connection under TLS that has read the greeting."""
    plain = ControlConnection(IPV4, daemon.ports.explicit if is_explicit else daemon.ports.implicit)
    if is_explicit:
        assert plain.reply().startswith("220")
        assert plain.ask("AUTH TLS").startswith("234")
        return HybridClient(plain.sock, daemon.tls.authority, cut)
    client = HybridClient(plain.sock, daemon.tls.authority, cut)
    assert client.reply().startswith("220")
    return client


def log_in(client: HybridClient, account: Account) -> None:
    for line, code in (
        (f"USER {account.name}", "331"),
        (f"PASS {account.password}", "230"),
        ("PBSZ 0", "200"),
        ("PROT P", "200"),
    ):
        assert client.ask(line).startswith(code)


def begin(client: HybridClient, daemon: Daemon, command: str, cut: Cut) -> HybridClient:
    """Begin a transfer, in the TLS session of the control connection, and return the data connection."""
    port = int(client.ask("EPSV").split("|")[3])
    data = socket.create_connection((IPV4, port), TIMEOUT)
    assert client.ask(command).startswith("150")
    return HybridClient(data, daemon.tls.authority, cut, client)


@pytest.fixture(autouse=True)
def library() -> None:
    """The library knows the group."""
    number = SSL.OPENSSL_VERSION_NUMBER >> 20
    if not CAN_NAME_GROUPS or number < 0x305:
        missing("OpenSSL 3.5 in cryptography")


@pytest.mark.parametrize("cut", [in_segments, in_records])
def test_an_upload_and_a_download(tls_daemon: Daemon, cut: Cut) -> None:
    """With explicit and implicit TLS; data connections resume, and the log has the group of each."""
    for is_explicit in (True, False):
        account = tls_daemon.account()
        client = connect(tls_daemon, cut, is_explicit=is_explicit)
        log_in(client, account)
        data = begin(client, tls_daemon, "STOR file", cut)
        data.write(b"the file")
        data.end()
        assert client.reply().startswith("226")
        data = begin(client, tls_daemon, "RETR file", cut)
        assert data.read() == b"the file"
        data.end()
        assert client.reply().startswith("226")
        session = tls_daemon.wait_for_event("logged-in", user=account.name)["session"]
        for channel in ("control", "data"):
            established = tls_daemon.wait_for_event("tls-established", session=session, channel=channel)
            assert (established["version"], established["group"]) == ("TLSv1.3", GROUP)
        assert tls_daemon.wait_for_event("file-sent", user=account.name)["tls"].endswith(" resumed")
        client.end()


@pytest.mark.parametrize("is_explicit", [True, False])
def test_a_hello_of_one_byte_records(tls_daemon: Daemon, is_explicit: bool) -> None:
    """It is refused on the control connection before OpenSSL reads it, with a reason in the log."""
    reason = "client-hello-too-long-or-in-too-many-records"
    before = len(tls_daemon.audit(reason))
    with pytest.raises((AssertionError, ConnectionError)):
        connect(tls_daemon, in_bytes, is_explicit=is_explicit)
    eventually(lambda: len(tls_daemon.audit(reason)) > before, "the failure is in the log")
    failed = tls_daemon.audit(reason)[-1]
    assert (failed["event"], failed["channel"]) == ("tls-failed", "control")


def test_a_data_connection_of_one_byte_records(tls_daemon: Daemon) -> None:
    """It is no data connection; the session goes on."""
    account = tls_daemon.account()
    client = connect(tls_daemon, in_segments, is_explicit=True)
    log_in(client, account)
    with pytest.raises((AssertionError, ConnectionError)):
        begin(client, tls_daemon, "STOR file", in_bytes)
    assert client.reply().startswith(("425", "522"))
    assert client.ask("NOOP").startswith("200")
    refused = tls_daemon.wait_for_event("data-connection-refused", user=account.name)
    assert "too many records" in refused["detail"]
    client.end()


def test_a_second_hello_of_one_byte_records(tls_daemon: Daemon) -> None:
    """OpenSSL asks for another one where it prefers a group that came without a key; it reads no crumbs of that."""
    reason = "handshake-in-too-many-records"
    before = len(tls_daemon.audit(reason))
    with socket.create_server((IPV4, 0)) as between, begun_with(between, "P-521:X25519") as theirs:
        ours = ControlConnection(IPV4, tls_daemon.ports.implicit).sock
        ours.sendall(record(theirs))
        asked_again = record(ours)
        assert asked_again[0] == HANDSHAKE
        theirs.sendall(asked_again)
        second = record(theirs)
        while second[0] != HANDSHAKE:  # the client's change of ciphers, for old boxes on the way
            ours.sendall(second)
            second = record(theirs)
        ours.sendall(in_bytes(second)[0])
        eventually(lambda: len(tls_daemon.audit(reason)) > before, "the failure is in the log")
        ours.close()


@contextmanager
def begun_with(server: socket.socket, groups: str) -> Iterator[socket.socket]:
    """Return the connection of a client of OpenSSL's that has a key for the first of *groups* only."""
    address = f"{IPV4}:{server.getsockname()[1]}"
    command = [require_tool("openssl"), "s_client", "-connect", address, "-tls1_3", "-groups", groups]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as it:
        server.settimeout(TIMEOUT)
        sock, _ = server.accept()
        sock.settimeout(TIMEOUT)
        with sock:
            yield sock
        it.kill()


def record(sock: socket.socket) -> bytes:
    """Return the next record on *sock*."""
    head = sock.recv(5, socket.MSG_WAITALL)
    return head + sock.recv(int.from_bytes(head[3:], "big"), socket.MSG_WAITALL)
