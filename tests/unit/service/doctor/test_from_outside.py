"""The doctor from outside beside servers that are poor, hostile, or none: each is a finding, none holds it up."""

from __future__ import annotations

import errno
import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ftpsd.config.units import PortRange
from ftpsd.demo.authority import Demonstration, create
from ftpsd.doctor.finding import Finding, Level
from ftpsd.doctor.outside.data_ways import look_at_passive, look_at_ports
from ftpsd.doctor.outside.from_outside import Wishes, examine_from_outside
from ftpsd.doctor.outside.patience import Patience
from ftpsd.doctor.outside.tls_seen import look_at_shown
from ftpsd.doctor.outside.visit import Place, Visit
from ftpsd.doctor.probe import Login

Act = Callable[[socket.socket], None]
# Long lines, and many of them.
GARBAGE = bytes(range(256)) * 64


@pytest.fixture(scope="module")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> Demonstration:
    return create(tmp_path_factory.mktemp("tls"))


@contextmanager
def server(act: Act) -> Iterator[int]:
    """A server that does *act* with each connection; the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.settimeout(20)
                threads.append(threading.Thread(target=handle, args=(connection,), daemon=True))
                threads[-1].start()

    def handle(connection: socket.socket) -> None:
        with connection, suppress(OSError, ValueError):
            act(connection)

    accepting = threading.Thread(target=serve, daemon=True)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join(20)
        for thread in threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in threads)


def looked(port: int, files: Demonstration, *, is_implicit: bool = False, step: float) -> list[Finding]:
    """Return all findings about the server at *port*; the other port has none."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        none = closed.getsockname()[1]
    ports = (none, port) if is_implicit else (port, none)
    login = Login("alice", "geheim-4711")
    wishes = Wishes("127.0.0.1", "localhost", ports[0], ports[1], files.authority, login, None, None)
    return list(examine_from_outside(wishes, Patience(step=step)))


def sends(*parts: bytes, forever: bytes = b"") -> Act:
    """Send *parts*, each behind a line of the client's, and *forever* again and again behind the last."""

    def act(connection: socket.socket) -> None:
        for number, part in enumerate(parts):
            if number:
                connection.recv(4096)
            connection.sendall(part)
        while forever:
            connection.sendall(forever)
        while connection.recv(4096):
            pass

    return act


def speaks(files: Demonstration, replies: Mapping[str, str], context: ssl.SSLContext | None = None) -> Act:
    """A server on the control connection alone: *replies* by verb, 502 to all else."""
    if context is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.private_key)

    def act(connection: socket.socket) -> None:
        connection.sendall(b"220 Poor.\r\n")
        line = connection.makefile("rb")
        while verb := line.readline(4096)[:4].strip().decode():
            if verb == "AUTH":
                connection.sendall(b"234 Go on.\r\n")
                connection = context.wrap_socket(connection, server_side=True)
                line = connection.makefile("rb")
            else:
                connection.sendall(replies.get(verb, "502 No.").encode() + b"\r\n")
            if verb == "QUIT":
                return

    return act


def texts(findings: list[Finding], level: Level) -> list[str]:
    return [finding.text for finding in findings if finding.level is level]


def test_servers_that_are_hostile(tls_files: Demonstration) -> None:
    """Endless greetings, lines and replies, garbage in clear and in TLS, silence: problems, within bounds."""
    hostile: dict[str, Act] = {
        "silence": sends(),
        "closes": lambda connection: None,
        "endless greeting": sends(b"220-Hello\r\n", forever=b"220-and more\r\n" * 50),
        "endless line": sends(forever=b"x" * 4096),
        "garbage": sends(forever=GARBAGE),
        "no welcome": sends(b"550 Go away.\r\n"),
        "too many": sends(b"421 Too many.\r\n"),
        "numbers": sends("２２０ Hello\r\n".encode()),
        "endless replies": sends(b"220 Hello\r\n", forever=b"234 Yes\r\n" * 500),
        "more behind AUTH": sends(b"220 Hello\r\n", b"234 Go on\r\n220 Me\r\n"),
        "no TLS": sends(b"220 Hello\r\n", b"502 No\r\n"),
        "garbage as TLS": sends(b"220 Hello\r\n", b"234 Go on\r\n", forever=GARBAGE),
        "endless handshake": sends(b"220 Hello\r\n", b"234 Go on\r\n", forever=b"\x16\x03\x03\x00\x04\x00\x00\x00\x00"),
        "silent in TLS": sends(b"220 Hello\r\n", b"234 Go on\r\n"),
    }
    for name, act in hostile.items():
        for is_implicit in (False, True):
            with server(act) as port:
                findings = looked(port, tls_files, is_implicit=is_implicit, step=0.2)
            assert "nothing that speaks FTPS was reached" in texts(findings, Level.PROBLEM), name
            for finding in findings:
                assert len(str(finding)) < 1000, name
                assert "geheim-4711" not in str(finding)


