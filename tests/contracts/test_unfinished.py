"""
A new version of a published file that was interrupted, and what its client can do then.

SIZE tells of the published file, and so curl -C - (APPE) and lftp's reput (REST, STOR) go on from the length of the old
version. Nothing that is published may begin as the old version and end as the new one.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ftpsd.storage.base import Kind, Storage, StorageError, Terms, UnfinishedUpload
from tests.contracts.each import OfEachHouse
from tests.contracts.storages import HOUSES, IN_PLACE, House, at, get, interrupt, kind_of, names, put, write

OLD, NEW = b"old!", b"0123456789"


def broken_off(house: House) -> Storage:
    """Return a tree in which the overwrite of a file broke off after six bytes."""
    storage = house.open("user")
    put(storage, "/a", OLD)
    interrupt(storage, "/a", NEW[:6])
    return storage


@pytest.fixture
def storage(tmp_path: Path) -> OfEachHouse[Storage]:
    """Return a tree in which the overwrite of a file broke off after six bytes."""
    return OfEachHouse(tmp_path, broken_off, frozenset(HOUSES) - IN_PLACE)


def refusal(storage: Storage, *, offset: int = 0, append: bool = False) -> UnfinishedUpload:
    """Return how an upload to "/a" is refused."""
    with pytest.raises(StorageError) as caught:
        storage.open_sink(at("/a"), Terms(offset=offset, append=append))
    assert isinstance(caught.value, UnfinishedUpload)
    assert caught.value.kind is Kind.UNFINISHED
    assert caught.value.path is not None
    return caught.value


class TestGoingOn:
    """Byte n of which version?"""

    def test_size_and_bytes_are_those_of_the_published_file(self, storage: Storage) -> None:
        """The view that everybody has is the truth: the old file is there, whole."""
        assert (storage.stat(at("/a")).size, get(storage, "/a"), names(storage)) == (4, OLD, ["a"])

    def test_offset_goes_on_from_the_new_version(self, storage: Storage) -> None:
        """lftp's reput: REST with the size of the old file, and STOR of the rest."""
        sink = put(storage, "/a", NEW[4:], offset=4)
        assert (sink.offset, get(storage, "/a")) == (4, NEW)

    @pytest.mark.parametrize("offset", [1, 4, 5, 6])
    def test_any_offset_that_it_reaches(self, storage: Storage, offset: int) -> None:
        """Before and behind the size of the old file the bytes are those of the new one."""
        put(storage, "/a", NEW[offset:], offset=offset)
        assert get(storage, "/a") == NEW

    def test_offset_beyond_is_refused(self, storage: Storage) -> None:
        """The bytes between have never come in; the refusal says how many have."""
        error = refusal(storage, offset=7)
        assert (error.length, error.is_append) == (6, False)
        put(storage, "/a", NEW[6:], offset=6)
        assert get(storage, "/a") == NEW

    def test_offset_inside_a_longer_old_file_is_refused(self, atomic: House) -> None:
        """REST with the size of the old file, of which the new one has less so far."""
        storage = atomic.open("user")
        put(storage, "/a", OLD * 3)
        interrupt(storage, "/a", NEW[:6])
        assert refusal(storage, offset=12).length == 6
        assert get(storage, "/a") == OLD * 3

    def test_append_is_refused(self, storage: Storage) -> None:
        """curl -C -: nobody can tell whether it adds to the old file or goes on with the new one."""
        error = refusal(storage, append=True)
        assert (error.length, error.is_append) == (6, True)
        assert get(storage, "/a") == OLD

    def test_again_and_again(self, storage: Storage) -> None:
        """Going on may break off as well."""
        for number in range(6, 9):
            interrupt(storage, "/a", NEW[number : number + 1], offset=number)
        assert refusal(storage, offset=10).length == 9
        put(storage, "/a", NEW[4:], offset=4)
        assert get(storage, "/a") == NEW

    def test_in_another_session(self, storage: Storage, atomic: House) -> None:
        """The client comes back with a new login."""
        assert refusal(atomic.open("user"), append=True).length == 6
        put(atomic.open("user"), "/a", NEW[4:], offset=4)
        assert get(storage, "/a") == NEW

    def test_others_go_on_from_the_published_file(self, storage: Storage, atomic: House) -> None:
        """Another user has nothing unfinished."""
        other = atomic.open("other")
        put(other, "/a", b"+", append=True)
        put(other, "/a", b"-", offset=4)
        assert get(other, "/a") == OLD + b"-"


