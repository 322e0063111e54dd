"""The files of the quarantine: age, bounds, what a crash leaves, another file system."""

from __future__ import annotations

import errno
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from ftpsd.scanning import quarantine as module
from ftpsd.scanning.quarantine import Full, Quarantine, Record
from ftpsd.storage.disk.syscalls import copy_range
from ftpsd.storage.disk.walk import Place
from ftpsd.values.path import ROOT


def record(incident: str, age: float = 0.0) -> Record:
    """Return the record of a file that came *age* seconds ago."""
    return Record(incident, time.time() - age, "alice", "", "/srv", "/f", "/f", 3, None, "infected", "e", "s", "x")


@pytest.fixture
def quarantine(tmp_path: Path) -> Quarantine:
    """Return one that is not there yet."""
    return Quarantine(tmp_path / "held", 100)


def take(quarantine: Quarantine, folder: Path, what: Record, data: bytes = b"bad") -> None:
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


def test_another_file_system(quarantine: Quarantine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There it is copied, whole, and gone from its tree."""
    rename = os.rename

    def elsewhere(source: object, target: object, **how: int) -> None:
        if source == b"partial":
            raise OSError(errno.EXDEV, "another file system")
        rename(source, target, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "rename", elsewhere)
    take(quarantine, tmp_path, record("0" * 10), b"whole")
    held = quarantine.directory / ("0" * 10 + ".held")
    assert (held.read_bytes(), held.stat().st_mode & 0o777) == (b"whole", 0o600)
    assert not (tmp_path / "partial").exists()


def test_a_copy_holds_up_nobody(quarantine: Quarantine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its room is taken, its file is not there yet, and it is taken once; others come and go meanwhile."""
    rename, copy = os.rename, copy_range
    copying, may_end = Event(), Event()

    def elsewhere(source: object, target: object, **how: int) -> None:
        if os.fspath(str(target)).startswith("0" * 10) and source == b"partial":
            raise OSError(errno.EXDEV, "another file system")
        rename(source, target, **how)  # type: ignore[arg-type]

    def slow(*what: int) -> object:
        copying.set()
        assert may_end.wait(60)
        return copy(*what)

    monkeypatch.setattr(os, "rename", elsewhere)
    monkeypatch.setattr(module, "copy_range", slow)
    first, other = tmp_path / "first", tmp_path / "other"
    for folder in (first, other):
        folder.mkdir()
    with ThreadPoolExecutor(1) as threads:
        try:
            taken = threads.submit(take, quarantine, first, record("0" * 10), bytes(60))
            assert copying.wait(60)
            assert quarantine.size() == (1, 60)
            assert (quarantine.incidents(), quarantine.find("0" * 10)) == (set(), None)
            with pytest.raises(Full):
                take(quarantine, other, record("1" * 10), bytes(41))
            with pytest.raises(BlockingIOError):
                take(quarantine, other, record("0" * 10), bytes(1))
            take(quarantine, other, record("1" * 10), bytes(40))
            assert quarantine.remove("1" * 10)
            assert quarantine.sweep(0) == []
        finally:
            may_end.set()
        taken.result(60)
    assert (quarantine.incidents(), quarantine.size()) == ({"0" * 10}, (1, 60))
    assert quarantine.find("0" * 10) is not None
    assert os.listdir(first) == []


def test_a_copy_that_fails(quarantine: Quarantine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is where it was, and nothing of it here, so that it may come again."""

    rename, unlink = os.rename, os.unlink

    def elsewhere(source: object, target: object, **how: int) -> None:
        if source == b"partial":
            raise OSError(errno.EXDEV, "another file system")
        rename(source, target, **how)  # type: ignore[arg-type]

    def full(*what: int) -> None:
        raise OSError(errno.ENOSPC, "no room")

    def stays(name: object, **how: int) -> None:
        if name == b"partial":
            raise OSError(errno.ENOSPC, "no room")
        unlink(name, **how)  # type: ignore[arg-type]

    for place, name, fails in ((module, "copy_range", full), (os, "unlink", stays)):
        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", elsewhere)
            patch.setattr(place, name, fails)
            with pytest.raises(OSError, match="no room"):
                take(quarantine, tmp_path, record("0" * 10))
        assert (tmp_path / "partial").read_bytes() == b"bad"
        assert os.listdir(quarantine.directory) == []
    take(quarantine, tmp_path, record("0" * 10))
    assert quarantine.find("0" * 10) is not None


def test_a_record_that_is_none(quarantine: Quarantine, tmp_path: Path) -> None:
    """It hides no other."""
    take(quarantine, tmp_path, record("0" * 10))
    for number, text in enumerate(("", "[]", "{}", json.dumps({"incident": 1}))):
        name = f"{number + 1:010}"
        (quarantine.directory / f"{name}.held").write_bytes(b"")
        (quarantine.directory / f"{name}.json").write_text(text)
    assert [each.incident for each in quarantine.records()] == ["0" * 10]
