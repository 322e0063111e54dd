"""TLS as particular clients begin and resume it: when the handshake comes, which ticket, and what is not asked."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from OpenSSL import SSL

from ftpsd.demo.authority import Demonstration
from tests.e2e.client import (
    EXPLICIT,
    EXPLICIT_1_2,
    IMPLICIT,
    IMPLICIT_1_2,
    IPV4,
    TIMEOUT,
    ControlConnection,
    Way,
    content,
    control,
    finish,
    read_all,
)
from tests.e2e.daemon import Account, Daemon

T = TypeVar("T")

SIZE = 200_000
REQUEST_STATE = b"SSLv3/TLS read server certificate request"
VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}


@pytest.fixture(params=[EXPLICIT, EXPLICIT_1_2, IMPLICIT, IMPLICIT_1_2], ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    """In turn every way with TLS."""
    chosen: Way = request.param
    return chosen


@pytest.fixture
def guest(daemon: Daemon, way: Way, account: Account) -> Iterator[ControlConnection]:
    """A control connection that is logged in, with PROT P."""
    connection = control(daemon, way)
    connection.log_in(account)
    yield connection
    connection.close()


def secured(guest: ControlConnection, plain: socket.socket) -> ssl.SSLSocket:
    """Shake hands on the data connection *plain*, resuming the session of the control connection."""
    assert isinstance(guest.sock, ssl.SSLSocket)
    plain.settimeout(TIMEOUT)
    return guest.sock.context.wrap_socket(plain, server_hostname=IPV4, session=guest.sock.session)


@pytest.mark.parametrize("verb", ["RETR", "STOR"])
def test_the_handshake_may_come_before_the_command(guest: ControlConnection, home: Path, verb: str) -> None:
    """FluentFTP and WinSCP shake hands as soon as they are connected, and say what they want when that is done."""
    (home / "file").write_bytes(content(SIZE))
    data = secured(guest, socket.create_connection(guest.passive(), TIMEOUT))
    assert data.session_reused
    assert guest.ask(f"{verb} file").startswith("150")
    if verb == "RETR":
        assert read_all(data) == content(SIZE)
    else:
        data.sendall(b"new")
        finish(data)
    assert guest.reply().startswith("226")
    assert (home / "file").read_bytes() == (content(SIZE) if verb == "RETR" else b"new")


@pytest.mark.parametrize("verb", ["RETR", "STOR"])
def test_the_handshake_may_come_after_the_150(guest: ControlConnection, home: Path, verb: str) -> None:
    """rclone begins it with the first byte it reads or writes: a 150 that waited for it would never come."""
    (home / "file").write_bytes(content(SIZE))
    plain = socket.create_connection(guest.passive(), TIMEOUT)
    assert guest.ask(f"{verb} file").startswith("150")
    data = secured(guest, plain)
    if verb == "RETR":
        assert read_all(data) == content(SIZE)
    else:
        finish(data)
    assert guest.reply().startswith("226")


@pytest.mark.parametrize("verb", ["RETR", "STOR"])
def test_the_client_is_the_tls_client_in_active_mode_too(guest: ControlConnection, home: Path, verb: str) -> None:
    """RFC 4217, 7; lftp and FluentFTP accept the TCP connection and then send the ClientHello."""
    (home / "file").write_bytes(content(SIZE))
    with socket.create_server((IPV4, 0)) as listener:
        listener.settimeout(TIMEOUT)
        assert guest.ask(f"EPRT |1|{IPV4}|{listener.getsockname()[1]}|").startswith("200")
        assert guest.ask(f"{verb} file").startswith("150")
        plain, _ = listener.accept()
    data = secured(guest, plain)
    assert data.session_reused
    if verb == "RETR":
        assert read_all(data) == content(SIZE)
    else:
        finish(data)
    assert guest.reply().startswith("226")


class Wire:
    """A TLS client over *plain* that reads on after its close_notify, as JSSE does; *session* is to be resumed."""

    def __init__(self, context: ssl.SSLContext, plain: socket.socket, session: ssl.SSLSession | None) -> None:
        self.plain = plain
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=IPV4, session=session)
        self.complete(self.tls.do_handshake)

    def complete(self, step: Callable[[], T]) -> T:
        """Do *step*, with as many bytes to and from the server as it takes."""
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self.plain.sendall(self.outgoing.read())
                self.incoming.write(self.plain.recv(65536))
            finally:
                self.plain.sendall(self.outgoing.read())

    def say_goodbye(self) -> None:
        """Send close_notify, and wait for nothing."""
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.plain.sendall(self.outgoing.read())

    def read_all(self) -> bytes:
        """Return everything up to the server's close_notify."""
        received = b""
        while True:
            try:
                piece = self.complete(lambda: self.tls.read(65536))
            except ssl.SSLZeroReturnError:  # said when our own close_notify went out before
                return received
            if not piece:
                return received
            received += piece


