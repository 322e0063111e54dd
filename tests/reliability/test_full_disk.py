"""A file system that is really full, out of inodes, or read-only: a small tmpfs that the test mounts over the home."""

from __future__ import annotations

import ftplib
import subprocess
from pathlib import Path

import pytest

from tests.e2e.client import Sessions, code, content, download, reply, upload
from tests.e2e.daemon import Account
from tests.reliability.conftest import Mount
from tests.reliability.mortal import MortalDaemon, leftovers
from tests.reliability.test_broken_disk import attempt
from tests.reliability.test_kill_points import OLD, Operation, published, stor

ROOM = 1 << 20
TOO_MUCH = content(3 * ROOM)
FILES = 20


@pytest.fixture
def full(mount: Mount, home: Path) -> Path:
    """The home, with room for a megabyte and for some files."""
    return mount(home, str(ROOM), inodes=FILES)


@pytest.fixture
def ftp(full: Path, sessions: Sessions, account: Account) -> ftplib.FTP:
    """A session of the user whose disk it is."""
    session = sessions.log_in(account)
    session.sendcmd("TYPE I")
    return session


def uploaded(ftp: ftplib.FTP, data: bytes, verb: str = "STOR", rest: int | None = None) -> str:
    """Return the final reply to an upload of *data* as "file"."""
    return attempt(ftp, Operation({}, {}, stor(data, rest, verb)))


def remount(directory: Path, how: str) -> None:
    """Change the file system at *directory* to read-only ("ro") or back ("rw")."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(directory)], check=True)


def test_an_upload_fills_the_disk(
    mortal: MortalDaemon, sessions: Sessions, ftp: ftplib.FTP, full: Path, account: Account
) -> None:
    """452, nothing published, the session lives on, others are not disturbed, and the operator is told."""
    other = mortal.account()
    friend = sessions.log_in(other)
    assert uploaded(ftp, TOO_MUCH).startswith("452")
    assert (code(ftp, "NOOP"), published(full)) == (200, {})
    assert upload(friend, "file", TOO_MUCH).startswith("226")
    assert (other.home / "file").read_bytes() == TOO_MUCH
    event = mortal.wait_for_event("storage-failed", user=account.name)
    assert (event["operation"], event["path"]) == ("STOR", "/file")


@pytest.mark.parametrize("verb", ["STOR", "APPE"])
def test_an_overwrite_fills_the_disk(ftp: ftplib.FTP, full: Path, verb: str) -> None:
    """The old file stays, whole, and can be read."""
    (full / "file").write_bytes(OLD)
    assert uploaded(ftp, TOO_MUCH, verb).startswith("452")
    assert published(full) == {"file": OLD}
    assert download(ftp, "file") == OLD


def test_what_had_no_room_gives_it_back(ftp: ftplib.FTP, full: Path) -> None:
    """Nobody sees what came in of it, and something smaller fits at once."""
    (full / "filler").write_bytes(bytes(ROOM // 2))
    assert uploaded(ftp, TOO_MUCH[: ROOM * 3 // 4]).startswith("452")
    assert leftovers(full, "filler") == []
    assert code(ftp, "SIZE file") == 550
    data = TOO_MUCH[: ROOM * 3 // 8]
    assert uploaded(ftp, data).startswith("226")
    assert (full / "file").read_bytes() == data


@pytest.mark.parametrize("size", [1, 60_000])
def test_a_small_file_finds_no_room(ftp: ftplib.FTP, full: Path, size: int) -> None:
    """Also what is received into memory first is refused with 452, and replaces nothing."""
    (full / "file").write_bytes(OLD)
    with open(full / "filler", "wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            pass  # full
    assert uploaded(ftp, TOO_MUCH[:size]).startswith("452")
    assert (full / "file").read_bytes() == OLD
    (full / "filler").unlink()
    assert uploaded(ftp, TOO_MUCH[:size]).startswith("226")
    assert published(full) == {"file": TOO_MUCH[:size]}
    assert leftovers(full, "file") == []


def test_no_inode_is_left(ftp: ftplib.FTP, full: Path) -> None:
    """STOR of a new or an old name and MKD are 452; what is there stays, and can be deleted to make room."""
    (full / "file").write_bytes(OLD)
    number = 0
    try:
        for number in range(10 * FILES):
            (full / f"filler-{number}").touch()
    except OSError:
        pass  # full
    assert uploaded(ftp, b"new").startswith("452")
    assert reply(ftp, "MKD directory").startswith("452")
    assert (full / "file").read_bytes() == OLD
    assert code(ftp, f"DELE filler-{number - 1}") == 250
    assert uploaded(ftp, b"new").startswith("226")
    assert (full / "file").read_bytes() == b"new"


def test_a_read_only_disk(mortal: MortalDaemon, ftp: ftplib.FTP, full: Path) -> None:
    """550 for all that would change something, downloads go on, and all is well when it may be written again."""
    (full / "file").write_bytes(OLD)
    remount(full, "ro")
    assert [uploaded(ftp, b"new", verb)[:3] for verb in ("STOR", "APPE")] == ["550", "550"]
    assert code(ftp, "RNFR file") == 350
    changes = ("RNTO other", "DELE file", "MKD directory", "MFMT 20200101000000 file")
    assert [code(ftp, line) for line in changes] == [550] * 4
    assert download(ftp, "file") == OLD
    assert code(ftp, "NOOP") == 200
    assert leftovers(full, "file") == []
    assert mortal.wait_for_event("storage-failed", operation="DELE")["path"] == "/file"
    remount(full, "rw")
    assert uploaded(ftp, b"new").startswith("226")
    assert published(full) == {"file": b"new"}