class TestWaysOut:
    """After which the published file can be continued again."""

    def test_new_upload_starts_over(self, storage: Storage) -> None:
        """STOR from the first byte is what the refusal advises."""
        put(storage, "/a", NEW)
        put(storage, "/a", b"+", append=True)
        put(storage, "/a", b"-", offset=10)
        assert get(storage, "/a") == NEW + b"-"

    def test_removing_the_file_forgets_it(self, storage: Storage) -> None:
        """DELE, and an append makes a new file."""
        storage.remove_file(at("/a"))
        put(storage, "/a", b"+", append=True)
        put(storage, "/a", b"-", append=True)
        assert get(storage, "/a") == b"+-"

    def test_renaming_the_file_forgets_it(self, storage: Storage) -> None:
        """The old file under its new name can be continued, and its old name is free."""
        storage.rename(at("/a"), at("/b"))
        put(storage, "/b", b"+", append=True)
        put(storage, "/a", b"+", append=True)
        assert (get(storage, "/b"), get(storage, "/a")) == (OLD + b"+", b"+")

    def test_finishing_it_forgets_it(self, storage: Storage) -> None:
        """When the new version is published there is nothing unfinished."""
        put(storage, "/a", NEW[6:], offset=6)
        put(storage, "/a", b"+", append=True)
        assert get(storage, "/a") == NEW + b"+"

    def test_starting_over_without_a_byte_is_none(self, storage: Storage) -> None:
        """STOR for which no data connection came: the old file is still not the beginning of the new one."""
        storage.open_sink(at("/a")).abort()
        assert refusal(storage, append=True).length == 0
        storage.open_sink(at("/a")).abort()
        assert refusal(storage, offset=4).length == 0
        put(storage, "/a", NEW)
        put(storage, "/a", b"+", append=True)
        assert get(storage, "/a") == NEW + b"+"


class TestOtherFile:
    """The published file is not the one any more that the unfinished upload was to replace."""

    @pytest.mark.parametrize("offset", [2, 4, 6, 7])
    def test_somebody_has_replaced_it(self, storage: Storage, atomic: House, offset: int) -> None:
        """Whose bytes the client means is unknown: neither theirs nor ours are gone on with."""
        put(atomic.open("other"), "/a", b"theirs, and longer")
        assert refusal(storage, offset=offset).length == 6
        assert refusal(storage, append=True).length == 6
        put(storage, "/a", NEW)
        assert get(storage, "/a") == NEW

    def test_a_rename_has_replaced_it(self, storage: Storage) -> None:
        """Also the owner's own."""
        put(storage, "/b", b"another")
        storage.rename(at("/b"), at("/a"))
        assert refusal(storage, offset=4).length == 6
        assert get(storage, "/a") == b"another"

    def test_it_was_not_there_at_the_beginning(self, atomic: House) -> None:
        """Begun as a new file, and then somebody published one."""
        storage = atomic.open("user")
        interrupt(storage, "/a", NEW[:6])
        put(atomic.open("other"), "/a", OLD)
        assert refusal(storage, offset=4).length == 6
        assert refusal(storage, append=True).length == 6

    def test_somebody_has_removed_it(self, storage: Storage, atomic: House) -> None:
        """The upload that comes next under a free name is another one, and nothing is there to go on with."""
        atomic.open("other").remove_file(at("/a"))
        assert kind_of(storage.stat, at("/a")) is Kind.NOT_FOUND
        assert kind_of(storage.open_sink, at("/a"), Terms(offset=4)) is Kind.BAD_OFFSET
        put(storage, "/a", b"+", append=True)
        assert get(storage, "/a") == b"+"

    def test_removed_and_begun_anew(self, storage: Storage, atomic: House) -> None:
        """The next upload to the free name can be gone on with as any other."""
        atomic.open("other").remove_file(at("/a"))
        interrupt(storage, "/a", b"xyz")
        assert storage.stat(at("/a")).size == 3
        put(storage, "/a", b"!", append=True)
        assert get(storage, "/a") == b"xyz!"


