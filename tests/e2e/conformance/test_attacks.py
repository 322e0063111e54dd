"""Attacks on the control and data connections that leave no trace: the server says no, and goes on."""

from __future__ import annotations

import json
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import suppress

import pytest
from OpenSSL import SSL

from tests.e2e.at_once import all_at_once
from tests.e2e.client import CLEAR, EXPLICIT, EXPLICIT_1_2, IPV4, TIMEOUT, ControlConnection, Way, control
from tests.e2e.conformance.conversation import Speaker, conversation, furnish
from tests.e2e.daemon import Account, Daemon
from tests.e2e.polling import eventually

BOTH = pytest.mark.parametrize("way", [CLEAR, EXPLICIT], ids=str)
WEAK = ("AES128-SHA", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "NULL-SHA256", "AECDH-AES128-SHA", "aNULL")
TELNET = (b"\xff\xf4", b"\xff\xf2", b"\xff\xf1", b"\xff\xfb\x01", b"\xff\xfd\x06", b"\xff\xfe\x22", b"\xff\xf9")


@pytest.fixture
def speaker(daemon: Daemon, way: Way, account: Account) -> Iterator[Speaker]:
    """A client that is logged in, among files."""
    furnish(account.home)
    opened = Speaker(daemon, way, account)
    yield opened
    opened.close()


@pytest.fixture
def wire(speaker: Speaker) -> ControlConnection:
    """Its control connection."""
    return speaker.connection


# --- lines


@BOTH
@pytest.mark.parametrize("code", TELNET)
def test_telnet_codes_are_nothing_wherever_they_stand(wire: ControlConnection, code: bytes, way: Way) -> None:
    """Before, inside and behind a verb and its argument (RFC 959, 2.3)."""
    for place in range(len(b"SIZE file") + 1):
        wire.sock.sendall(b"SIZE file"[:place] + code + b"SIZE file"[place:] + b"\r\n")
        assert wire.reply() == "213 10"


@BOTH
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"DELE fi\0le", "501"),
        (b"DELE file\0.txt", "501"),
        (b"STOR new\0", "425"),
        (b"DE\0LE file", "500"),
        (b"DELE file\r", "250"),
        (b"DELE fi\rle", "550"),
        (b"DELE fi\tle", "550"),
        (b"DELE fi\x1ble", "550"),
        (b"DELE fi\xffle", "550"),
        (b"DELE fi\xff\xffle", "550"),
        (b"\xc3\x84DELE file", "500"),
    ],
)
def test_bytes_that_no_name_holds(wire: ControlConnection, line: bytes, expected: str, way: Way) -> None:
    """Nothing is done about another file than the one that was named."""
    wire.sock.sendall(line + b"\r\nNOOP\r\n")
    assert [wire.reply()[:3], wire.reply()[:3]] == [expected, "200"]
    assert wire.ask("SIZE file")[:3] == ("550" if expected == "250" else "213")


@BOTH
def test_a_storm_of_commands_is_answered_in_order(wire: ControlConnection, way: Way) -> None:
    """Far more than the server takes at once: none is lost, none overtakes."""
    lines = [f"MKD d{number}\r\n".encode() for number in range(500)]
    wire.sock.sendall(b"NOOP\r\n" * 3000 + b"".join(lines) + b"SYST\r\n")
    assert {wire.reply()[:3] for _ in range(3000)} == {"200"}
    assert [wire.reply().split('"')[1] for _ in lines] == [f"/d{number}" for number in range(500)]
    assert wire.reply().startswith("215")


@BOTH
def test_half_a_command_is_no_command(wire: ControlConnection, account: Account, way: Way) -> None:
    """A line that was cut by the end of the connection is not carried out."""
    wire.sock.sendall(b"NOOP\r\nDELE file")
    assert wire.reply().startswith("200")
    wire.close()
    assert (account.home / "file").exists()


