"""A directory of backups: the order of their names, and what others may have put there."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path

import pytest

from ftpsd.backups.backing_up import Backup, LastMade, Scope
from ftpsd.backups.manifest import Damaged, Header, ManifestWriter, Owners
from ftpsd.backups.repository import DirectoryRepository, name_at, name_behind
from ftpsd.backups.stored_backups import manifest_of, thin_out, verify_all

AHEAD = "20991231T235959Z-999999"
BEHIND = "21000101T000000Z-000000"


@pytest.fixture
def repository(tmp_path: Path) -> DirectoryRepository:
    """An empty one."""
    made = DirectoryRepository(tmp_path / "backups")
    made.make()
    return made


def scope(tree: Path) -> Scope:
    """Return that of one home with one file."""
    tree.mkdir(exist_ok=True)
    (tree / "a").write_bytes(b"")
    return Scope((), (("homes", tree),), None, False, frozenset())


def test_a_backup_has_a_name_behind_that_of_the_last_one(repository: DirectoryRepository, tmp_path: Path) -> None:
    """Also where the clock was ahead when that was made: it is the newest, and stays."""
    assert name_behind("", 1.25) == name_behind("19700101T000001Z-249999", 1.25) == name_at(1.25)
    stream = io.BytesIO()
    writer = ManifestWriter(stream, Header(AHEAD, 0.0, "files1", "0", has_keys=False, sequence=3), None)
    writer.end(Owners())
    repository.publish(AHEAD, stream)
    copied = Backup(scope(tmp_path / "home"), repository).make()
    assert (copied.name, copied.sequence) == (BEHIND, 4)
    assert manifest_of(repository, BEHIND).header.moment <= time.time()
    assert thin_out(repository, 1, None, time.time()) == 1
    assert repository.names() == [BEHIND]
    assert verify_all(repository).damaged == 0
    # Where that list is gone, this server still knows of it.
    repository.remove(BEHIND)
    assert Backup(scope(tmp_path / "home"), repository, before=LastMade(AHEAD, 3)).make().name == BEHIND


def test_what_is_no_plain_file_is_damaged(repository: DirectoryRepository, tmp_path: Path) -> None:
    """A pipe in place of an object or a list keeps nobody waiting; what has the name of no moment is no backup."""
    first = Backup(scope(tmp_path / "home"), repository).make().name
    (digest,) = repository.objects()
    place = repository.directory / "objects" / digest[:2] / digest
    place.unlink()
    os.mkfifo(place)
    with pytest.raises(Damaged, match="no plain file"):
        repository.fetch(digest, io.BytesIO())
    assert Backup(scope(tmp_path / "home"), repository).make().stored == 1
    assert verify_all(repository).damaged == 0
    (repository.directory / "backups" / "00000000T000000Z-000000.jsonl").touch()
    assert first in repository.names()
    assert len(repository.names()) == 2
    os.mkfifo(repository.directory / "backups" / f"{AHEAD}.jsonl")
    assert "no plain file" in verify_all(repository).lists[0]
    (repository.directory / "lock").unlink(missing_ok=True)
    os.mkfifo(repository.directory / "lock")
    with pytest.raises(OSError, match="No such device"), repository.alone():
        pytest.fail("it is held by nothing")
