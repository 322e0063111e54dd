"""How much room there is: ALLO, AVBL, what a quota refuses; and what mounts do not do."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftpsd.audit.topics.tree_events import QuotaExceeded
from ftpsd.control.work import COUNT_LOOK, COUNT_PATIENCE
from ftpsd.storage.base import Kind, Storage, StorageError
from ftpsd.storage.guarded import GuardedStorage
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.mounts import MountedStorage
from ftpsd.storage.quota.account import QuotaAccount
from ftpsd.storage.quota.change import QuotaLedger
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.path import VirtualPath
from ftpsd.values.quota import Quota
from tests.fakes import MemoryStorage
from tests.memory import MemoryTree
from tests.sessions import ControlClient, clear_server


def over(storage: Storage) -> ControlClient:
    """Return a client that is logged in to *storage*."""
    return clear_server(storage=storage).logged_in()


@pytest.fixture
def small(tmp_path: Path) -> Storage:
    """Return a home with room for ten bytes, one file and one directory."""
    account = QuotaAccount(tmp_path)
    account.count()
    ledger = QuotaLedger(account, Quota(bytes=10, files=1))
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
        """A path that is no directory has no room."""
        storage = MemoryStorage()
        storage.put("/a", b"")
        assert over(storage).say("AVBL a") == "550 Not a directory."
        assert over(storage).say("AVBL b") == "550 No such file or directory."

    def test_it_is_announced(self) -> None:
        """FEAT has it."""
        assert " AVBL" in clear_server().connect().say("FEAT").split("\n")


class TestQuota:
    """How a quota stands: SITE QUOTA."""

    def test_of_the_home(self, small: Storage) -> None:
        """The reply tells what there is, of what there may be."""
        client = over(small)
        assert client.say("MKD /a")[:3] == "257"
        lines = ["200-Quota:", " bytes: 0 of 10", " files: 0 of 1", " directories: 1 of 1", "200 End."]
        assert client.say("SITE QUOTA").split("\n") == lines

    def test_of_half_a_quota(self, tmp_path: Path) -> None:
        """A number without a bound is told all the same."""
        (tmp_path / "a").write_bytes(b"123")
        account = QuotaAccount(tmp_path)
        account.count()
        home = LocalJail.open(
            tmp_path, uploads=UploadPolicy(), owner="alice", ledger=QuotaLedger(account, Quota(bytes=5))
        )
        assert over(home).say("SITE QUOTA").split("\n")[1:3] == [" bytes: 3 of 5", " files: 1 of any number"]

    def test_where_there_is_none(self, small: Storage) -> None:
        """A mount, and a home without a quota."""
        client = over(MountedStorage(small, {VirtualPath(("m",)): MemoryStorage()}))
        assert client.say("SITE QUOTA /m") == "200 No quota holds here."
        assert client.say("SITE QUOTA")[:4] == "200-"
        assert over(MemoryStorage()).say("SITE QUOTA") == "200 No quota holds here."

    def test_who_may_not_look(self, small: Storage) -> None:
        """A drop box does not tell how much others have put there."""
        assert over(GuardedStorage(small, [])).say("SITE QUOTA") == "550 No such file or directory."


class TestBeforeTheCount:
    """Operations that need room while nobody knows yet how much there is."""

    @pytest.fixture
    def account(self, tmp_path: Path) -> QuotaAccount:
        """Return the account of a home with a file and a directory, not counted yet."""
        (tmp_path / "old").write_bytes(b"123")
        return QuotaAccount(tmp_path)

    @pytest.fixture
    def client(self, tmp_path: Path, account: QuotaAccount) -> ControlClient:
        """Return a client whose home that is, and may hold ten bytes."""
        ledger = QuotaLedger(account, Quota(bytes=10))
        return over(LocalJail.open(tmp_path, uploads=UploadPolicy(durable=False), owner="alice", ledger=ledger))

    @pytest.mark.parametrize(
        ("line", "answer"),
        [
            ("MKD new", '257 "/new" created.'),
            ("SITE CPTO copy", "250 Copied."),
            ("AVBL", "213 7"),
            ("ALLO 8", "552 Only 7 bytes are left."),
            ("SITE QUOTA", "200-Quota:"),
        ],
    )
    def test_it_waits(self, client: ControlClient, account: QuotaAccount, line: str, answer: str) -> None:
        """The answer comes as soon as the count is over, and it is the right one."""
        assert client.say("SITE CPFR old")[:3] == "350"
        assert client.say(line) == ""
        assert account.count()
        client.server.reactor.advance(COUNT_LOOK)
        assert client.replies().split("\n")[0] == answer

    def test_it_does_not_wait_for_ever(self, client: ControlClient) -> None:
        """After some seconds the client is asked to come again, and the session goes on."""
        assert client.say("MKD new") == ""
        client.server.reactor.pump([COUNT_LOOK] * int(COUNT_PATIENCE / COUNT_LOOK + 2))
        assert client.replies() == "450 What is stored is still being counted, try again in a moment."
        assert client.say("NOOP") == "200 OK."

    def test_who_leaves_waits_no_longer(self, client: ControlClient) -> None:
        """The end of the session is the end of the wait."""
        assert client.say("MKD new") == ""
        client.hang_up()
        assert client.server.reactor.getDelayedCalls() == []


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
