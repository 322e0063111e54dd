"""The files of the quarantine: age, bounds, what a crash leaves, another file system."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from pathlib import Path

import pytest

from ftpsd.scanning import quarantine as module
from ftpsd.scanning.quarantine import Full, Quarantine, Record
from ftpsd.scanning.waiting.hidden_place import HiddenPlace
from ftpsd.storage.disk.walk import Place
from ftpsd.values.path import ROOT


def record(incident: str, age: float = 0.0) -> Record:
    """Return the record of a file that came *age* seconds ago."""
    return Record(incident, time.time() - age, "alice", "", "/srv", "/f", "/f", 3, None, "infected", "e", "s", "x")


@pytest.fixture
def quarantine(tmp_path: Path) -> Quarantine:
    """Return one that is not there yet."""
    return Quarantine(tmp_path / "held", 100)


def take(quarantine: Quarantine | HiddenPlace, folder: Path, what: Record, data: bytes = b"bad") -> None:
    """Have *quarantine* take a file in *folder*."""
    (folder / "partial").write_bytes(data)
    directory, fd = os.open(folder, os.O_RDONLY), os.open(folder / "partial", os.O_RDWR)
    try:
        quarantine.take(what, Place(directory, b"partial", ROOT), fd)
    finally:
        os.close(directory)
        os.close(fd)


def test_nothing_is_there_before_the_first(quarantine: Quarantine) -> None:
    """Neither a file nor the directory."""
    assert quarantine.size() == (0, 0)
    assert quarantine.sweep(0) == []
    assert not quarantine.directory.exists()


def test_age(quarantine: Quarantine, tmp_path: Path) -> None:
    """The old ones go, with their records; others stay."""
    take(quarantine, tmp_path, record("0" * 10, age=100))
    take(quarantine, tmp_path, record("1" * 10))
    assert [each.incident for each in quarantine.sweep(50)] == ["0" * 10]
    assert [each.incident for each in quarantine.records()] == ["1" * 10]
    assert sorted(path.name for path in quarantine.directory.iterdir()) == ["1" * 10 + ".held", "1" * 10 + ".json"]


def test_bound(quarantine: Quarantine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of bytes and of files; what does not fit stays where it is, without a record."""
    take(quarantine, tmp_path, record("0" * 10), bytes(60))
    with pytest.raises(Full):
        take(quarantine, tmp_path, record("1" * 10), bytes(41))
    assert (tmp_path / "partial").exists()
    monkeypatch.setattr(module, "MOST_FILES", 1)
    with pytest.raises(Full):
        take(quarantine, tmp_path, record("1" * 10))
    assert [each.incident for each in quarantine.records()] == ["0" * 10]


def test_what_a_crash_leaves_goes_later(quarantine: Quarantine, tmp_path: Path) -> None:
    """A record without its file, and half a copy: not at once, for they may be under way."""
    take(quarantine, tmp_path, record("0" * 10))
    for name in ("1" * 10 + ".json", "2" * 10 + ".held.new"):
        (quarantine.directory / name).write_bytes(b"")
    assert [each.incident for each in quarantine.records()] == ["0" * 10]
    quarantine.sweep(1000)
    assert len([*quarantine.directory.iterdir()]) == 4
    for path in quarantine.directory.iterdir():
        os.utime(path, (0, 0))
    quarantine.sweep(1000)
    assert sorted(path.name for path in quarantine.directory.iterdir()) == ["0" * 10 + ".held", "0" * 10 + ".json"]


@pytest.fixture
def _elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the file come from another file system."""
    rename = os.rename

    def elsewhere(source: object, target: object, **how: int) -> None:
        if source == b"partial":
            raise OSError(errno.EXDEV, "another file system")
        rename(source, target, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "rename", elsewhere)


@pytest.mark.usefixtures("_elsewhere")
def test_another_file_system(quarantine: Quarantine, tmp_path: Path) -> None:
    """There it is copied, whole, and gone from its tree."""
    take(quarantine, tmp_path, record("0" * 10), b"whole")
    held = quarantine.directory / ("0" * 10 + ".held")
    assert (held.read_bytes(), held.stat().st_mode & 0o777) == (b"whole", 0o600)
    assert not (tmp_path / "partial").exists()


@pytest.mark.usefixtures("_elsewhere")
def test_a_long_copy_holds_up_nobody(quarantine: Quarantine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When its bytes go to the disk the locks are free: that of the quarantine, and those of the hidden uploads."""
    fsync, free = os.fsync, dict[Path, bool]()
    hidden = HiddenPlace(tmp_path / "other", 100)

    def looked(fd: int) -> None:
        new = Path(os.readlink(f"/proc/self/fd/{fd}"))
        if new.name.endswith(".held.new"):
            free.update({place: is_free(place) for place in (new.parent, new.parent.parent)})
        fsync(fd)

    monkeypatch.setattr(os, "fsync", looked)
    take(quarantine, tmp_path, record("0" * 10), b"whole")
    take(hidden, tmp_path, record("1" * 10), b"whole")
    assert free[quarantine.directory]
    assert len(free) == 4
    assert all(free.values())
    assert [each.incident for each in hidden.records()] == ["1" * 10]


@pytest.mark.usefixtures("_elsewhere")
def test_room_for_a_copy(quarantine: Quarantine, tmp_path: Path) -> None:
    """A file counts from the beginning of its copy; one that another process has begun anew is left to that one."""
    quarantine.directory.mkdir()
    (tmp_path / "partial").write_bytes(bytes(60))
    directory, fd = os.open(tmp_path, os.O_RDONLY), os.open(tmp_path / "partial", os.O_RDWR)
    place, what = Place(directory, b"partial", ROOT), record("0" * 10)
    try:
        copy = quarantine.begin(what, place, fd)
        assert copy is not None
        assert quarantine.size() == (1, 60)
        assert quarantine.records() == []
        with pytest.raises(Full):
            quarantine.begin(record("1" * 10), place, fd)
        (quarantine.directory / ("0" * 10 + ".held.new")).unlink()
        other = quarantine.begin(what, place, fd)
        with pytest.raises(FileExistsError):
            quarantine.bring(what, place, fd, copy)
        assert (tmp_path / "partial").exists()
        assert quarantine.bring(what, place, fd, other).st_size == 60
    finally:
        os.close(directory)
        os.close(fd)
    assert not (tmp_path / "partial").exists()
    assert [each.incident for each in quarantine.records()] == ["0" * 10]


def is_free(place: Path) -> bool:
    """Return whether the lock of the directory *place* is free."""
    directory = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(directory)
    return True


def test_a_record_that_is_none(quarantine: Quarantine, tmp_path: Path) -> None:
    """It hides no other."""
    take(quarantine, tmp_path, record("0" * 10))
    for number, text in enumerate(("", "[]", "{}", json.dumps({"incident": 1}))):
        name = f"{number + 1:010}"
        (quarantine.directory / f"{name}.held").write_bytes(b"")
        (quarantine.directory / f"{name}.json").write_text(text)
    assert [each.incident for each in quarantine.records()] == ["0" * 10]
