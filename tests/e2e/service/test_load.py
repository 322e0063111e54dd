"""Many clients, storage that hangs, and a process that is killed."""

from __future__ import annotations

import ftplib
import hashlib
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.client import (
    EXPLICIT,
    IMPLICIT,
    SECURE_WAYS,
    Way,
    begin,
    code,
    content,
    control,
    download,
    log_in,
    next_code,
    upload,
)
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Account, Daemon
from tests.e2e.polling import eventually
from tests.e2e.ports import PASSIVE_COUNT

CLIENTS, FILES = 20, 5
SLOW = (sys.executable, str(Path(__file__).with_name("slow_daemon.py")))


def test_twenty_clients_at_once(tls_daemon: Daemon) -> None:
    """Each uploads and downloads several files over 51 passive ports: all of them whole, nobody refused."""
    assert len(tls_daemon.ports.passive) == PASSIVE_COUNT == 51
    accounts = [tls_daemon.account() for _ in range(CLIENTS)]

    def work(number: int) -> list[bool]:
        ftp = log_in(tls_daemon, SECURE_WAYS[number % len(SECURE_WAYS)], accounts[number])
        whole = []
        for file in range(FILES):
            data = content(number * 50_000 + file * 10_000)
            upload(ftp, f"file{file}", data)
            stored = (accounts[number].home / f"file{file}").read_bytes()
            whole.append(_digest(stored) == _digest(data) == _digest(download(ftp, f"file{file}")))
        ftp.quit()
        return whole

    with ThreadPoolExecutor(CLIENTS) as pool:
        results = list(pool.map(work, range(CLIENTS)))
    assert results == [[True] * FILES] * CLIENTS


def test_logins_at_once(start_daemon: StartDaemon) -> None:
    """Twenty at the same moment, half of them of users that are unknown: each is answered."""
    daemon = start_daemon(users=10)
    accounts = [daemon.account() for _ in range(10)]

    def work(number: int) -> int:
        connection = control(daemon, EXPLICIT)
        name = accounts[number // 2].name if number % 2 else f"nobody{number}"
        connection.ask(f"USER {name}")
        answer = connection.ask(f"PASS {accounts[0].password}")
        connection.close()
        return int(answer[:3])

    with ThreadPoolExecutor(20) as pool:
        codes = list(pool.map(work, range(20)))
    assert codes == [530, 230] * 10


@pytest.mark.parametrize("hanging", [1, 3])
def test_storage_that_hangs_holds_up_nobody_else(start_daemon: StartDaemon, hanging: int) -> None:
    """While files of some users cannot be opened, others log in, list and transfer; then the hanging ones go on."""
    daemon = start_daemon(command=SLOW, users=8)
    stuck = []
    for _ in range(hanging):
        account = daemon.account()
        (account.home / "hang-file").write_bytes(b"at last")
        ftp = log_in(daemon, EXPLICIT, account)
        ftp.sendcmd("EPSV")
        ftp.putcmd("RETR hang-file")
        stuck.append(ftp)
    other = log_in(daemon, IMPLICIT, daemon.account())
    for _ in range(10):
        upload(other, "file", content(200_000))
        assert download(other, "file") == content(200_000)
        assert code(other, "NOOP") == 200
    assert daemon.get("/healthz")[0] == 200
    (daemon.folder / "go").touch()
    assert [next_code(ftp) for ftp in stuck] == [150] * hanging
    for ftp in [*stuck, other]:
        ftp.close()


@pytest.mark.parametrize("way", [EXPLICIT, IMPLICIT], ids=str)
def test_a_killed_daemon_has_published_nothing_by_halves(start_daemon: StartDaemon, way: Way) -> None:
    """SIGKILL in an upload: the old file is whole, and after the next start the upload can be resumed."""
    daemon = start_daemon()
    account: Account = daemon.account()
    (account.home / "file").write_bytes(b"old")
    ftp = log_in(daemon, way, account)
    second = log_in(daemon, way, account)
    connections = [_half_uploaded(ftp, "file"), _half_uploaded(second, "new")]
    assert daemon.process is not None
    daemon.process.kill()
    assert daemon.ended() == -9
    for connection in connections:
        connection.close()
    for session in (ftp, second):
        session.close()
    assert (account.home / "file").read_bytes() == b"old"
    assert not (account.home / "new").exists()
    daemon.start()
    again = log_in(daemon, way, account)
    again.sendcmd("TYPE I")
    arrived = again.size("new")
    assert arrived is not None
    assert 0 < arrived <= 200_000
    upload(again, "new", content(200_000)[arrived:] + b"end", rest=arrived)
    assert (account.home / "new").read_bytes() == content(200_000) + b"end"
    again.close()


def _half_uploaded(ftp: ftplib.FTP, name: str) -> socket.socket:
    """Return the data connection of an upload of which 200,000 bytes have arrived."""
    connection, _ = begin(ftp, f"STOR {name}")
    connection.sendall(content(200_000))
    eventually(lambda: "200000 bytes" in ftp.sendcmd("STAT"), "the bytes have arrived")
    return connection


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