def test_a_poor_server(tls_files: Demonstration) -> None:
    """An old version of TLS, a login in clear, no passive mode, a listing without a data connection: each is said."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.set_ciphers("ALL:@SECLEVEL=0")
    replies = {"USER": "331 Password?", "PASS": "230 In.", "PBSZ": "200 OK", "PROT": "200 OK", "QUIT": "221 Bye"}
    with server(speaks(tls_files, replies, old)) as port:
        findings = looked(port, tls_files, step=20.0)
    problems, warned = texts(findings, Level.PROBLEM), texts(findings, Level.WARNING)
    assert "TLSv1.1 is spoken, which has been broken and is forbidden (RFC 8996)" in warned
    assert "TLS 1.3 is refused" in warned
    assert "a login without TLS goes on (331 Password?): passwords cross the network in clear" in problems
    assert any(text.startswith("EPSV is refused (502 No.)") for text in warned)
    assert any(text.startswith("PASV is refused (502 No.)") for text in warned)
    assert any(text.endswith(f"port {port}: 502 No.") for text in problems)


def test_the_password_stays_here(tls_files: Demonstration, tmp_path: Path) -> None:
    """It goes to no server with a certificate of an unknown authority, or for another name."""
    asked: list[str] = []

    class Told(dict[str, str]):
        def get(self, key: str, default: str = "") -> str:  # type: ignore[override]
            asked.append(key)
            return "221 Bye" if key == "QUIT" else default

    other = create(tmp_path / "other")
    with server(speaks(tls_files, Told())) as port:
        for authority, name in ((other.authority, "localhost"), (tls_files.authority, "ftp.example.com")):
            wishes = Wishes("127.0.0.1", name, port, port, authority, Login("alice", "geheim"), None, None)
            findings = list(examine_from_outside(wishes, Patience(step=20.0)))
            assert any("no password was sent" in text for text in texts(findings, Level.PROBLEM))
    assert "PASS" not in asked
    assert "QUIT" in asked


def test_the_address_that_pasv_announces(tls_files: Demonstration) -> None:
    """A private one behind NAT, no address, one where nobody listens."""
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    # The server's address as it was reached, what it says, and the beginning of the finding.
    cases = (
        ("8.8.8.8", "227 Entering Passive Mode (10,0,0,5,200,1).", "PASV announces 10.0.0.5, a private address"),
        ("127.0.0.1", f"227 (127,0,0,2,{port >> 8},{port & 255})", "PASV announces 127.0.0.2, and the server was"),
        ("127.0.0.1", f"227 (127,0,0,1,{port >> 8},{port & 255})", "PASV announces 127.0.0.1, the address of"),
        ("127.0.0.1", "227 (999,0,0,1,200,1)", "PASV is answered 227"),
    )
    for reached, reply, beginning in cases:
        with server(speaks(tls_files, {"PASV": reply})) as at:
            place = Place("127.0.0.1", at, False, "localhost", tls_files.authority)
            with Visit(place, Patience(step=20.0), is_checked=True) as visit:
                visit.connect()
                visit.greeting()
                visit.address = reached
                found = list(look_at_passive(visit))[-1]
        assert (found.level, found.text[: len(beginning)]) == (Level.PROBLEM, beginning)
        assert found.remedy


def test_ports_that_are_closed() -> None:
    """A refusal is an answer of the machine; silence is a firewall's, and said with the ports."""
    with socket.create_server(("127.0.0.1", 0)) as open_one:
        port = open_one.getsockname()[1]
        assert [str(each) for each in look_at_ports("127.0.0.1", PortRange(port, port))] == [
            f"ok: no firewall drops connections to the 1 passive ports {port}-{port}"
        ]
    (found,) = look_at_ports("127.0.0.1", PortRange(port, port))
    assert found.level is Level.OK
    assert f"; 1 refuse ({port})" in found.text
    silent = dict.fromkeys((3000, 3001, 3003), errno.ETIMEDOUT)
    (found,) = look_at_ports(
        "192.0.2.1", PortRange(3000, 3009), lambda _, ports: {each: silent.get(each, 0) for each in ports}
    )
    assert found.level is Level.PROBLEM
    assert found.text == "3 of 10 passive ports do not answer (3000-3001, 3003): a firewall drops them"
    assert "tcp dport 3000-3009 accept" in found.remedy


def test_certificates_that_are_bad(tls_files: Demonstration) -> None:
    """Days, names, and bytes that are none."""
    shown = ssl.PEM_cert_to_DER_cert(
        tls_files.certificate.read_text().split("-----BEGIN", 2)[1].join(("-----BEGIN", ""))
    )
    now = datetime.now(UTC)
    assert texts(list(look_at_shown(shown, "localhost", now)), Level.PROBLEM) == []
    assert (
        "invalid since" in texts(list(look_at_shown(shown, "localhost", now + timedelta(days=9999))), Level.PROBLEM)[0]
    )
    assert "only from" in texts(list(look_at_shown(shown, "localhost", now - timedelta(days=9999))), Level.PROBLEM)[0]
    assert "not for example.com" in texts(list(look_at_shown(shown, "example.com", now)), Level.PROBLEM)[0]
    for data in (None, b"", b"\x30\x80", shown[:-20], GARBAGE):
        assert texts(list(look_at_shown(data, "localhost", now)), Level.PROBLEM) == ["the certificate cannot be read"]