class TestContinuations:
    """An upload begun with bytes of the published file is no new version."""

    @pytest.mark.parametrize(("offset", "append"), [(2, False), (0, True)])
    def test_it_is_not_gone_on_with(self, atomic: House, offset: int, append: bool) -> None:
        """The published file still has the bytes, and is what the client goes on from."""
        storage = atomic.open("user")
        put(storage, "/a", OLD)
        interrupt(storage, "/a", b"567", offset=offset, append=append)
        assert kind_of(storage.open_sink, at("/a"), Terms(offset=5)) is Kind.BAD_OFFSET
        put(storage, "/a", b"+", append=True)
        assert get(storage, "/a") == OLD + b"+"

    def test_unfinished_copy_is_not_gone_on_with(self, atomic: House) -> None:
        """A copy made on the server has no client that knows its bytes."""
        storage = atomic.open("user")
        sink = storage.open_sink(at("/a"), Terms(resumable=False))
        write(sink, b"copied")
        assert kind_of(storage.stat, at("/a")) is Kind.NOT_FOUND
        sink.abort()
        assert kind_of(storage.stat, at("/a")) is Kind.NOT_FOUND
        assert kind_of(storage.open_sink, at("/a"), Terms(offset=3)) is Kind.BAD_OFFSET

    def test_unfinished_copy_leaves_an_unfinished_upload(self, storage: Storage) -> None:
        """Nor does it take the place of one."""
        sink = storage.open_sink(at("/a"), Terms(resumable=False))
        write(sink, b"copied")
        sink.abort()
        put(storage, "/a", NEW[4:], offset=4)
        assert get(storage, "/a") == NEW

    def test_copy_onto_it_is_another_file(self, storage: Storage) -> None:
        """A copy that was made replaces the file as any upload does."""
        sink = storage.open_sink(at("/a"), Terms(resumable=False))
        write(sink, b"copied")
        sink.commit()
        assert refusal(storage, offset=4).length == 6
        assert get(storage, "/a") == b"copied"


class TestAtWork:
    """The session that began the new version is still there, dead or alive."""

    def test_offset_copies_what_has_come_in(self, atomic: House) -> None:
        """A client that comes back before its death is noticed."""
        storage = atomic.open("user")
        put(storage, "/a", OLD)
        dead = storage.open_sink(at("/a"))
        write(dead, NEW[:6])
        alive = storage.open_sink(at("/a"), Terms(offset=4))
        write(alive, NEW[4:])
        dead.abort()
        alive.commit()
        assert get(storage, "/a") == NEW

    @pytest.mark.parametrize("arrived", [0, 3])
    def test_what_it_does_not_reach_waits(self, atomic: House, arrived: int) -> None:
        """Also before its first byte is stored: more may come."""
        storage = atomic.open("user")
        put(storage, "/a", OLD)
        dead = storage.open_sink(at("/a"))
        if arrived:
            write(dead, NEW[:arrived])
        assert kind_of(storage.open_sink, at("/a"), Terms(offset=4)) is Kind.BUSY
        assert kind_of(storage.open_sink, at("/a"), Terms(append=True)) is Kind.BUSY
        dead.abort()
        assert get(storage, "/a") == OLD

    def test_both_break_off(self, atomic: House) -> None:
        """The bytes that either of them leaves are bytes of the new version."""
        storage = atomic.open("user")
        put(storage, "/a", OLD)
        first = storage.open_sink(at("/a"))
        write(first, NEW[:6])
        second = storage.open_sink(at("/a"), Terms(offset=4))
        write(second, NEW[4:8])
        first.abort()
        second.abort()
        assert (get(storage, "/a"), refusal(storage, append=True).length) == (OLD, 6)
        put(storage, "/a", NEW[4:], offset=4)
        assert get(storage, "/a") == NEW

    def test_two_sessions_upload_the_same_file(self, atomic: House) -> None:
        """One completes; the other breaks off, and was to replace a file that is gone."""
        first, second = atomic.open("user"), atomic.open("user")
        put(first, "/a", OLD)
        broken, whole = first.open_sink(at("/a")), second.open_sink(at("/a"))
        write(broken, NEW[:6])
        write(whole, b"whole")
        whole.commit()
        broken.abort()
        assert get(first, "/a") == b"whole"
        assert refusal(first, offset=5).length == 6
        put(first, "/a", NEW)
        assert (get(first, "/a"), names(first)) == (NEW, ["a"])
