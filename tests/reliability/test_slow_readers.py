"""Very many downloads at once, most of them slow: a few threads, progress for all, and a fast one is fast."""

from __future__ import annotations

import ftplib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.e2e.client import EXPLICIT, TIMEOUT, ReusedFTP_TLS, download, log_in, next_code
from tests.e2e.daemon import Account, Daemon
from tests.e2e.polling import eventually
from tests.reliability.conftest import StartMortal
from tests.reliability.mortal import MortalDaemon
from tests.reliability.scale import scaled
from tests.tools import missing

READERS = scaled(200, 1000)
# Clients that log in at the same time.
AT_ONCE = 8
MIB = 1 << 20
# More than what lies in the buffers of both kernels, so that no download is over before its reader wants it.
SIZE = 64 * MIB
# The bytes that a reader takes in one of its turns: more in all than what can have been on its way to it already.
PIECE, TURNS = 256 * 1024, 24
# A thousand connections with the buffers that Linux would give them are more than the memory it has for TCP
# (net.ipv4.tcp_mem), and then it drops segments.
BUFFER = 64 * 1024
# Pools of a machine with few cores have about 20; what counts is that readers add none.
MOST_THREADS = 64
RUNNING = 'ftpsd_transfers_in_progress{direction="download"}'


@pytest.fixture
def crowd(start_mortal: StartMortal) -> tuple[MortalDaemon, Account]:
    """A daemon that lets all of them in, and their user with one large file and another."""
    daemon = start_mortal({"limits": {"connections_per_address": 2000, "sessions_per_user": 2000}}, has_faults=False)
    account = daemon.account()
    with open(account.home / "large", "wb") as large:
        large.truncate(SIZE)
    (account.home / "fast").write_bytes(bytes(range(256)) * 4096 * 16)
    return daemon, account


class Reader:
    """A session in the middle of a download that it does not read."""

    def __init__(self, daemon: Daemon, account: Account) -> None:
        self.taken = 0
        self._ftp: ftplib.FTP = log_in(daemon, EXPLICIT, account)
        self._ftp.sendcmd("TYPE I")
        self._data = self._begin("RETR large")

    def _begin(self, command: str) -> socket.socket:
        """Begin a download of which the kernel takes in little."""
        assert isinstance(self._ftp, ReusedFTP_TLS)
        assert self._ftp.sock is not None
        connection = socket.socket()
        connection.settimeout(TIMEOUT)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        connection.connect(ftplib.parse229(self._ftp.sendcmd("EPSV"), self._ftp.sock.getpeername()))
        assert self._ftp.sendcmd(command).startswith("150")
        return self._ftp.secured(connection)

    def take(self, count: int) -> None:
        """Read *count* bytes, which come as soon as they are asked for; fails when nothing comes."""
        wanted = self.taken + count
        while self.taken < wanted and (piece := self._data.recv(min(65536, wanted - self.taken))):
            self.taken += len(piece)

    def abort(self) -> int:
        """End the download from this side and return the code of its reply."""
        self._data.close()
        return next_code(self._ftp)

    def close(self) -> None:
        for end in (self._data, self._ftp):
            with suppress(OSError):
                end.close()


@pytest.fixture
def readers(crowd: tuple[MortalDaemon, Account]) -> Iterator[list[Reader]]:
    """All of them, each with its 150."""
    daemon, account = crowd
    with ExitStack() as stack, ThreadPoolExecutor(AT_ONCE) as pool:

        def reader(_: int) -> Reader:
            opened = Reader(daemon, account)
            stack.callback(opened.close)
            return opened

        yield list(pool.map(reader, range(READERS)))


def threads(daemon: MortalDaemon) -> int:
    """Return how many threads the daemon has."""
    assert daemon.process is not None
    tasks = Path(f"/proc/{daemon.process.pid}/task")
    if not tasks.exists():
        missing("/proc/<pid>/task is Linux's")
    return len(list(tasks.iterdir()))


def test_slow_readers(crowd: tuple[MortalDaemon, Account], readers: list[Reader]) -> None:
    """
    Every reader gets what it asks for whenever it asks, a fast one its whole file meanwhile, with no thread more.

    A thread for each would show in their number, a reader that is waited for in the fast download, which times out.
    """
    daemon, account = crowd
    with_readers = threads(daemon)
    fast = log_in(daemon, EXPLICIT, account)
    expected = (account.home / "fast").read_bytes()
    assert download(fast, "fast") == expected
    most = with_readers
    # One whole turn after the other: nobody is ahead of anybody by more than a piece.
    for turn in range(TURNS):
        for reader in readers:
            reader.take(PIECE)
        assert {reader.taken for reader in readers} == {(turn + 1) * PIECE}
        assert fast.sendcmd("NOOP").startswith("200")
        most = max(most, threads(daemon))
    assert download(fast, "fast") == expected
    # The fast one's may be counted for a moment behind its 226.
    eventually(lambda: daemon.metrics()[RUNNING] == READERS, "the readers' downloads alone")
    assert most == with_readers <= MOST_THREADS
    assert {reader.abort() for reader in readers} == {426}
    eventually(lambda: daemon.metrics()[RUNNING] == 0, "all downloads have ended")
    fast.close()
