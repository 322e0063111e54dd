"""close_notify: every TLS connection ends with it, or clients call the end improper (GnuTLS -110)."""

from __future__ import annotations

import signal
import socket
import ssl
from pathlib import Path

import pytest

from tests.e2e.client import IPV4, SECURE_WAYS, TIMEOUT, ControlConnection, Way, content, control
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Account, Daemon


@pytest.fixture(params=SECURE_WAYS, ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    """In turn every way with TLS."""
    chosen: Way = request.param
    return chosen


def strict_data(connection: ControlConnection) -> ssl.SSLSocket:
    """Return a data connection on which a FIN without close_notify raises."""
    assert isinstance(connection.sock, ssl.SSLSocket)
    plain = socket.create_connection(connection.passive(), TIMEOUT)
    return connection.sock.context.wrap_socket(
        plain,
        server_hostname=IPV4,
        session=connection.sock.session,
        suppress_ragged_eofs=False,
        do_handshake_on_connect=False,
    )


def test_quit_ends_with_close_notify(daemon: Daemon, way: Way, account: Account) -> None:
    """221, close_notify, FIN."""
    connection = control(daemon, way, ragged=False)
    connection.log_in(account)
    connection.send("QUIT")
    assert connection.rest().startswith(b"221")


def test_a_session_that_is_ended_by_the_server_ends_with_close_notify(daemon: Daemon, way: Way) -> None:
    """421, close_notify, FIN."""
    connection = control(daemon, way, ragged=False)
    connection.send("GET / HTTP/1.1")
    assert connection.rest().startswith(b"421")


def test_a_close_notify_is_answered(daemon: Daemon, way: Way) -> None:
    """A client that says close_notify first is answered by one."""
    connection = control(daemon, way, ragged=False)
    assert isinstance(connection.sock, ssl.SSLSocket)
    connection.sock.unwrap().close()


@pytest.mark.parametrize("size", [0, 10, 500_000])
def test_a_download_ends_with_close_notify(daemon: Daemon, way: Way, account: Account, home: Path, size: int) -> None:
    """The client can tell a whole file from one that was cut off."""
    (home / "file").write_bytes(content(size))
    connection = control(daemon, way)
    connection.log_in(account)
    data = strict_data(connection)
    connection.send("RETR file")
    data.do_handshake()
    received = b""
    while piece := data.recv(65536):
        received += piece
    data.unwrap().close()
    assert received == content(size)
    assert [connection.reply()[:3] for _ in range(2)] == ["150", "226"]


@pytest.mark.parametrize("command", ["LIST", "NLST", "MLSD"])
def test_a_listing_ends_with_close_notify(daemon: Daemon, way: Way, account: Account, command: str) -> None:
    """An empty listing too."""
    connection = control(daemon, way)
    connection.log_in(account)
    data = strict_data(connection)
    connection.send(command)
    data.do_handshake()
    assert data.recv(100) == b""
    assert [connection.reply()[:3] for _ in range(2)] == ["150", "226"]


@pytest.mark.parametrize("size", [0, 10, 500_000])
def test_the_close_notify_of_an_upload_is_answered(daemon: Daemon, way: Way, account: Account, size: int) -> None:
    """curl, ftplib and WinSCP wait for it; the 226 comes after."""
    connection = control(daemon, way)
    connection.log_in(account)
    data = strict_data(connection)
    connection.send("STOR file")
    data.do_handshake()
    data.sendall(content(size))
    data.unwrap().close()
    assert [connection.reply()[:3] for _ in range(2)] == ["150", "226"]


def test_a_client_that_never_answers_our_close_notify_gets_its_226(
    daemon: Daemon, way: Way, account: Account, home: Path
) -> None:
    """The server does not wait for the client's close_notify on downloads."""
    (home / "file").write_bytes(b"content")
    connection = control(daemon, way)
    connection.log_in(account)
    data = strict_data(connection)
    connection.send("RETR file")
    data.do_handshake()
    assert [connection.reply()[:3] for _ in range(2)] == ["150", "226"]
    assert data.recv(100) == b"content"
    data.close()


def test_a_daemon_that_stops_says_close_notify(start_daemon: StartDaemon, way: Way) -> None:
    """Idle sessions end with 421 and close_notify at SIGTERM."""
    daemon = start_daemon()
    connection = control(daemon, way, ragged=False)
    connection.log_in(daemon.account())
    daemon.signal(signal.SIGTERM)
    assert connection.rest().startswith(b"421")
    connection.close()
    assert daemon.ended() == 0