@BOTH
@pytest.mark.parametrize(
    "pattern",
    ["*/../*/../*/../*/../*/../*", "*a" * 100 + "b", "[" * 200, "{a,b}{c,d}{e,f}{g,h}{i,j}", "[!-~]*" * 30, "?" * 200],
)
def test_patterns_do_not_explode(speaker: Speaker, pattern: str, way: Way) -> None:
    """They match, match nothing, or are refused; the session goes on."""
    connection = speaker.connection
    data = speaker.data_connection()
    connection.send(f"LIST {pattern}")
    if connection.reply().startswith("150"):
        speaker.transfer(data, None)
        assert connection.reply().startswith("226")
    data.close()
    assert connection.ask("NOOP").startswith("200")


# --- the data connection


@BOTH
def test_a_flood_of_data_connections(speaker: Speaker, daemon: Daemon, way: Way) -> None:
    """The first is the transfer's; the others are closed, and others are served meanwhile."""
    where = speaker.connection.passive()
    flood = [socket.create_connection(where, TIMEOUT) for _ in range(40)]
    speaker.connection.send("RETR file")
    assert speaker.connection.reply().startswith("150")
    assert speaker.transfer(flood[0], None) == b"0123456789"
    assert speaker.connection.reply().startswith("226")
    for connection in flood[1:]:
        try:
            assert connection.recv(1) == b""
        except ConnectionError:
            pass  # closed all the same
        connection.close()
    speaker.hold(conversation("", "RETR file -> 150 226 : 0123456789").steps)


@pytest.mark.parametrize("way", [EXPLICIT, EXPLICIT_1_2], ids=str)
@pytest.mark.parametrize("end", ["fin", "rst", "garbage", "clear"])
def test_an_upload_that_is_not_ended_properly(speaker: Speaker, account: Account, end: str, way: Way) -> None:
    """Never 226, and the file that was there stays."""
    connection = speaker.connection
    assert isinstance(connection.sock, ssl.SSLSocket)
    plain = speaker.data_connection()
    connection.send("STOR file")
    assert connection.reply().startswith("150")
    if end == "clear":
        plain.sendall(b"forged")
        with suppress(OSError):  # the server may have cut it already
            plain.shutdown(socket.SHUT_WR)
    else:
        session = connection.sock.session
        data = connection.sock.context.wrap_socket(plain, server_hostname=IPV4, session=session)
        data.sendall(b"half of it")
        plain = socket.socket(fileno=data.detach())
        if end == "garbage":
            plain.sendall(b"x" * 100)
        if end == "rst":
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    plain.close()
    assert connection.reply()[0] in "45"
    assert (account.home / "file").read_bytes() == b"0123456789"
    assert connection.ask("NOOP").startswith("200")


@BOTH
@pytest.mark.parametrize(("line", "code"), [("REIN", "220"), ("USER somebody", "331"), ("QUIT", "221")])
def test_leaving_during_a_transfer(speaker: Speaker, account: Account, line: str, code: str, way: Way) -> None:
    """The transfer is finished first, by the user who began it (RFC 959, 4.1.1)."""
    with open(account.home / "big", "wb") as file:
        file.truncate(4_000_000)
    data = speaker.data_connection()
    speaker.connection.send("RETR big", line)
    assert speaker.connection.reply().startswith("150")
    assert len(speaker.transfer(data, None)) == 4_000_000
    assert [speaker.connection.reply()[:3] for _ in range(2)] == ["226", code]


@BOTH
def test_each_pasv_replaces_the_one_before(speaker: Speaker, way: Way) -> None:
    """A connection to the old port is not the data connection any more."""
    old = speaker.data_connection()
    new = speaker.data_connection()
    speaker.connection.send("RETR file")
    assert speaker.connection.reply().startswith("150")
    assert speaker.transfer(new, None) == b"0123456789"
    assert speaker.connection.reply().startswith("226")
    old.close()


# --- TLS


def starting(daemon: Daemon) -> socket.socket:
    """Return a connection whose client may start TLS now."""
    connection = ControlConnection(IPV4, daemon.ports.explicit)
    assert connection.reply().startswith("220")
    assert connection.ask("AUTH TLS").startswith("234")
    return connection.sock


