"""Quotas: what was refused for want of room."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ftpsd.storage.base import Kind, Sink, Storage, Terms
from ftpsd.storage.pieces.range import open_ranged
from ftpsd.storage.quota.account import QuotaAccount
from ftpsd.values.quota import Quota, Usage
from tests.contracts.storages import at, get, interrupt, kind_of, names, put, write
from tests.unit.storage.accounts import ATOMIC, fresh, opened


@pytest.fixture
def account(home: Path) -> QuotaAccount:
    """Return the account of the home, counted."""
    account = QuotaAccount(home)
    assert account.count()
    return account


class TestGrowing:
    """The file that an upload goes on from is there twice until the upload is complete, and counts once."""

    @pytest.mark.parametrize("terms", [Terms(append=True), Terms(offset=8)])
    def test_only_what_is_new_needs_room(self, home: Path, account: QuotaAccount, terms: Terms) -> None:
        """To the last byte, and not beyond; while it goes on, the rest can be used for something else."""
        storage = opened(home, account, Quota(bytes=10))
        put(storage, "/a", b"x" * 8)
        sink = storage.open_sink(at("/a"), terms)
        assert (account.used.bytes, account.counted.bytes, storage.free_bytes(at("/"))) == (16, 8, 2)
        write(sink, b"y")
        put(storage, "/b", b"z")
        assert account.count()
        assert (account.used.bytes, account.counted.bytes, storage.free_bytes(at("/"))) == (18, 10, 0)
        sink.commit()
        assert (account.used, account.counted) == (fresh(home), fresh(home)) == (Usage(10, 2), Usage(10, 2))
        sink = storage.open_sink(at("/a"), Terms(append=True))
        assert kind_of(write, sink, b"!") is Kind.QUOTA
        sink.abort()
        assert account.used == account.counted == fresh(home) == Usage(10, 2)

    def test_a_short_beginning_of_a_long_file(self, home: Path, account: QuotaAccount) -> None:
        """The old file goes when the new one is complete; until then all new bytes are on top of it."""
        storage = opened(home, account, Quota(bytes=10))
        put(storage, "/a", b"x" * 8)
        put(storage, "/a", b"yy", offset=2)
        assert account.used == account.counted == fresh(home) == Usage(4, 1)

    @pytest.mark.parametrize("end", [lambda sink: sink.abort(), lambda sink: None], ids=["given-up", "forgotten"])
    def test_what_does_not_replace_it_counts(
        self, home: Path, account: QuotaAccount, end: Callable[[Sink], object]
    ) -> None:
        """Where something is left of it, that counts like every other file."""
        storage = opened(home, account, Quota(bytes=10))
        put(storage, "/a", b"x" * 8)
        sink = storage.open_sink(at("/a"), Terms(append=True))
        end(sink)
        del sink
        gc.collect()
        assert account.used == account.counted == fresh(home)

    def test_a_range_of_a_file(self, home: Path, account: QuotaAccount) -> None:
        """Bytes that take the place of others need no room, nor does what is behind them; what is added does."""
        storage = opened(home, account, Quota(bytes=10))
        put(storage, "/a", b"x" * 8)
        put(storage, "/b", b"z")
        sink = open_ranged(storage, at("/a"), 2, 4)
        write(sink, b"yy")
        assert account.counted.bytes == 9
        sink.commit()
        assert get(storage, "/a") == b"xxyyxxxx"
        assert account.used == account.counted == fresh(home) == Usage(9, 2)
        sink = open_ranged(storage, at("/a"), 0, 10)
        assert kind_of(write, sink, b"y" * 10) is Kind.QUOTA
        sink.abort()
        assert account.used == account.counted == fresh(home) == Usage(9, 2)

    def test_copies_are_bounded(self, home: Path, account: QuotaAccount) -> None:
        """Many at once would fill the disk: with them, no more than twice the quota is there."""
        storage = opened(home, account, Quota(bytes=10))
        put(storage, "/a", b"x" * 6)
        sinks = [storage.open_sink(at("/a"), Terms(append=True)) for _ in range(2)]
        assert kind_of(storage.open_sink, at("/a"), Terms(append=True)) is Kind.QUOTA
        assert fresh(home).bytes == 18
        for sink in sinks:
            sink.abort()
        put(storage, "/a", b"x" * 4, append=True)
        assert account.used == account.counted == fresh(home) == Usage(10, 1)


class TestRefused:
    """A partial refused for want of room gives its room back: nobody sees it, and the account could do nothing more."""

    @pytest.fixture
    def storage(self, home: Path, account: QuotaAccount) -> Storage:
        """Return a storage with room for ten bytes and two files."""
        return opened(home, account, Quota(bytes=10, files=2))

    def refuse(self, storage: Storage, path: str, data: bytes, *, terms: Terms = Terms()) -> None:
        """Upload *data*, for which there is no room."""
        sink = storage.open_sink(at(path), terms)
        assert kind_of(write, sink, data) is Kind.QUOTA
        sink.abort()

    @pytest.mark.parametrize("terms", [Terms(), Terms(append=True), Terms(unique=True), Terms(resumable=False)])
    def test_a_new_file(self, storage: Storage, home: Path, account: QuotaAccount, terms: Terms) -> None:
        """All can be used at once."""
        self.refuse(storage, "/a", b"x" * 11, terms=terms)
        assert (account.used, os.listdir(home)) == (Usage(), [])
        put(storage, "/b", b"y" * 10)
        put(storage, "/c", b"")

    @pytest.mark.parametrize("terms", [Terms(offset=6), Terms(append=True)])
    def test_what_was_interrupted_before(self, storage: Storage, account: QuotaAccount, terms: Terms) -> None:
        """It is part of what has no room."""
        interrupt(storage, "/a", b"x" * 6)
        assert account.used == Usage(6, 1)
        self.refuse(storage, "/a", b"y" * 5, terms=terms)
        assert account.used == Usage()
        assert kind_of(storage.open_sink, at("/a"), Terms(offset=6)) is Kind.BAD_OFFSET

    @pytest.mark.parametrize("terms", [Terms(), Terms(offset=2), Terms(append=True)])
    def test_over_a_file(self, storage: Storage, home: Path, account: QuotaAccount, terms: Terms) -> None:
        """The old file stays, and all that was left is left again, files too."""
        put(storage, "/a", b"old")
        self.refuse(storage, "/a", b"y" * 8, terms=terms)
        assert (get(storage, "/a"), account.used) == (b"old", fresh(home)) == (b"old", Usage(3, 1))
        put(storage, "/b", b"y" * 7)
        assert account.used == Usage(10, 2)

    @pytest.mark.parametrize("terms", [Terms(offset=3), Terms(append=True)])
    def test_the_new_version_is_known_all_the_same(self, storage: Storage, terms: Terms) -> None:
        """UNFINISHED for a client that takes the old file for what has arrived of its own."""
        put(storage, "/a", b"old")
        self.refuse(storage, "/a", b"y" * 8)
        assert kind_of(storage.open_sink, at("/a"), terms) is Kind.UNFINISHED

    @pytest.mark.parametrize(
        "change",
        [
            lambda storage: put(storage, "/a", b"new"),
            lambda storage: (storage.remove_file(at("/a")), put(storage, "/a", b"new")),
            lambda storage: (put(storage, "/b", b"new"), storage.rename(at("/b"), at("/a"))),
            lambda storage: (storage.rename(at("/a"), at("/b")), storage.rename(at("/b"), at("/c"))),
        ],
        ids=["stored", "deleted", "replaced", "renamed"],
    )
    def test_that_is_forgotten_with_the_old_file(self, storage: Storage, change: Callable[[Storage], object]) -> None:
        """The bytes that come next under a name are added to what is there."""
        put(storage, "/a", b"old")
        self.refuse(storage, "/a", b"y" * 8)
        change(storage)
        (name,) = names(storage)
        put(storage, f"/{name}", b"!", append=True)
        assert get(storage, f"/{name}")[-1:] == b"!"

    def test_that_is_forgotten_in_time(self, home: Path, account: QuotaAccount) -> None:
        """As long as unfinished uploads are kept."""
        storage = opened(home, account, Quota(bytes=10))
        put(storage, "/a", b"old")
        self.refuse(storage, "/a", b"y" * 8)
        (name,) = (name for name in os.listxattr(home / "a") if name.startswith("user.ftpsd.refused."))
        partial, when = os.getxattr(home / "a", name).split()
        os.setxattr(home / "a", name, b"%s %d" % (partial, int(when) - ATOMIC.keep_partial))
        put(storage, "/a", b"!", append=True)
        assert get(storage, "/a") == b"old!"

    def test_that_is_another_users_affair(self, storage: Storage, home: Path, account: QuotaAccount) -> None:
        """A user who has not been refused adds to what is there."""
        put(storage, "/a", b"old")
        self.refuse(storage, "/a", b"y" * 8)
        other = opened(home, account, owner="other")
        put(other, "/a", b"!", append=True)
        assert get(other, "/a") == b"old!"

    def test_without_attributes_an_empty_partial_says_it(
        self, storage: Storage, home: Path, account: QuotaAccount, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The bytes are given back there as well."""
        for name in ("getxattr", "setxattr", "removexattr"):
            monkeypatch.delattr(os, name)
        put(storage, "/a", b"old")
        self.refuse(storage, "/a", b"y" * 8)
        assert account.used == fresh(home) == Usage(3, 2)
        put(storage, "/a", b"y" * 7)
        assert account.used == fresh(home) == Usage(7, 1)

    def test_other_interruptions_are_gone_on_with(self, storage: Storage) -> None:
        """A connection that broke is no want of room."""
        interrupt(storage, "/a", b"x" * 6)
        put(storage, "/a", b"y" * 4, offset=6)
        assert get(storage, "/a") == b"x" * 6 + b"y" * 4
