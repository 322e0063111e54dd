"""How much room there is: ALLO, AVBL, what a quota refuses; and what mounts do not do."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftpsd.audit.events import QuotaExceeded
from ftpsd.storage.base import Kind, Storage, StorageError
from ftpsd.storage.guarded import GuardedStorage
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.mounts import MountedStorage
from ftpsd.storage.quota.account import QuotaAccount
from ftpsd.storage.quota.usage import Quota
from ftpsd.storage.upload import UploadPolicy
from ftpsd.wire.path import VirtualPath
from tests.fakes import MemoryStorage, MemoryTree
from tests.sessions import ControlClient, clear_server


def over(storage: Storage) -> ControlClient:
    """Return a client that is logged in to *storage*."""
    return clear_server(storage=storage).logged_in()


@pytest.fixture
def small(tmp_path: Path) -> Storage:
    """Return a home with room for ten bytes, one file and one directory."""
    ledger = QuotaAccount(tmp_path).ledger(Quota(bytes=10, files=1))
    return LocalJail.open(tmp_path, uploads=UploadPolicy(durable=False), owner="alice", ledger=ledger)


class TestAllo:
    """The size of an upload, announced."""

    @pytest.mark.parametrize("line", ["ALLO 10", "ALLO 0", "ALLO 10 R 99", "ALLO 0000000010"])
    def test_what_fits(self, small: Storage, line: str) -> None:
        """The last byte may be used; the size of a record says nothing."""
        assert over(small).say(line) == "202 No allocation is needed."

    @pytest.mark.parametrize("line", ["ALLO 11", "ALLO 11 R 1", f"ALLO {'9' * 4000}"])
    def test_what_does_not_fit(self, small: Storage, line: str) -> None:
        """Refused before anything is sent."""
        assert over(small).say(line) == "552 Only 10 bytes are left."

    def test_who_may_not_look(self) -> None:
        """A drop box tells nothing about its disk, and its uploads begin all the same."""
        assert over(GuardedStorage(MemoryStorage(MemoryTree(room=5)), [])).say("ALLO 10")[:3] == "202"


class TestAvbl:
    """How much is left."""

    def test_of_the_working_directory(self, small: Storage) -> None:
        """The quota, where it leaves less than the disk."""
        assert over(small).say("AVBL") == "213 10"

    def test_of_the_disk(self) -> None:
        """The disk, where nothing else holds."""
        assert over(MemoryStorage(MemoryTree(room=77))).say("AVBL /") == "213 77"

    def test_of_a_mount(self, small: Storage) -> None:
        """A mount has a disk of its own and no quota."""
        client = over(MountedStorage(small, {VirtualPath(("m",)): MemoryStorage(MemoryTree(room=77))}))
        assert [client.say(line) for line in ("AVBL", "AVBL m", "AVBL /m")] == ["213 10", "213 77", "213 77"]

    def test_of_no_directory(self) -> None:
        """What is no directory has no room."""
        storage = MemoryStorage()
        storage.put("/a", b"")
        assert over(storage).say("AVBL a") == "550 Not a directory."
        assert over(storage).say("AVBL b") == "550 No such file or directory."

    def test_it_is_announced(self) -> None:
        """FEAT has it."""
        assert " AVBL" in clear_server().connect().say("FEAT").split("\n")


def test_a_quota_that_is_reached_is_in_the_audit_log(small: Storage) -> None:
    """With the command and the path."""
    client = over(small)
    assert client.say("MKD /a")[:3] == "257"
    assert client.say("MKD /b") == "552 Quota exceeded."
    (event,) = client.server.published(QuotaExceeded)
    assert (event.command, event.path, event.who.user) == ("MKD", "/b", "alice")


def test_a_rename_to_another_mount() -> None:
    """The reply says what to do instead, and nothing is moved."""
    home, tree = MemoryStorage(), MemoryStorage()
    home.put("/a", b"1")
    client = over(MountedStorage(home, {VirtualPath(("m",)): tree}))
    assert client.say("RNFR a")[:3] == "350"
    assert client.say("RNTO /m/a") == "553 Cannot be moved to another file system; upload it there and delete it here."
    assert home.get("/a") == b"1"
    with pytest.raises(StorageError) as caught:
        tree.stat(VirtualPath(("a",)))
    assert caught.value.kind is Kind.NOT_FOUND
