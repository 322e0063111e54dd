"""SITE CPFR and CPTO: a whole copy or none, with the permissions of both ends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ftpsd.audit.topics.tree_events import FileCopied
from ftpsd.storage.guarded import GuardedStorage
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.pieces.piece import PIECE
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.permission import Permission
from ftpsd.values.rule import Rule
from tests.fakes import MemoryStorage
from tests.sessions import ControlClient, clear_server
from tests.unit.commands.huge import HugeStorage
from tests.workers import QueueingWorkers

MISSING = "550 No such file or directory."
DATA = bytes(range(256)) * 2000
SHA256_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def files() -> ControlClient:
    """Return a client among some files."""
    server = clear_server()
    server.memory.put("/file", DATA)
    server.memory.put("/old", b"old")
    server.memory.put("/empty", b"")
    server.memory.put("/dir/inner", b"inner")
    return server.logged_in()


def copy(client: ControlClient, old: str, new: str) -> str:
    """Copy, and return the last reply."""
    assert client.say(f"SITE CPFR {old}").startswith("350 ")
    return client.say(f"SITE CPTO {new}")


@pytest.mark.parametrize("new", ["new", "two words", "dir/new", "old"])
def test_a_copy_is_whole(new: str) -> None:
    """The old file stays; what was under the new name is replaced."""
    client = files()
    assert copy(client, "file", new) == "250 Copied."
    assert client.server.memory.get(f"/{new}") == client.server.memory.get("/file") == DATA


def test_an_empty_file() -> None:
    """Is copied too."""
    client = files()
    assert copy(client, "empty", "new") == "250 Copied."
    assert client.server.memory.get("/new") == b""


def test_a_copy_is_published() -> None:
    """Both names, the bytes, the SHA-256."""
    client = files()
    copy(client, "empty", "new")
    (event,) = client.server.published(FileCopied)
    assert (event.old, event.new, event.bytes, event.sha256) == ("/empty", "/new", 0, SHA256_OF_NOTHING)


def test_cpto_needs_cpfr() -> None:
    """503, each time."""
    client = files()
    assert client.say("SITE CPTO new") == "503 Send SITE CPFR first."
    copy(client, "file", "new")
    assert client.say("SITE CPTO newer") == "503 Send SITE CPFR first."


@pytest.mark.parametrize(
    ("path", "reply"), [("missing", MISSING), ("dir", "550 Not a plain file; directories are not copied.")]
)
def test_what_cannot_be_copied(path: str, reply: str) -> None:
    """550, and a CPFR before it is forgotten."""
    client = files()
    client.say("SITE CPFR file")
    assert client.say(f"SITE CPFR {path}") == reply
    assert client.say("SITE CPTO new").startswith("503 ")


@pytest.mark.parametrize(
    ("path", "reply"), [("missing/new", MISSING), ("dir", "550 Is a directory."), ("x" * 300, "553 ")]
)
def test_where_nothing_can_be_copied_to(path: str, reply: str) -> None:
    """As for an upload."""
    client = files()
    assert copy(client, "file", path).startswith(reply)
    assert client.server.published(FileCopied) == []


def test_onto_itself() -> None:
    """553: written in place, the file would be cut before it is read."""
    client = files()
    assert copy(client, "file", "./dir/../file").startswith("553 ")
    assert client.server.memory.get("/file") == DATA


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_onto_itself_by_another_name(tmp_path: Path, link: object) -> None:
    """Two names of one file are one file."""
    assert callable(link)
    (tmp_path / "file").write_bytes(DATA)
    link(tmp_path / "file" if link is os.link else "file", tmp_path / "other")
    storage = LocalJail.open(tmp_path, uploads=UploadPolicy(atomic=False), owner="alice")
    client = clear_server(storage=storage).logged_in()
    assert copy(client, "file", "other").startswith("553 ")
    assert (tmp_path / "file").read_bytes() == DATA


@pytest.mark.parametrize(
    ("allowed", "reply"),
    [
        ({Permission.LIST, Permission.READ}, "550 Permission denied."),
        ({Permission.LIST, Permission.UPLOAD}, "550 Permission denied."),
        ({Permission.LIST, Permission.READ, Permission.UPLOAD}, "250 Copied."),
    ],
)
def test_permissions(allowed: set[Permission], reply: str) -> None:
    """A copy reads and uploads."""
    memory = MemoryStorage()
    memory.put("/file", DATA)
    client = clear_server(storage=GuardedStorage(memory, [Rule("/**", frozenset(allowed))])).logged_in()
    assert copy(client, "file", "new") == reply


def test_overwriting_is_a_permission_of_its_own() -> None:
    """As for an upload."""
    memory = MemoryStorage()
    memory.put("/file", DATA)
    memory.put("/old", b"old")
    allowed = frozenset({Permission.LIST, Permission.READ, Permission.UPLOAD})
    client = clear_server(storage=GuardedStorage(memory, [Rule("/**", allowed)])).logged_in()
    assert copy(client, "file", "old") == "550 File exists."
    assert memory.get("/old") == b"old"


def test_a_full_disk() -> None:
    """452, and nothing under the new name."""
    client = files()
    client.server.memory.tree.room = 1000
    assert copy(client, "file", "new").startswith("452 ")
    assert "new" not in client.server.memory.tree.root.children
    assert client.server.published(FileCopied) == []
    assert client.server.memory.tree.active == set()


def copying(storage: HugeStorage) -> tuple[ControlClient, QueueingWorkers]:
    """Return a client in the middle of a copy of three pieces, and the workers that have made the first."""
    workers = QueueingWorkers()
    client = clear_server(files=workers, storage=storage).logged_in()
    client.send("SITE CPFR huge")
    workers.release()
    client.send("SITE CPTO new")
    workers.release(2)
    assert storage.read == PIECE
    assert client.replies().startswith("350 ")
    return client, workers


def test_a_large_copy_is_made_in_pieces() -> None:
    """Others have their turn between them, and the copy is there when it is whole."""
    storage = HugeStorage(2 * PIECE + 1)
    client, workers = copying(storage)
    assert storage.read == PIECE
    workers.release()
    assert client.replies() == "250 Copied."
    assert len(storage.get("/new")) == 2 * PIECE + 1


def test_a_session_that_has_gone_is_not_worked_for() -> None:
    """The piece under way is the last; nothing is published, nothing stays open."""
    storage = HugeStorage(2 * PIECE + 1)
    client, workers = copying(storage)
    client.hang_up()
    workers.release()
    assert storage.read == 2 * PIECE
    assert not client.pi.is_busy
    assert "new" not in storage.tree.root.children
    assert storage.tree.active == set()


def test_abor_ends_a_copy() -> None:
    """426, then 226; nothing is published, nothing stays open."""
    storage = HugeStorage(2 * PIECE + 1)
    client, workers = copying(storage)
    client.send("ABOR")
    workers.release()
    assert [reply[:3] for reply in client.replies().split("\n")] == ["426", "226"]
    assert "new" not in storage.tree.root.children
    assert storage.tree.active == set()


def test_a_file_that_is_cut_meanwhile() -> None:
    """450: the copy would be neither the old file nor the new one."""
    storage = HugeStorage(2 * PIECE + 1)
    client, workers = copying(storage)
    storage.ends_at = PIECE + 1
    workers.release()
    assert client.replies() == "450 File is busy, try again later."
    assert "new" not in storage.tree.root.children


def test_feat() -> None:
    """WinSCP copies on the server where FEAT has SITE COPY, ProFTPD's word for both commands."""
    assert " SITE COPY" in files().say("FEAT").split("\n")
