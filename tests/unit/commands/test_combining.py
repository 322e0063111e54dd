"""COMB: one file of several parts, whole or not at all, and the parts gone only when it is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ftpsd.audit.topics.tree_events import FileDeleted, FilesCombined
from ftpsd.commands.copying import MOST_PARTS
from ftpsd.storage.base import Kind, Sink, StorageError, Terms
from ftpsd.storage.guarded import GuardedStorage
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.pieces.join import Joining
from ftpsd.storage.pieces.piece import PIECE
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.path import VirtualPath
from ftpsd.values.permission import Permission
from ftpsd.values.rule import Rule
from tests.fakes import MemoryStorage
from tests.sessions import ControlClient, clear_server
from tests.unit.commands.huge import HugeStorage
from tests.workers import QueueingWorkers

MISSING = "550 No such file or directory."
DONE = "250 Combined."
ONE, TWO = b"one" * 1000, b"two" * 1000


def among(storage: MemoryStorage | None = None) -> ControlClient:
    """Return a client among parts."""
    server = clear_server(storage=storage)
    _fill(storage or server.memory)
    return server.logged_in()


def _fill(memory: MemoryStorage) -> None:
    memory.put("/one", ONE)
    memory.put("/two", TWO)
    memory.put("/old", b"old")
    memory.put("/two words", b"words")
    memory.put("/dir/inner", b"inner")


def names(client: ControlClient) -> set[str]:
    return set(client.server.memory.tree.root.children)


@pytest.mark.parametrize(
    ("line", "target", "content", "gone"),
    [
        ('COMB "all" "one" "two"', "/all", ONE + TWO, {"one", "two"}),
        ('COMB "all" "two" "one"', "/all", TWO + ONE, {"one", "two"}),
        ("COMB all one two", "/all", ONE + TWO, {"one", "two"}),
        ('COMB "old" "one"', "/old", b"old" + ONE, {"one"}),
        ('COMB  "dir/all"   "two words" one', "/dir/all", b"words" + ONE, {"two words", "one"}),
        ('COMB "all" "/dir/inner"', "/all", b"inner", set()),
        ('COMB "say ""hi""" "one"', '/say "hi"', ONE, {"one"}),
    ],
)
def test_parts_become_one(line: str, target: str, content: bytes, gone: set[str]) -> None:
    """In the order of the command, behind what the target holds; then the parts are deleted."""
    client = among()
    before = names(client)
    assert client.say(line) == DONE
    assert client.server.memory.get(target) == content
    assert before - names(client) == gone


def test_what_is_published() -> None:
    """One event for the file, one for each part that went."""
    client = among()
    client.say("COMB all one two")
    (event,) = client.server.published(FilesCombined)
    assert (event.path, event.parts, event.bytes, event.kept) == ("/all", 2, len(ONE + TWO), 0)
    assert [event.path for event in client.server.published(FileDeleted)] == ["/one", "/two"]


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("COMB all", "501 "),
        ('COMB "all', "501 "),
        ('COMB "all"one', "501 "),
        ("COMB all " + "p " * (MOST_PARTS + 1), "501 "),
        ("COMB all one missing", MISSING),
        ("COMB all one dir", "550 Is a directory."),
        ("COMB dir one", "550 Is a directory."),
        ("COMB missing/all one", MISSING),
        ("COMB all one one", "553 "),
        ("COMB one one", "553 "),
        ("COMB one two ./one", "553 "),
        ("COMB all one x\x1by", "553 "),
    ],
)
def test_what_cannot_be_combined(line: str, reply: str) -> None:
    """Everything stays as it was."""
    client = among()
    before = names(client)
    assert client.say(line).startswith(reply)
    assert names(client) == before
    assert client.server.memory.get("/one") == ONE
    assert client.server.published(FilesCombined) == []
    assert client.server.memory.tree.active == set()


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_a_part_that_is_the_target(tmp_path: Path, link: object) -> None:
    """By another name: 553, or the file would go with its part."""
    assert callable(link)
    (tmp_path / "file").write_bytes(ONE)
    link(tmp_path / "file" if link is os.link else "file", tmp_path / "other")
    storage = LocalJail.open(tmp_path, uploads=UploadPolicy(), owner="alice")
    assert clear_server(storage=storage).logged_in().say("COMB file other").startswith("553 ")
    assert (tmp_path / "file").read_bytes() == ONE


def test_on_disk_nothing_is_left_behind(tmp_path: Path) -> None:
    """Neither parts nor what the target grew in."""
    storage = jail_with_parts(tmp_path)
    assert clear_server(storage=storage).logged_in().say("COMB all one two") == DONE
    assert (tmp_path / "all").read_bytes() == ONE + TWO
    assert os.listdir(tmp_path) == ["all"]


def test_beside_an_unfinished_upload(tmp_path: Path) -> None:
    """Yesterday's is not what it begins with; and whose upload that was does not go on behind today's file."""
    storage = jail_with_parts(tmp_path)
    target = VirtualPath.parse("/all")
    unfinished = storage.open_sink(target)
    unfinished.write(memoryview(b"yesterday"))
    unfinished.abort()
    client = clear_server(storage=storage).logged_in()
    assert client.say("COMB all one two") == DONE
    assert (tmp_path / "all").read_bytes() == ONE + TWO
    (tmp_path / "three").write_bytes(b"three")
    assert client.say("COMB all three").startswith("550 A newer upload of this file is unfinished")
    assert (tmp_path / "three").read_bytes() == b"three"
    with pytest.raises(StorageError) as refusal:
        storage.open_sink(target, Terms(offset=len(ONE + TWO)))
    assert refusal.value.kind is Kind.UNFINISHED


