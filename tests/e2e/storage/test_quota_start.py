"""Quotas from the start on: what is counted then, what a client may do meanwhile, and what a restart finds."""

from __future__ import annotations

import ftplib
import select
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.client import (
    CLEAR,
    EXPLICIT,
    TIMEOUT,
    Sessions,
    Way,
    begin,
    code,
    content,
    download,
    finish,
    listing,
    next_code,
    reply,
    upload,
)
from tests.e2e.daemon import Account, Daemon
from tests.e2e.polling import eventually
from tests.e2e.storage.conftest import StartWith, prepared
from tests.e2e.storage.ground import store, told, used

BYTES = 100_000
QUOTA = {"quota": {"bytes": BYTES, "files": 10}}
SLOW = (sys.executable, str(Path(__file__).with_name("slow_count.py")))


@pytest.fixture(scope="module")
def slow_daemon(tmp_path_factory: pytest.TempPathFactory, tls_files: Demonstration) -> Iterator[Daemon]:
    """A daemon that comes to no end of the first count of a home until a test lets it."""
    daemon = prepared(tmp_path_factory.mktemp("slow") / "daemon", tls_files, [QUOTA] * 4, SLOW)
    for home in (daemon.folder / "homes").iterdir():
        (home / "old").write_bytes(content(BYTES - 10))
    with daemon.running():
        yield daemon


class TestWhileItIsCounted:
    """Until the home has been counted, nothing is allowed or refused on half a count."""

    @pytest.fixture
    def account(self, slow_daemon: Daemon) -> Iterator[Account]:
        """A user of it, whose home has not been counted; the next one's can be, whatever becomes of this test."""
        account = slow_daemon.account()
        yield account
        self.go(account)

    @pytest.fixture
    def sessions(self, slow_daemon: Daemon) -> Sessions:
        """Sessions of that daemon."""
        return Sessions(slow_daemon, CLEAR)

    def go(self, account: Account) -> None:
        """Let the count of the home come to its end."""
        account.home.with_suffix(".go").touch()

    def test_what_needs_no_room_is_done(self, account: Account, sessions: Sessions) -> None:
        """Login, listing, download, rename and delete wait for nothing, and the count takes them in."""
        ftp = sessions.log_in(account)
        (account.home / "file").write_bytes(b"data")
        assert sorted(listing(ftp, "NLST")) == ["file", "old"]
        assert download(ftp, "file") == b"data"
        assert [code(ftp, line) for line in ("RNFR file", "RNTO new", "DELE old")] == [350, 250, 250]
        self.go(account)
        assert told(ftp) == used(account.home) == (4, 1, 0)
        sessions.close()

    @pytest.mark.parametrize("size", [10, 11])
    def test_an_upload_waits_for_the_count(self, account: Account, sessions: Sessions, size: int) -> None:
        """It begins when it is known how much there is, and is then allowed or refused rightly."""
        ftp, other = sessions.log_in(account), sessions.log_in(account)
        assert ftp.sock is not None
        where = ftplib.parse229(ftp.sendcmd("EPSV"), ftp.sock.getpeername())
        connection = socket.create_connection(where, TIMEOUT)
        ftp.putcmd("STOR new")
        assert code(other, "NOOP") == 200
        assert select.select([ftp.sock], [], [], 0)[0] == []
        self.go(account)
        assert next_code(ftp) == 150
        connection.sendall(b"x" * size)
        finish(connection)
        assert next_code(ftp) == (226 if size == 10 else 552)
        assert told(ftp) == used(account.home) == ((BYTES, 2, 0) if size == 10 else (BYTES - 10, 1, 0))
        sessions.close()

    def test_an_upload_that_waits_too_long(self, account: Account, sessions: Sessions) -> None:
        """After ten seconds the client is told to come again; nothing was stored, and the session goes on."""
        ftp = sessions.log_in(account)
        assert reply(ftp, "MKD new") == "450 What is stored is still being counted, try again in a moment."
        assert sorted(path.name for path in account.home.iterdir()) == ["old"]
        self.go(account)
        assert code(ftp, "MKD new") == 257
        sessions.close()


class TestRestarts:
    """The quota after a restart."""

    @pytest.mark.parametrize("way", [CLEAR, EXPLICIT], ids=str)
    @pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
    def test_files_and_partials_are_counted_again(self, start_with: StartWith, way: Way, end: signal.Signals) -> None:
        """Files that were there, also those just coming in, count from the first moment on after a stop or a crash."""
        daemon = start_with(QUOTA, changes={"drain_timeout": "0s"})
        account = daemon.account()
        sessions = Sessions(daemon, way)
        ftp = sessions.log_in(account)
        assert code(ftp, "MKD folder") == 257
        upload(ftp, "folder/file", content(10_000))
        growing, _ = begin(sessions.log_in(account), "STOR partial")
        growing.sendall(content(80_000))
        eventually(lambda: used(account.home)[0] > 10_000, "some of the upload is on the disk")
        daemon.signal(end)
        daemon.ended()
        growing.close()
        sessions.close()
        before = used(account.home)
        assert before[1:] == (2, 1)
        daemon.start()
        ftp = Sessions(daemon, way).log_in(account)
        assert told(ftp) == used(account.home) == before
        assert store(ftp, "STOR more", content(BYTES))[:3] == "552"
        assert told(ftp) == used(account.home) == before
        there = ftp.size("partial")
        assert there == before[0] - 10_000
        assert [code(ftp, line) for line in ("DELE partial", "DELE folder/file")] == [250] * 2
        upload(ftp, "more", content(BYTES))
        assert told(ftp) == used(account.home) == (BYTES, 1, 1)
        ftp.close()

    def test_what_was_changed_meanwhile_is_counted(self, start_with: StartWith) -> None:
        """Files that another program has put there while no daemon ran are counted by the next one."""
        daemon = start_with(QUOTA)
        account = daemon.account()
        (account.home / "before").write_bytes(content(10))
        daemon.stop()
        daemon.start()
        guest = Sessions(daemon, CLEAR)
        ftp: ftplib.FTP = guest.log_in(account)
        assert told(ftp) == (10, 1, 0)
        guest.close()
