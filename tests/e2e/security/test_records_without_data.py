"""
TLS records that bring no data: KeyUpdates (TLS 1.3) and hellos of refused renegotiations (TLS 1.2), without end.

Each costs the server some microseconds and its sender next to nothing. A client that sends nothing else is cut; others
are served meanwhile, and a client that rekeys now and then is left alone.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Thread

import pytest

from ftpsd.data.trouble import Cause
from ftpsd.tls.native import MOST_WITHOUT_DATA
from tests.e2e.client import EXPLICIT, IPV4, TIMEOUT, ControlConnection, Sessions, content, control, download
from tests.e2e.daemon import Account, Daemon
from tests.records import RawClient, Sealer, logging_context
from tests.tlsclient import TLS_1_2, TLS_1_3

# Megabytes, far more than the kernel holds for a connection.
RECORDS = 40_000

# TLS 1.2 has no KeyUpdate.
REKEYING = pytest.mark.parametrize("context", [TLS_1_3], indirect=True, ids=["1.3"])

Connect = Callable[[], RawClient]


@pytest.fixture(params=[TLS_1_2, TLS_1_3], ids=["1.2", "1.3"])
def context(request: pytest.FixtureRequest, tls_daemon: Daemon, tmp_path: Path) -> ssl.SSLContext:
    """A client's context, of either version."""
    return logging_context(tls_daemon.tls.authority, request.param, tmp_path / "keys")


@pytest.fixture
def connect(tls_daemon: Daemon, context: ssl.SSLContext, tmp_path: Path) -> Iterator[Connect]:
    """Opens control connections that are under TLS."""
    with ExitStack() as stack:

        def opened() -> RawClient:
            plain = ControlConnection(IPV4, tls_daemon.ports.explicit)
            stack.callback(plain.close)
            assert plain.reply().startswith("220")
            assert plain.ask("AUTH TLS").startswith("234")
            return RawClient(plain.sock, context, tmp_path / "keys")

        yield opened


def log_in(client: RawClient, account: Account) -> None:
    """Log in and protect the data connections."""
    for line, code in (
        (f"USER {account.name}", "331"),
        (f"PASS {account.password}", "230"),
        ("PBSZ 0", "200"),
        ("PROT P", "200"),
    ):
        assert client.ask(line).startswith(code)


def begin(client: RawClient, command: str, context: ssl.SSLContext, keys: Path) -> RawClient:
    """Begin a transfer and return the data connection."""
    port = int(client.ask("EPSV").split("|")[3])
    sock = socket.create_connection((IPV4, port), TIMEOUT)
    assert client.ask(command).startswith("150")
    return RawClient(sock, context, keys, client.tls.tls.session)


def pump(sock: socket.socket, sealer: Sealer) -> Thread:
    """Send records without data until there is no room, from a thread, so that the kernel never runs out of them."""
    flood = b"".join(sealer.empty_handed() for _ in range(RECORDS))

    def send() -> None:
        with suppress(OSError):
            sock.sendall(flood)

    thread = Thread(target=send, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("is_known", [False, True], ids=["stranger", "user"])
def test_a_control_connection_is_cut(connect: Connect, tls_daemon: Daemon, is_known: bool) -> None:
    """Before a login and after it; another client is answered before the megabytes are read."""
    client = connect()
    account = tls_daemon.account()
    if is_known:
        log_in(client, account)
    sending = pump(client.sock, client.sealer())
    other = control(tls_daemon, EXPLICIT)
    assert other.ask("NOOP").startswith("200")
    other.close()
    sending.join(TIMEOUT)
    assert not sending.is_alive()
    fields = {"user": account.name} if is_known else {}
    tls_daemon.wait_for_event("session-closed", reason="records-without-data", **fields)


@REKEYING
def test_the_end_is_behind_a_number(connect: Connect, tls_daemon: Daemon) -> None:
    """So many in a row are nothing special, one more is the end, however slowly they come."""
    client = connect()
    sealer = client.sealer()
    for _ in range(3):
        client.sock.sendall(b"".join(sealer.empty_handed() for _ in range(MOST_WITHOUT_DATA)))
        client.sock.sendall(sealer.data(b"NOOP\r\n"))
        assert client.reply().startswith("200")
    for _ in range(MOST_WITHOUT_DATA + 1):
        client.sock.sendall(sealer.empty_handed())
    with suppress(ConnectionError):
        while client.sock.recv(65536):
            pass


@REKEYING
def test_a_client_may_rekey(connect: Connect, context: ssl.SSLContext, tls_daemon: Daemon, tmp_path: Path) -> None:
    """As often as it likes, with data in between: the session and an upload go on."""
    account = tls_daemon.account()
    client = connect()
    log_in(client, account)
    data = begin(client, "STOR file", context, tmp_path / "keys")
    sealer = data.sealer()
    pieces = [content(1000 + number) for number in range(200)]
    data.sock.sendall(b"".join(sealer.empty_handed() + sealer.data(piece) for piece in pieces))
    data.sock.sendall(sealer.seal(21, b"\x01\x00"))
    assert client.reply().startswith("226")
    data.sock.close()
    assert (account.home / "file").read_bytes() == b"".join(pieces)
    sealer = client.sealer()
    for _ in range(200):
        client.sock.sendall(sealer.empty_handed() + sealer.data(b"NOOP\r\n"))
        assert client.reply().startswith("200")


def test_an_upload_is_cut(connect: Connect, context: ssl.SSLContext, tls_daemon: Daemon, tmp_path: Path) -> None:
    """It ends with 426, nothing is stored, and a stranger's download goes on meanwhile."""
    account, stranger = tls_daemon.account(), tls_daemon.account()
    (stranger.home / "file").write_bytes(content(300_000))
    client = connect()
    log_in(client, account)
    data = begin(client, "STOR file", context, tmp_path / "keys")
    sealer = data.sealer()
    data.sock.sendall(sealer.data(b"the beginning"))
    sending = pump(data.sock, sealer)
    sessions = Sessions(tls_daemon, EXPLICIT)
    assert download(sessions.log_in(stranger), "file") == content(300_000)
    sessions.close()
    assert client.reply().startswith("426")
    sending.join(TIMEOUT)
    data.sock.close()
    assert tls_daemon.wait_for_event("file-stored", user=account.name)["reason"] == Cause.NO_DATA
    assert not (account.home / "file").exists()
    assert client.ask("NOOP").startswith("200")