def test_every_ticket_may_be_used_once(guest: ControlConnection, home: Path) -> None:
    """
    JSSE (Cyberduck, commons-net) throws a ticket away once it has resumed by it, and takes the next from there.

    So every connection must bring one, an upload too; FileZilla fails a transfer that does not resume where others did.
    """
    (home / "file").write_bytes(content(SIZE))
    assert isinstance(guest.sock, ssl.SSLSocket)
    session = guest.sock.session
    used: list[bytes] = []
    for number in range(10):
        with socket.create_connection(guest.passive(), TIMEOUT) as plain:
            guest.send("RETR file" if number % 2 else "STOR other")
            data = Wire(guest.sock.context, plain, session)
            assert data.tls.session_reused
            assert session is not None
            used.append(session.id)
            if number % 2:
                assert data.read_all() == content(SIZE)
            else:
                data.tls.write(content(SIZE))
                data.say_goodbye()
                assert data.read_all() == b""
            session = data.tls.session
        assert [guest.reply()[:3] for _ in range(2)] == ["150", "226"]
        assert (home / "other").read_bytes() == content(SIZE)
    if guest.sock.version() == "TLSv1.3":
        assert len(set(used)) == len(used)


class Requests:
    """A TLS client that notes whether the server asks for its certificate."""

    def __init__(self, version: int) -> None:
        self.context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        self.context.set_min_proto_version(version)
        self.context.set_max_proto_version(version)
        self.states: list[bytes] = []
        self.context.set_info_callback(lambda tls, where, value: self.states.append(tls.get_state_string()))

    @property
    def was_asked(self) -> bool:
        return REQUEST_STATE in self.states

    def shake(self, plain: socket.socket, session: SSL.Session | None = None) -> SSL.Connection:
        """Shake hands over *plain*."""
        plain.setblocking(True)
        tls = SSL.Connection(self.context, plain)
        if session is not None:
            tls.set_session(session)
        tls.set_connect_state()
        tls.do_handshake()
        return tls


@pytest.mark.parametrize("version", VERSIONS)
def test_such_a_request_would_be_noticed(tls_files: Demonstration, version: str) -> None:
    """The control group of the next test: a server that asks."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate_chain_file(str(tls_files.certificate))
    context.use_privatekey_file(str(tls_files.private_key))
    context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    server, requests = SSL.Connection(context, None), Requests(VERSIONS[version])
    client = SSL.Connection(requests.context, None)
    server.set_accept_state()
    client.set_connect_state()
    for _ in range(4):
        for one, other in ((client, server), (server, client)):
            try:
                one.do_handshake()
            except SSL.WantReadError:
                pass  # the other's turn
            try:
                other.bio_write(one.bio_read(65536))
            except SSL.WantReadError:
                pass  # nothing to say
    assert requests.was_asked


@pytest.mark.parametrize("implicit", [False, True], ids=["explicit", "implicit"])
@pytest.mark.parametrize("version", VERSIONS)
def test_no_certificate_is_asked_for(tls_daemon: Daemon, version: str, implicit: bool) -> None:
    """z/OS fails at a CertificateRequest: none on the control connection, none on a data connection."""
    account = tls_daemon.account()
    requests = Requests(VERSIONS[version])
    ports = tls_daemon.ports
    connection = ControlConnection(IPV4, ports.implicit if implicit else ports.explicit)
    if not implicit:
        connection.reply()
        assert connection.ask("AUTH TLS").startswith("234")
    tls = requests.shake(connection.sock)
    if implicit:
        assert tls.recv(1000).startswith(b"220")

    def ask(line: str) -> bytes:
        tls.sendall(line.encode() + b"\r\n")
        return tls.recv(1000)

    for line in (f"USER {account.name}", f"PASS {account.password}", "PBSZ 0", "PROT P"):
        assert ask(line)[:1] in b"23"
    port = int(ask("EPSV").split(b"|")[3])
    plain = socket.create_connection((IPV4, port), TIMEOUT)
    assert ask("LIST").startswith(b"150")
    requests.shake(plain, tls.get_session())
    assert tls.recv(1000).startswith(b"226")
    assert tls.get_protocol_version_name() == f"TLSv{version}"
    assert requests.states.count(b"SSLv3/TLS read server hello") >= 2
    assert not requests.was_asked
    plain.close()
    connection.close()