@pytest.mark.parametrize("suite", WEAK)
def test_weak_suites_are_refused(tls_daemon: Daemon, suite: str) -> None:
    """Neither CBC, nor without forward secrecy, a certificate, or encryption."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{suite}:@SECLEVEL=0")
    with starting(tls_daemon) as plain, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(plain)


@pytest.mark.parametrize("way", [EXPLICIT, EXPLICIT_1_2], ids=str)
def test_tls_does_not_compress(wire: ControlConnection, way: Way) -> None:
    """CRIME."""
    assert isinstance(wire.sock, ssl.SSLSocket)
    assert wire.sock.compression() is None


def test_the_client_cannot_renegotiate(tls_daemon: Daemon) -> None:
    """It costs the server far more than the client."""
    plain = starting(tls_daemon)
    plain.settimeout(None)
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    connection = SSL.Connection(context, plain)
    connection.set_connect_state()
    connection.do_handshake()
    connection.renegotiate()
    with pytest.raises(SSL.Error):
        connection.do_handshake()
    plain.close()


@pytest.mark.parametrize(
    "sent", [b"USER x\r\nPASS y\r\n", b"\x16\x03\x01\xff\xff", b"\x80\x2e\x01\x00\x02", b"\0" * 400]
)
def test_what_is_no_client_hello(tls_daemon: Daemon, sent: bytes) -> None:
    """The connection ends, nothing of it is carried out, others are served."""
    with starting(tls_daemon) as plain:
        plain.sendall(sent)
        received = b""
        try:
            plain.shutdown(socket.SHUT_WR)
            while piece := plain.recv(4096):
                received += piece
        except OSError:
            pass  # that is an end too; ENOTCONN: the server was quicker than our shutdown
        assert b"331" not in received
        assert b"530" not in received
    control(tls_daemon, EXPLICIT).close()


# --- logins and logs


@pytest.mark.parametrize("way", [EXPLICIT], ids=str)
def test_nobody_learns_who_exists(daemon: Daemon, account: Account, way: Way) -> None:
    """The same replies for a user who exists and for those who do not."""
    answers: dict[str, list[str]] = {}

    def ask(name: str) -> None:
        connection = control(daemon, way)
        answers[name] = [connection.ask(f"USER {name}"), connection.ask("PASS wrong")]
        connection.close()

    names = [account.name, "nobody-here", "root", "x" * 2000, "a' or '1'='1", "*)(uid=*", "../../x", "%s%n"]
    # Each refusal has its delay; they pass at the same time.
    all_at_once(ask, [(name,) for name in names])
    first = answers[account.name][0]
    assert answers == {name: [first, "530 Login incorrect."] for name in names}


LOGGED = (b'x","event":"forged', b"x\x1b[2J\x1b]0;title\x07", b"x\r{}", b"\xff\xff\xfe", b"\xe2\x80\xae", b"x\x85y")


@BOTH
def test_the_log_stays_one_object_a_line(daemon: Daemon, way: Way) -> None:
    """A text that a client types is a value, never a line, a key or a terminal's command."""
    before = len(daemon.audit_text())
    all_at_once(log_oddly, [(daemon, way, name) for name in LOGGED])

    def is_whole() -> bool:
        return daemon.audit_text()[before:].count('"session-closed"') >= len(LOGGED)

    eventually(is_whole, "the sessions in the log")
    text = daemon.audit_text()[before:]
    assert text.isascii()
    assert not any(ord(sign) < 32 and sign != "\n" for sign in text)
    assert "forged" not in {json.loads(line)["event"] for line in text.splitlines()}


def log_oddly(daemon: Daemon, way: Way, name: bytes) -> None:
    """Fail to log in as *name*, and to go there."""
    connection = control(daemon, way)
    connection.sock.sendall(b"USER " + name + b"\r\nPASS x\r\nCWD " + name + b"\r\nQUIT\r\n")
    assert [connection.reply()[:3] for _ in range(4)] == ["331", "530", "530", "221"]
    connection.close()