@pytest.mark.parametrize("target", ["all", "two"])
def test_given_up_it_is_no_beginning(tmp_path: Path, target: str) -> None:
    """Of a target: it is as it was, and nobody finds what was joined."""
    storage = jail_with_parts(tmp_path)
    joining = Joining(storage, VirtualPath.parse(f"/{target}"), [VirtualPath.parse("/one")])
    assert joining.step()
    joining.close()
    assert sorted(os.listdir(tmp_path)) == ["one", "two"]


def jail_with_parts(directory: Path) -> LocalJail:
    """Return a storage on disk with two files in it."""
    for name, data in (("one", ONE), ("two", TWO)):
        (directory / name).write_bytes(data)
    return LocalJail.open(directory, uploads=UploadPolicy(), owner="alice")


@pytest.mark.parametrize(
    ("allowed", "target", "reply"),
    [
        ("list read upload append delete", "new", DONE),
        ("list read upload delete", "new", DONE),
        ("list read upload append delete", "old", DONE),
        ("list read upload delete", "old", "550 File exists."),
        ("list read append delete", "new", "550 Permission denied."),
        ("list read upload append", "new", "550 Permission denied."),
        ("list upload append delete", "new", "550 Permission denied."),
    ],
)
def test_permissions(allowed: str, target: str, reply: str) -> None:
    """Upload or append for the target, read and delete for the parts, all asked for before anything is done."""
    memory = MemoryStorage()
    _fill(memory)
    rule = Rule("/**", frozenset(map(Permission, allowed.split())))
    client = clear_server(storage=GuardedStorage(memory, [rule])).logged_in()
    assert client.say(f"COMB {target} one two") == reply
    assert ("one" in memory.tree.root.children) is (reply != DONE)


def test_a_full_disk() -> None:
    """452, and all is as it was."""
    client = among()
    client.server.memory.tree.room = 100
    before = names(client)
    assert client.say("COMB all one two").startswith("452 ")
    assert names(client) == before


@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize("is_there", [True, False])
def test_the_parts_go_when_the_target_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool, atomic: bool
) -> None:
    """Also where uploads are not durable: a power cut behind the deletion would take the only copy there is."""
    for name in ("one", "two", "all")[: 3 if is_there else 2]:
        (tmp_path / name).write_bytes(name.encode())
    made: list[str] = []
    sync, unlink = os.fsync, os.unlink

    def fsync(fd: int) -> None:
        made.append(f"fsync {Path(os.readlink(f'/proc/self/fd/{fd}')).name}")
        # All the bytes are there to be synced.
        assert os.fstat(fd).st_size == 6 + 3 * is_there or os.path.isdir(f"/proc/self/fd/{fd}")
        sync(fd)

    def removed(name: bytes, **options: int) -> None:
        made.append(f"unlink {name.decode()}")
        unlink(name, **options)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "unlink", removed)
    jail = LocalJail.open(tmp_path, uploads=UploadPolicy(atomic=atomic, durable=False), owner="alice")
    target, *parts = (VirtualPath.parse(path) for path in ("/all", "/one", "/two"))
    joining = Joining(jail, target, parts)
    while not joining.step():
        pass
    joining.commit()
    joining.close()
    assert (tmp_path / "all").read_bytes() == b"all" * is_there + b"onetwo"
    file, *directory, first, second = made
    assert file.startswith("fsync .ftpsd-" if atomic else "fsync all")
    assert directory == ([f"fsync {tmp_path.name}"] if atomic or not is_there else [])
    assert (first, second) == ("unlink one", "unlink two")


class Stubborn(MemoryStorage):
    """Does not let `/two` be deleted, and changes `/one` when the target is published."""

    def open_sink(self, path: VirtualPath, terms: Terms = Terms()) -> Sink:
        """Change a part."""
        sink = super().open_sink(path, terms)
        commit = sink.commit

        def commit_and_change() -> None:
            commit()
            self.put("/one", b"changed")

        sink.commit = commit_and_change  # type: ignore[method-assign]
        return sink

    def remove_file(self, path: VirtualPath) -> None:
        """Refuse."""
        raise StorageError(Kind.DENIED, path)


def test_parts_that_cannot_be_deleted() -> None:
    """The file is there, so it is 250: a client that tried again would append everything twice."""
    memory = Stubborn()
    client = among(memory)
    assert client.say("COMB all one two") == "250 Combined. 2 of the parts could not be deleted."
    assert memory.get("/all") == ONE + TWO
    assert memory.get("/one") == b"changed"
    assert [event.kept for event in client.server.published(FilesCombined)] == [2]


def test_abor_ends_it() -> None:
    """426, then 226; nothing is published, nothing stays open, the parts are there."""
    storage = HugeStorage(2 * PIECE + 1)
    workers = QueueingWorkers()
    client = clear_server(files=workers, storage=storage).logged_in()
    storage.put("/huge", bytes(1))
    storage.size = storage.ends_at = 1
    client.send("COMB all huge")
    workers.release(1)
    client.send("ABOR")
    workers.release()
    assert [reply[:3] for reply in client.replies().split("\n")] == ["426", "226"]
    assert set(storage.tree.root.children) == {"huge"}
    assert storage.tree.active == set()


def test_feat() -> None:
    """As the servers that have it tell of it."""
    assert " COMB target;source_list" in among().say("FEAT").split("\n")
