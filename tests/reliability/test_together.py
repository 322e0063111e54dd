"""Several clients at one name at the same time."""

from __future__ import annotations

import ftplib
import hashlib
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.client import EXPLICIT, begin, content, download, finish, log_in, next_code, read_all, upload
from tests.e2e.daemon import Account
from tests.reliability.mortal import MortalDaemon, leftovers
from tests.reliability.scale import scaled

WRITERS = 4
ROUNDS = scaled(8, 200)


def checksum(data: bytes) -> str:
    """Return the SHA-256 of *data*."""
    return hashlib.sha256(data).hexdigest()


def each(work: Callable[[int, ftplib.FTP], None], daemon: MortalDaemon, account: Account, clients: int) -> None:
    """Run *work* in so many sessions at once; what one of them raises is raised."""

    def session(number: int) -> None:
        ftp = log_in(daemon, EXPLICIT, account)
        try:
            ftp.sendcmd("TYPE I")
            work(number, ftp)
        finally:
            ftp.close()

    with ThreadPoolExecutor(clients) as pool:
        for done in [pool.submit(session, number) for number in range(clients)]:
            done.result(120)


@pytest.mark.parametrize("size", [30_000, 2_000_000])
def test_the_file_is_always_one_of_them(mortal: MortalDaemon, account: Account, home: Path, size: int) -> None:
    """All are answered 226; after each round the file is one upload, and a reader meanwhile never sees a mixture."""
    chance = random.Random(size)
    versions = [[chance.randbytes(size + number) for number in range(WRITERS)] for _ in range(ROUNDS)]
    known = {checksum(data) for round_ in versions for data in round_} | {checksum(b"first")}
    (home / "file").write_bytes(b"first")
    barrier = threading.Barrier(WRITERS)
    is_over = threading.Event()
    seen: set[str] = set()

    def work(number: int, ftp: ftplib.FTP) -> None:
        if number == WRITERS:
            while not is_over.is_set():
                seen.add(checksum(download(ftp, "file")))
            return
        try:
            for round_ in versions:
                barrier.wait(60)
                assert upload(ftp, "file", round_[number]).startswith("226")
                barrier.wait(60)
                assert (home / "file").read_bytes() in round_
        except BaseException:
            barrier.abort()
            raise
        finally:
            is_over.set()

    each(work, mortal, account, WRITERS + 1)
    assert seen <= known
    assert len(seen) > 2  # else nobody has read while it was written
    assert leftovers(home, "file") == []


def test_two_that_really_overlap(mortal: MortalDaemon, account: Account, home: Path) -> None:
    """Piece by piece in turn, both to their end: the one that ends last is the file."""
    first, second = log_in(mortal, EXPLICIT, account), log_in(mortal, EXPLICIT, account)
    data = content(500_000)
    for ftp in (first, second):
        ftp.sendcmd("TYPE I")
    ends = [begin(ftp, "STOR file")[0] for ftp in (first, second)]
    for start in range(0, len(data), 50_000):
        ends[0].sendall(data[start : start + 50_000])
        ends[1].sendall(data[start : start + 50_000][::-1])
    finish(ends[1])
    assert next_code(second) == 226
    reversed_ = (home / "file").read_bytes()
    assert reversed_ == b"".join(data[start : start + 50_000][::-1] for start in range(0, len(data), 50_000))
    finish(ends[0])
    assert next_code(first) == 226
    assert (home / "file").read_bytes() == data
    assert leftovers(home, "file") == []
    first.close()
    second.close()


def test_a_download_ends_with_the_file_it_began_with(mortal: MortalDaemon, account: Account, home: Path) -> None:
    """A slow reader gets all of the old file, though it was replaced and deleted meanwhile."""
    reader, writer = log_in(mortal, EXPLICIT, account), log_in(mortal, EXPLICIT, account)
    old = content(8_000_000)
    (home / "file").write_bytes(old)
    for ftp in (reader, writer):
        ftp.sendcmd("TYPE I")
    connection, _ = begin(reader, "RETR file")
    head = connection.recv(1000)
    assert upload(writer, "file", b"new").startswith("226")
    assert writer.delete("file").startswith("250")
    assert head + read_all(connection) == old
    assert next_code(reader) == 226
    reader.close()
    writer.close()
