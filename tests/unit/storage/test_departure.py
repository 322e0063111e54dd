"""Files that retention moves to an archive on another file system."""

from __future__ import annotations

import errno
import os
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from ftpsd.storage.disk.turns import REPLACING, Turns
from ftpsd.storage.retention.departure import depart
from ftpsd.storage.retention.overdue import Overdue
from ftpsd.storage.retention.terms_of_keeping import RetentionRule, View

VIEW = View("alice", "", ())


@pytest.fixture
def over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Overdue:
    """Return a file whose archive is elsewhere: no link is possible."""

    def link(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(os, "link", link)
    (tmp_path / "home").mkdir()
    (tmp_path / "archive").mkdir()
    file = tmp_path / "home" / "old"
    file.write_bytes(b"whole")
    seen = file.stat()
    rule = RetentionRule(0, ("/**",), 1.0, archive=tmp_path / "archive")
    identity = (seen.st_dev, seen.st_ino, seen.st_ctime_ns)
    return Overdue(tmp_path / "home", ("old",), VIEW, rule, 2.0, seen.st_size, identity)


def files_of(directory: Path) -> dict[str, bytes]:
    """Return the files below *directory*."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_no_turn_for_the_copy(over: Overdue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is copied before the turn at its name is taken, and is on the disk there before it goes here."""
    steps: list[str] = []
    fsync, of = os.fsync, Turns.of

    def synced(fd: int) -> None:
        steps.append(Path(os.readlink(f"/proc/self/fd/{fd}")).name)
        fsync(fd)

    class Turn:
        def __enter__(self) -> None:
            steps.append("(")

        def __exit__(self, *_: object) -> None:
            steps.append(")")

    def turn(turns: Turns, name: bytes, directory: int) -> AbstractContextManager[object]:
        return Turn() if turns is REPLACING else of(turns, name, directory)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Turns, "of", turn)
    where = tmp_path / "archive" / "home" / "old"
    assert depart(over) == str(where)
    assert steps == ["(", ")", "old", "home", "(", ")", "home"]
    assert (files_of(tmp_path / "home"), where.read_bytes()) == ({}, b"whole")


def test_changed_during_the_copy(over: Overdue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that changes meanwhile stays, and nothing of it is in the archive."""
    fsync = os.fsync

    def synced(fd: int) -> None:
        (tmp_path / "home" / "old").write_bytes(b"newer")
        fsync(fd)

    monkeypatch.setattr(os, "fsync", synced)
    assert depart(over) is None
    assert files_of(tmp_path) == {"home/old": b"newer"}


def test_changed_before_the_copy(over: Overdue, tmp_path: Path) -> None:
    """It is not copied."""
    (tmp_path / "home" / "old").rename(tmp_path / "home" / "new")
    assert depart(over) is None
    (tmp_path / "home" / "old").write_bytes(b"newer")
    assert depart(over) is None
    assert files_of(tmp_path) == {"home/old": b"newer", "home/new": b"whole"}
