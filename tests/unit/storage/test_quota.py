"""Quotas: what is counted, what is refused, and that the account is always what a fresh count finds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ftpsd.storage.base import Kind, Storage, Terms
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.quota.account import RECOUNT_AFTER, RECOUNT_AFTER_REFUSAL, QuotaAccount
from ftpsd.storage.quota.change import QuotaLedger
from ftpsd.storage.quota.register import QuotaAccounts
from ftpsd.storage.uploads.sweep import sweep_partials
from ftpsd.values.quota import Quota, Standing, Usage
from tests.contracts.storages import at, get, interrupt, kind_of, names, put, write
from tests.unit.storage.accounts import ATOMIC, DIRECT, ENDLESS, POLICIES, fresh, opened


@pytest.fixture
def account(home: Path) -> QuotaAccount:
    """Return the account of an empty home, counted."""
    account = QuotaAccount(home)
    assert account.count()
    return account


class TestCounting:
    """The entries that are counted."""

    def test_what_is_there(self, home: Path, outside: Path) -> None:
        """Files with their sizes, hidden ones too, directories, and links as empty files; nothing behind links."""
        (home / "d").mkdir()
        (home / "d" / "a").write_bytes(b"123")
        (home / ".ftpsd-0123456789abcdef-r0123456789abcdef0123456789abcdef").write_bytes(b"12")
        (home / "out").symlink_to(outside)
        (home / "link").symlink_to("d/a")
        os.mkfifo(home / "fifo")
        account = QuotaAccount(home)
        assert account.count()
        assert (account.used, account.is_counted) == (Usage(5, 4, 1), True)

    def test_a_home_that_is_gone(self, home: Path) -> None:
        """Without a home nothing is counted, and nothing breaks."""
        assert not QuotaAccount(home / "no").count()

    def test_a_count_that_is_stopped(self, home: Path) -> None:
        """A count that may not go on leaves the account as it was."""
        (home / "a").write_bytes(b"123")
        account = QuotaAccount(home)
        assert not account.count(is_stopped=lambda: True)
        assert (account.used, account.is_counted, account.is_due) == (Usage(), False, True)

    def test_a_change_that_takes_long(self, home: Path) -> None:
        """A count gives up while a change goes on and on; the next one takes it in."""
        account = QuotaAccount(home)
        with QuotaLedger(account, ENDLESS).change() as change:
            assert not account.count(patience=0.01)
            (home / "d").mkdir()
            change.came((home / "d").lstat())
        assert account.count(patience=1)
        assert account.used == Usage(directories=1)

    @pytest.mark.parametrize("quota", [Quota(bytes=8), Quota(files=1)])
    def test_before_the_count_nothing_is_stored(self, home: Path, quota: Quota) -> None:
        """Until it is known how much there is, whoever has a quota is neither allowed nor refused more: ask again."""
        (home / "old").write_bytes(b"x" * 5)
        account = QuotaAccount(home)
        storage = opened(home, account, quota)
        calls: list[Callable[[], object]] = [
            lambda: storage.open_sink(at("/old")),
            lambda: storage.open_sink(at("/old"), Terms(append=True)),
            lambda: storage.open_sink(at("/new"), Terms(unique=True)),
            lambda: storage.make_directory(at("/d")),
            lambda: storage.make_link(at("/link"), at("/old")),
            lambda: storage.free_bytes(at("/")),
            lambda: storage.standing(at("/")),
        ]
        assert {kind_of(call) for call in calls} == {Kind.COUNTING}
        assert fresh(home) == Usage(5, 1)
        assert account.count()
        assert storage.standing(at("/")) == Standing(Usage(5, 1), quota)

    def test_before_the_count_all_else_works(self, home: Path) -> None:
        """Reading needs no count, nor does what takes away or moves; the count takes in what it did."""
        for name in ("gone", "moved", "read"):
            (home / name).write_bytes(b"123")
        account = QuotaAccount(home)
        storage = opened(home, account, Quota(bytes=8))
        storage.remove_file(at("/gone"))
        storage.rename(at("/moved"), at("/there"))
        assert (get(storage, "/read"), sorted(names(storage))) == (b"123", ["read", "there"])
        assert account.count()
        assert account.used == fresh(home) == Usage(6, 2)

    def test_who_has_no_quota_waits_for_no_count(self, home: Path) -> None:
        """A guest in the home stores files at any time, and the count takes them in."""
        account = QuotaAccount(home)
        guest = opened(home, account, ENDLESS)
        put(guest, "/a", b"123")
        assert guest.standing(at("/")) is None
        assert account.count()
        assert account.used == fresh(home) == Usage(3, 1)

    def test_a_special_file_that_is_removed_frees_nothing(self, home: Path, account: QuotaAccount) -> None:
        """Special files count for nothing, so they free nothing."""
        os.mkfifo(home / "fifo")
        storage = opened(home, account)
        storage.remove_file(at("/fifo"))
        assert account.used == Usage()

    def test_a_link_is_an_empty_file(self, home: Path, account: QuotaAccount) -> None:
        """From when it is made until it is deleted or replaced; what it leads to counts once."""
        storage = opened(home, account)
        put(storage, "/a", b"123")
        storage.make_link(at("/link"), at("/a"))
        storage.make_link(at("/other"), at("/link"))
        assert account.used == fresh(home) == Usage(3, 3)
        storage.rename(at("/link"), at("/renamed"))
        assert account.used == fresh(home) == Usage(3, 3)
        storage.remove_file(at("/other"))
        assert account.used == fresh(home) == Usage(3, 2)
        storage.rename(at("/a"), at("/renamed"))
        assert account.used == fresh(home) == Usage(3, 1)

    def test_one_of_two_names_of_a_link(self, home: Path, account: QuotaAccount) -> None:
        """A link that another program has given two names counts twice, as a file does."""
        storage = opened(home, account)
        (home / "a").symlink_to("x")
        os.link(home / "a", home / "b", follow_symlinks=False)
        assert account.count()
        assert account.used == fresh(home) == Usage(0, 2)
        storage.remove_file(at("/a"))
        assert account.used == fresh(home) == Usage(0, 1)

    def test_links_are_held_to_the_number_of_files(self, home: Path, account: QuotaAccount) -> None:
        """Nobody fills a disk with links."""
        storage = opened(home, account, Quota(files=2))
        put(storage, "/a", b"")
        storage.make_link(at("/link"), at("/a"))
        assert kind_of(storage.make_link, at("/other"), at("/a")) is Kind.QUOTA
        storage.remove_file(at("/link"))
        storage.make_link(at("/other"), at("/a"))
        assert names(storage) == ["a", "other"]

    def test_one_of_two_names_of_a_file(self, home: Path, account: QuotaAccount) -> None:
        """A file with two names counts twice, also when one name is renamed to the other, which does nothing."""
        storage = opened(home, account)
        put(storage, "/a", b"123")
        os.link(home / "a", home / "b")
        assert account.count()
        storage.rename(at("/a"), at("/b"))
        assert account.used == fresh(home) == Usage(6, 2)
        storage.remove_file(at("/a"))
        assert account.used == fresh(home) == Usage(3, 1)

    def test_two_users_of_one_home(self, home: Path, account: QuotaAccount) -> None:
        """The room that one of them takes is no longer there for the other."""
        alice, bob = (opened(home, account, Quota(bytes=limit), owner=f"{limit}") for limit in (10, 20))
        put(bob, "/b", b"x" * 15)
        assert kind_of(put, alice, "/a", b"1") is Kind.QUOTA
        assert (alice.free_bytes(at("/")), bob.free_bytes(at("/"))) == (0, 5)


class TestRefusing:
    """The operations that a quota refuses."""

    @pytest.fixture(params=POLICIES)
    def storage(self, request: pytest.FixtureRequest, home: Path, account: QuotaAccount) -> Storage:
        """Return a storage with room for ten bytes and two files."""
        return opened(home, account, Quota(bytes=10, files=2), policy=POLICIES[request.param])

    def test_the_last_byte_fits(self, storage: Storage) -> None:
        """A quota can be used up."""
        put(storage, "/a", b"x" * 10)
        assert (get(storage, "/a"), storage.free_bytes(at("/"))) == (b"x" * 10, 0)

    def test_the_byte_beyond_is_refused(self, storage: Storage, home: Path) -> None:
        """The bytes that fit are written, then the upload is refused at the very byte."""
        sink = storage.open_sink(at("/a"))
        write(sink, b"1234567")
        assert kind_of(write, sink, b"890ab") is Kind.QUOTA
        assert fresh(home).bytes == 10
        sink.abort()

    def test_after_a_refusal_nothing_more_is_written(self, storage: Storage) -> None:
        """Room that appears behind a refusal does not take bytes with a gap before them, or the same ones twice."""
        put(storage, "/old", b"12345")
        sink = storage.open_sink(at("/a"))
        assert kind_of(write, sink, b"abcdefgh") is Kind.QUOTA
        storage.remove_file(at("/old"))
        assert kind_of(write, sink, b"abcdefgh") is Kind.IO
        assert storage.free_bytes(at("/")) == 5
        assert kind_of(sink.commit) is Kind.IO

    def test_one_file_too_many(self, storage: Storage) -> None:
        """A new file beyond the quota is refused before its first byte."""
        put(storage, "/a", b"")
        put(storage, "/b", b"")
        assert kind_of(storage.open_sink, at("/c")) is Kind.QUOTA
        assert names(storage) == ["a", "b"]

    def test_replacing_a_file_needs_no_room_for_another(self, storage: Storage) -> None:
        """A user with as many files as allowed can still replace them, and append to them."""
        put(storage, "/a", b"")
        put(storage, "/b", b"")
        put(storage, "/a", b"1")
        put(storage, "/a", b"2", append=True)
        assert get(storage, "/a") == b"12"

    def test_one_directory_too_many(self, storage: Storage) -> None:
        """Directories are as many as files may be, by themselves."""
        put(storage, "/a", b"")
        put(storage, "/b", b"")
        storage.make_directory(at("/d"))
        storage.make_directory(at("/d/e"))
        assert kind_of(storage.make_directory, at("/f")) is Kind.QUOTA
        storage.remove_directory(at("/d/e"))
        storage.make_directory(at("/f"))

    def test_deleting_makes_room(self, storage: Storage) -> None:
        """A deleted file can be stored again."""
        put(storage, "/a", b"x" * 10)
        storage.remove_file(at("/a"))
        put(storage, "/b", b"y" * 10)

    def test_replacing_by_a_rename_makes_room(self, storage: Storage) -> None:
        """The file that is replaced is gone."""
        put(storage, "/a", b"x" * 5)
        put(storage, "/b", b"y" * 5)
        storage.rename(at("/a"), at("/b"))
        put(storage, "/c", b"z" * 5)


class TestPartials:
    """Unfinished uploads."""

    def test_they_count(self, home: Path, account: QuotaAccount) -> None:
        """A quota is not evaded by uploads that are never finished."""
        storage = opened(home, account, Quota(bytes=10, files=3))
        interrupt(storage, "/a", b"x" * 6)
        assert kind_of(put, storage, "/b", b"y" * 6) is Kind.QUOTA
        assert account.used == fresh(home) == Usage(10, 2)

    def test_replaced_and_replacing_file_both_count(self, home: Path, account: QuotaAccount) -> None:
        """Until the new file is complete, both are on the disk."""
        storage = opened(home, account, Quota(bytes=10))
        put(storage, "/a", b"x" * 6)
        assert kind_of(put, storage, "/a", b"y" * 6) is Kind.QUOTA
        assert get(storage, "/a") == b"x" * 6

    def test_one_more_file_is_the_most(self, home: Path, account: QuotaAccount) -> None:
        """Replacing files and never finishing leaves one file above the limit, and not one for each try."""
        storage = opened(home, account, Quota(files=3))
        for name in "abc":
            put(storage, f"/{name}", b"1")
        interrupt(storage, "/a", b"2")
        assert kind_of(storage.open_sink, at("/b")) is Kind.QUOTA
        assert account.used == fresh(home) == Usage(4, 4)
        put(storage, "/a", b"3")
        assert account.used == fresh(home) == Usage(3, 3)

    def test_the_sweep_makes_room(self, home: Path, account: QuotaAccount) -> None:
        """A swept partial is counted no longer."""
        storage = opened(home, account)
        interrupt(storage, "/a", b"x" * 6)
        assert sweep_partials(home, 0, ledger=QuotaLedger(account, Quota())) == 1
        assert account.used == Usage()

    def test_a_direct_upload_into_a_deleted_file(self, home: Path, account: QuotaAccount) -> None:
        """Bytes that no name leads to would be counted nowhere."""
        storage = opened(home, account, policy=DIRECT)
        sink = storage.open_sink(at("/a"))
        write(sink, b"123")
        storage.remove_file(at("/a"))
        assert kind_of(write, sink, b"456") is Kind.NOT_FOUND
        sink.abort()
        assert account.used == fresh(home) == Usage()

    def test_a_direct_upload_over_a_deleted_file(self, home: Path, account: QuotaAccount) -> None:
        """The bytes that the upload would have cut off went with the file."""
        storage = opened(home, account, policy=DIRECT)
        put(storage, "/a", b"12345")
        sink = storage.open_sink(at("/a"))
        storage.remove_file(at("/a"))
        sink.commit()
        assert account.used == fresh(home) == Usage()


class TestAgain:
    """When an account is counted again: another program may have changed the home."""

    def test_it_is_due_after_a_while(self, home: Path) -> None:
        """A count holds for some minutes."""
        now = 0.0
        account = QuotaAccount(home, lambda: now)
        due = [account.is_due, account.count(), account.is_due]
        now = RECOUNT_AFTER - 1
        due.append(account.is_due)
        now = RECOUNT_AFTER
        due.append(account.is_due)
        assert due == [True, True, False, False, True]

    def test_it_is_due_soon_after_a_refusal(self, home: Path) -> None:
        """Somebody may have made room."""
        now = 0.0
        account = QuotaAccount(home, lambda: now)
        assert account.count()
        assert kind_of(put, opened(home, account, Quota(bytes=2)), "/a", b"123") is Kind.QUOTA
        due = [account.is_due]
        now = RECOUNT_AFTER_REFUSAL
        due += [account.is_due, account.count(), account.is_due]
        assert due == [False, True, True, False]

    def test_it_is_due_at_once_when_others_had_the_directory(self, home: Path) -> None:
        """A process from before an upgrade has ended: also what came under a walk is counted, by the same call."""
        account = QuotaAccount(home, lambda: 0.0)
        assert account.count()
        (home / "a").write_bytes(b"12345")
        account.count_soon()
        assert account.is_due
        walks = 0

        def changed_under_it() -> Iterator[os.stat_result]:
            nonlocal walks
            walks += 1
            if walks == 1:
                account.count_soon()
            return iter(())

        assert account.count(elsewhere=changed_under_it)
        assert (walks, account.is_due, account.used) == (2, False, fresh(home))

    def test_what_others_did_is_found(self, home: Path, account: QuotaAccount) -> None:
        """A file that another program has taken away makes room at the next count."""
        storage = opened(home, account, Quota(bytes=5))
        put(storage, "/a", b"12345")
        (home / "a").unlink()
        assert account.count()
        put(storage, "/b", b"12345")


class TestAccounts:
    """The accounts of all homes."""

    def test_one_home_has_one_account(self, home: Path) -> None:
        """It is the same whatever name leads to the home."""
        accounts = QuotaAccounts()
        (home.parent / "link").symlink_to(home)
        assert accounts.of(home) is accounts.of(home.parent / "link")

    def test_who_has_no_quota_is_counted_where_others_have_one(self, home: Path) -> None:
        """A mount of somebody's home, or a home that two users share, keeps the account exact."""
        accounts = QuotaAccounts()
        account = accounts.of(home)
        guest = LocalJail.open(home, uploads=ATOMIC, owner="guest", ledger=accounts.ledger(home))
        put(guest, "/a", b"123")
        assert account.used == Usage(3, 1)

    def test_what_is_due_is_counted(self, home: Path) -> None:
        """Each home in turn, once; none when the daemon stops."""
        accounts = QuotaAccounts()
        accounts.stop()
        assert accounts.count_due([home]) == 0
        assert accounts.of(home).is_due
        accounts = QuotaAccounts()
        assert [accounts.count_due([home, home]), accounts.count_due([home])] == [1, 0]
