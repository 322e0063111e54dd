"""
Somebody with a shell in the home swaps directories, files and links while clients of the real daemon work there.

The files outside have the same names as those inside, so that every step over the border would show.
"""

from __future__ import annotations

import ctypes
import ftplib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.client import EXPLICIT, download, listing, log_in, upload
from tests.reliability.conftest import StartMortal
from tests.reliability.scale import scaled
from tests.tools import missing

# What comes between the calls of the storage is tried one by one in tests/unit/storage/test_attack.py.
SECONDS = scaled(1, 120) / 2
# Until the attack shows.
MOST = 60.0
MINE, SECRET = b"mine" * 20_000, b"secret" * 20_000
_EXCHANGE = 2  # RENAME_EXCHANGE of renameat2(2): there is always something under the name
_AT_FDCWD = -100
_LIBC = ctypes.CDLL(None, use_errno=True)

Step = Callable[[], object]


def exchange(first: Path, second: Path) -> None:
    """Swap two names in one step."""
    if _LIBC.renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _EXCHANGE):
        raise OSError(ctypes.get_errno(), "renameat2")


@contextmanager
def attacker(first: Path, second: Path) -> Iterator[None]:
    """Swap two names in a loop, in a process that really runs at the same time."""
    child = os.fork()
    if child == 0:
        try:
            while os.getppid() != 1:
                exchange(first, second)
        finally:
            os._exit(0)
    try:
        yield
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def state(outside: Path) -> dict[str, tuple[object, ...]]:
    """Return everything about what is outside that an operation could change."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted([outside, *outside.rglob("*")]):
        status = path.lstat()
        data = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (data, status.st_mode, status.st_mtime_ns, status.st_ctime_ns, status.st_nlink)
    return found


def read(ftp: ftplib.FTP) -> None:
    """Download what is swapped: it is ours or it is not there."""
    assert download(ftp, "d/secret") == MINE


def read_through(ftp: ftplib.FTP) -> None:
    """Download by a link that was made while the names were being swapped."""
    assert download(ftp, "inside") == MINE


def look(ftp: ftplib.FTP) -> None:
    """List what is swapped: no name and no size is the outside's."""
    lines = listing(ftp, "MLSD d")
    assert [line for line in lines if "only-outside" in line or f"size={len(SECRET)};" in line.lower()] == []
    assert ftp.size("d/secret") == len(MINE)


WORK: list[Callable[[ftplib.FTP], object]] = [
    read,
    look,
    lambda ftp: upload(ftp, "d/secret", MINE),
    lambda ftp: upload(ftp, "d/new", b"new"),
    lambda ftp: upload(ftp, "d/new", b"more", verb="APPE"),
    lambda ftp: upload(ftp, "d/unique", b"new", verb="STOU"),
    lambda ftp: ftp.rename("d/new", "d/newer"),
    lambda ftp: ftp.delete("d/newer"),
    lambda ftp: ftp.mkd("d/made"),
    lambda ftp: ftp.rmd("d/made"),
    lambda ftp: ftp.sendcmd("MFMT 20200101000000 d/secret"),
    lambda ftp: ftp.sendcmd("SITE SYMLINK /d/secret /d/link"),
    lambda ftp: ftp.sendcmd("SITE SYMLINK /d/secret /inside"),
    read_through,
    lambda ftp: ftp.delete("d/link"),
    lambda ftp: ftp.delete("inside"),
    lambda ftp: listing(ftp, "LIST d"),
    lambda ftp: ftp.cwd("/d"),
    lambda ftp: ftp.rename("only-outside", "stolen"),
    lambda ftp: ftp.delete("only-outside"),
    lambda ftp: ftp.cwd("/"),
]


@pytest.mark.parametrize("mode", ["atomic", "direct"])
@pytest.mark.parametrize("swapped", ["directory", "file"])
def test_nothing_outside_is_touched(start_mortal: StartMortal, mode: str, swapped: str) -> None:
    """Neither content nor time of anything outside changes, nothing is made there, and nothing from there is sent."""
    daemon = start_mortal({"uploads": {"mode": mode}}, has_faults=False)
    account = daemon.account()
    home, outside = account.home, account.home.parent / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(SECRET)
    (outside / "only-outside").write_bytes(SECRET)
    (outside / "made").mkdir()
    (home / "d").mkdir()
    (home / "d/secret").write_bytes(MINE)
    bait = (home / "d", outside) if swapped == "directory" else (home / "d/secret", outside / "secret")
    link = home / "link"
    link.symlink_to(bait[1])
    try:
        exchange(bait[0], link)
        exchange(bait[0], link)
    except OSError:
        missing("this file system has no RENAME_EXCHANGE")
    before = state(outside)
    ftp = log_in(daemon, EXPLICIT, account)
    ftp.sendcmd("TYPE I")
    good = bad = 0
    start = time.monotonic()
    with attacker(bait[0], link):
        while (passed := time.monotonic() - start) < SECONDS or (not good > 0 < bad and passed < MOST):
            for work in WORK:
                try:
                    work(ftp)
                    good += 1
                except ftplib.Error:
                    bad += 1
                ftp.sendcmd("TYPE I")  # a listing leaves TYPE A
    print(f"{good} operations done, {bad} refused")
    ftp.close()
    assert state(outside) == before
    assert good > 0 < bad  # else nothing was tested
