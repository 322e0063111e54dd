"""SIGTERM under load: what runs finishes, what idles is told, and nothing new begins."""

from __future__ import annotations

import ftplib
import signal
import socket
from collections.abc import Iterator

import pytest

from tests.e2e.client import CLEAR, EXPLICIT, IPV4, Way, begin, content, finish, log_in, next_code, read_all
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Account, Daemon
from tests.e2e.polling import eventually

BIG = 32 * 1024 * 1024


@pytest.fixture(params=[CLEAR, EXPLICIT], ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    """In clear and under TLS."""
    chosen: Way = request.param
    return chosen


@pytest.fixture
def own(start_daemon: StartDaemon, way: Way) -> Daemon:
    """A daemon to stop."""
    return start_daemon({"tls": {"require": "control-and-data" if way.is_secure else "none"}})


@pytest.fixture
def account(own: Daemon) -> Account:
    """A user with a big file."""
    account = own.account()
    with open(account.home / "big", "wb") as file:
        file.truncate(BIG)
    return account


@pytest.fixture
def ftp(own: Daemon, way: Way, account: Account) -> Iterator[ftplib.FTP]:
    """A session."""
    session = log_in(own, way, account)
    yield session
    session.close()


def refuses_new_sessions(daemon: Daemon) -> bool:
    try:
        socket.create_connection((IPV4, daemon.ports.explicit), 5).close()
    except OSError:
        return True
    return False


def test_a_download_finishes(own: Daemon, ftp: ftplib.FTP) -> None:
    """All of its bytes and its 226 come, then 421 or the end, then exit code 0."""
    connection, _ = begin(ftp, "RETR big")
    count = len(connection.recv(1000))
    own.signal(signal.SIGTERM)
    eventually(lambda: refuses_new_sessions(own), "new sessions are refused")
    assert count + len(read_all(connection)) == BIG
    assert next_code(ftp) == 226
    ftp.close()
    assert own.ended() == 0


def test_an_upload_finishes(own: Daemon, ftp: ftplib.FTP, account: Account) -> None:
    """And is published."""
    connection, _ = begin(ftp, "STOR file")
    connection.sendall(content(1000))
    own.signal(signal.SIGTERM)
    eventually(lambda: refuses_new_sessions(own), "new sessions are refused")
    connection.sendall(content(2000))
    finish(connection)
    assert next_code(ftp) == 226
    ftp.close()
    assert own.ended() == 0
    assert (account.home / "file").read_bytes() == content(1000) + content(2000)


def test_an_idle_session_is_told(own: Daemon, ftp: ftplib.FTP, way: Way) -> None:
    """421, while a transfer of another session still runs."""
    busy = log_in(own, way, own.account())
    connection, _ = begin(busy, "STOR file")
    own.signal(signal.SIGTERM)
    assert next_code(ftp) == 421
    ftp.close()
    finish(connection)
    assert next_code(busy) == 226
    busy.close()
    assert own.ended() == 0


def test_a_second_signal_cuts_off(own: Daemon, ftp: ftplib.FTP, account: Account) -> None:
    """An operator who asks twice does not wait; a cut-off upload is not published, and the exit code is still 0."""
    connection, _ = begin(ftp, "STOR file")
    connection.sendall(content(1000))
    own.signal(signal.SIGTERM)
    eventually(lambda: refuses_new_sessions(own), "new sessions are refused")
    own.signal(signal.SIGTERM)
    assert own.ended() == 0
    connection.close()
    assert not (account.home / "file").exists()


def test_the_wait_has_an_end(start_daemon: StartDaemon, way: Way) -> None:
    """After drain_timeout what still runs is cut off, and its client told."""
    own = start_daemon({"tls": {"require": "none"}, "drain_timeout": "1s"})
    account = own.account()
    ftp = log_in(own, way, account)
    connection, _ = begin(ftp, "STOR file")
    connection.sendall(content(1000))
    own.signal(signal.SIGTERM)
    assert own.ended() == 0
    assert next_code(ftp) == 421
    connection.close()
    ftp.close()
    assert not (account.home / "file").exists()
    assert "cut off" in own.stderr


@pytest.mark.parametrize("processes", [1, 2])
def test_health_and_metrics_answer_until_the_end(start_daemon: StartDaemon, processes: int) -> None:
    """A load balancer is told 503 and sends nobody here; Prometheus watches the transfers end."""
    own = start_daemon({"processes": processes})
    busy = log_in(own, EXPLICIT, own.account())
    connection, _ = begin(busy, "STOR file")
    assert own.get("/readyz")[0] == 200
    own.signal(signal.SIGTERM)
    eventually(lambda: refuses_new_sessions(own), "new sessions are refused")
    assert own.get("/readyz") == (503, "not ready")
    assert own.get("/healthz")[0] == 200
    assert "not ready" in own.get("/")[1]
    name = 'ftpsd_transfers_in_progress{direction="upload"}'
    eventually(lambda: own.metrics()[name] == 1, "the upload is counted")
    finish(connection)
    assert next_code(busy) == 226
    busy.close()
    assert own.ended() == 0
    with pytest.raises(OSError, match="refused"):
        own.get("/readyz")
