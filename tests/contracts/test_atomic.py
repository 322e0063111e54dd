"""The behaviour of every storage that hides uploads until they are complete."""

from __future__ import annotations

import pytest

from ftpsd.storage.base import Kind, Terms
from tests.contracts.storages import House, at, get, interrupt, kind_of, names, put, write


class TestHidden:
    """Before the upload is complete."""

    def test_target_appears_at_commit(self, atomic: House) -> None:
        """Others see nothing, then the whole file."""
        storage, other = atomic.open("user"), atomic.open("other")
        sink = storage.open_sink(at("/a"))
        write(sink, b"12")
        assert (names(other), kind_of(other.stat, at("/a"))) == ([], Kind.NOT_FOUND)
        sink.commit()
        assert (names(other), get(other, "/a")) == (["a"], b"12")

    def test_old_file_is_whole_until_commit(self, atomic: House) -> None:
        """Readers of a file that is being replaced see the old one."""
        storage = atomic.open("user")
        put(storage, "/a", b"old content")
        sink = storage.open_sink(at("/a"))
        write(sink, b"new")
        assert (get(storage, "/a"), storage.stat(at("/a")).size) == (b"old content", 11)
        sink.commit()

    def test_old_file_is_whole_during_a_resume(self, atomic: House) -> None:
        """Also when the upload goes on from its middle, or appends."""
        storage = atomic.open("user")
        put(storage, "/a", b"old content")
        for offset, append in [(3, False), (0, True)]:
            sink = storage.open_sink(at("/a"), Terms(offset=offset, append=append))
            write(sink, b"new")
            assert get(storage, "/a") == b"old content"
            sink.abort()
        assert get(storage, "/a") == b"old content"

    def test_open_download_keeps_the_old_file(self, atomic: House) -> None:
        """A download that began before the rename ends with the old bytes."""
        storage = atomic.open("user")
        put(storage, "/a", b"old content")
        source = storage.open_source(at("/a"))
        put(storage, "/a", b"new")
        buffer = bytearray(20)
        assert bytes(buffer[: source.read_into(memoryview(buffer))]) == b"old content"
        source.close()

    def test_interrupted_overwrite_leaves_the_old_file(self, atomic: House) -> None:
        """A broken overwrite loses nothing."""
        storage = atomic.open("user")
        put(storage, "/a", b"old")
        interrupt(storage, "/a", b"new and longer")
        assert get(storage, "/a") == b"old"

    def test_upload_without_a_byte_leaves_nothing(self, atomic: House) -> None:
        """Breaking off before the first byte leaves no trace."""
        storage = atomic.open("user")
        storage.open_sink(at("/a")).abort()
        assert kind_of(storage.stat, at("/a")) is Kind.NOT_FOUND

    def test_upload_without_a_byte_so_far_is_unknown(self, atomic: House) -> None:
        """SIZE answers for an upload from its first byte on."""
        storage = atomic.open("user")
        sink = storage.open_sink(at("/a"))
        assert kind_of(storage.stat, at("/a")) is Kind.NOT_FOUND
        write(sink, b"1")
        assert storage.stat(at("/a")).size == 1
        sink.commit()


class TestResume:
    """After an interrupted upload."""

    def test_owner_sees_how_much_came_in(self, atomic: House) -> None:
        """SIZE answers the length of the partial, to the owner in any of his sessions."""
        interrupt(atomic.open("user"), "/a", b"12345")
        assert atomic.open("user").stat(at("/a")).size == 5

    def test_nobody_else_sees_it(self, atomic: House) -> None:
        """To others the file does not exist."""
        interrupt(atomic.open("user"), "/a", b"12345")
        assert kind_of(atomic.open("other").stat, at("/a")) is Kind.NOT_FOUND

    def test_it_cannot_be_read(self, atomic: House) -> None:
        """A partial is no file to download, not even for its owner."""
        storage = atomic.open("user")
        interrupt(storage, "/a", b"12345")
        assert kind_of(storage.open_source, at("/a")) is Kind.NOT_FOUND
        assert storage.stat(at("/a")).perm == "adw"

    def test_offset_at_its_end_goes_on(self, atomic: House) -> None:
        """REST 5 and STOR, as FileZilla and lftp resume."""
        interrupt(atomic.open("user"), "/a", b"12345")
        storage = atomic.open("user")
        sink = put(storage, "/a", b"678", offset=5)
        assert (sink.offset, get(storage, "/a")) == (5, b"12345678")

    def test_offset_inside_cuts(self, atomic: House) -> None:
        """An offset inside the partial drops what is behind it."""
        storage = atomic.open("user")
        interrupt(storage, "/a", b"12345")
        put(storage, "/a", b"x", offset=2)
        assert get(storage, "/a") == b"12x"

    def test_offset_beyond_is_refused(self, atomic: House) -> None:
        """An offset beyond the partial is BAD_OFFSET, and the partial stays."""
        storage = atomic.open("user")
        interrupt(storage, "/a", b"12345")
        assert kind_of(storage.open_sink, at("/a"), Terms(offset=6)) is Kind.BAD_OFFSET
        assert storage.stat(at("/a")).size == 5

    def test_append_goes_on(self, atomic: House) -> None:
        """SIZE and APPE, as curl -C - resumes an upload."""
        storage = atomic.open("user")
        interrupt(storage, "/a", b"12345")
        sink = put(storage, "/a", b"678", append=True)
        assert (sink.offset, get(storage, "/a")) == (5, b"12345678")

    def test_again_and_again(self, atomic: House) -> None:
        """An upload may be interrupted any number of times."""
        storage = atomic.open("user")
        for number in range(10):
            interrupt(storage, "/a", b"%d" % number, offset=number)
        put(storage, "/a", b"!", offset=10)
        assert get(storage, "/a") == b"0123456789!"

    def test_resume_that_brings_nothing_keeps_the_rest(self, atomic: House) -> None:
        """A second interruption right at the beginning does not lose the first part."""
        storage = atomic.open("user")
        interrupt(storage, "/a", b"12345")
        storage.open_sink(at("/a"), Terms(offset=5)).abort()
        assert storage.stat(at("/a")).size == 5

    def test_offset_zero_starts_over(self, atomic: House) -> None:
        """A plain STOR forgets the partial."""
        storage = atomic.open("user")
        interrupt(storage, "/a", b"12345")
        put(storage, "/a", b"xy")
        assert get(storage, "/a") == b"xy"

    def test_others_upload_on_their_own(self, atomic: House) -> None:
        """Another user's upload of that name does not touch the partial."""
        storage, other = atomic.open("user"), atomic.open("other")
        interrupt(storage, "/a", b"12345")
        assert kind_of(other.open_sink, at("/a"), Terms(offset=5)) is Kind.BAD_OFFSET
        interrupt(other, "/a", b"other")
        put(storage, "/a", b"6", offset=5)
        assert get(storage, "/a") == b"123456"

    def test_removing_it_removes_the_partial(self, atomic: House) -> None:
        """DELE of a name that only SIZE knows makes it unknown to SIZE too."""
        storage = atomic.open("user")
        interrupt(storage, "/a", b"12345")
        storage.remove_file(at("/a"))
        assert kind_of(storage.stat, at("/a")) is Kind.NOT_FOUND

    def test_removing_the_file_removes_both(self, atomic: House) -> None:
        """DELE does not uncover an old partial."""
        storage = atomic.open("user")
        put(storage, "/a", b"old")
        interrupt(storage, "/a", b"12345")
        storage.remove_file(at("/a"))
        assert kind_of(storage.stat, at("/a")) is Kind.NOT_FOUND

    def test_renaming_the_file_uncovers_nothing(self, atomic: House) -> None:
        """An upload begun to replace a file is none to its old name: nobody may go on with it as with another."""
        storage = atomic.open("user")
        put(storage, "/a", b"old")
        interrupt(storage, "/a", b"12345")
        storage.rename(at("/a"), at("/b"))
        assert kind_of(storage.stat, at("/a")) is Kind.NOT_FOUND
        assert kind_of(storage.open_sink, at("/a"), Terms(offset=3)) is Kind.BAD_OFFSET

    def test_own_leftovers_do_not_hold_a_directory(self, atomic: House) -> None:
        """RMD of a directory that looks empty to its user works."""
        storage = atomic.open("user")
        storage.make_directory(at("/d"))
        interrupt(storage, "/d/a", b"12345")
        storage.remove_directory(at("/d"))
        assert names(storage) == []

    def test_another_users_partial_holds_a_directory(self, atomic: House) -> None:
        """RMD destroys nobody else's upload."""
        storage, other = atomic.open("user"), atomic.open("other")
        storage.make_directory(at("/d"))
        interrupt(other, "/d/a", b"12345")
        assert kind_of(storage.remove_directory, at("/d")) is Kind.NOT_EMPTY
        assert other.stat(at("/d/a")).size == 5

    def test_running_upload_holds_a_directory(self, atomic: House) -> None:
        """RMD does not pull the ground from under an upload."""
        storage = atomic.open("user")
        storage.make_directory(at("/d"))
        sink = storage.open_sink(at("/d/a"))
        write(sink, b"1")
        assert kind_of(storage.remove_directory, at("/d")) is Kind.NOT_EMPTY
        sink.commit()
        assert get(storage, "/d/a") == b"1"


class TestTogether:
    """Several uploads to one name."""

    def test_both_complete_and_the_last_one_wins(self, atomic: House) -> None:
        """Two uploads at once do not mix."""
        first, second = (atomic.open("user").open_sink(at("/a")) for _ in range(2))
        for _ in range(10):
            write(first, b"1" * 10)
            write(second, b"2" * 10)
        reader = atomic.open("user")
        second.commit()
        assert get(reader, "/a") == b"2" * 100
        first.commit()
        assert get(reader, "/a") == b"1" * 100

    def test_one_aborts_and_the_other_completes(self, atomic: House) -> None:
        """The end of one does not touch the other."""
        storage = atomic.open("user")
        first, second = (storage.open_sink(at("/a")) for _ in range(2))
        write(first, b"1" * 10)
        write(second, b"2" * 20)
        first.abort()
        second.commit()
        assert get(storage, "/a") == b"2" * 20

    def test_resume_while_the_dead_session_is_still_there(self, atomic: House) -> None:
        """A client that comes back before the server has noticed that it was gone resumes all the same."""
        storage = atomic.open("user")
        dead = storage.open_sink(at("/a"))
        write(dead, b"12345")
        alive = storage.open_sink(at("/a"), Terms(offset=5))
        write(alive, b"678")
        write(dead, b"late")
        dead.abort()
        alive.commit()
        assert get(storage, "/a") == b"12345678"

    def test_append_waits_while_the_dead_session_is_still_there(self, atomic: House) -> None:
        """An append cannot know where the other will end."""
        storage = atomic.open("user")
        dead = storage.open_sink(at("/a"))
        write(dead, b"12345")
        assert kind_of(storage.open_sink, at("/a"), Terms(append=True)) is Kind.BUSY
        dead.abort()
        put(storage, "/a", b"6", append=True)
        assert get(storage, "/a") == b"123456"

    def test_second_upload_is_resumable_when_the_first_is_done(self, atomic: House) -> None:
        """The upload that is interrupted last can be resumed, whichever began first."""
        storage = atomic.open("user")
        first, second = (storage.open_sink(at("/a")) for _ in range(2))
        write(first, b"1" * 10)
        first.commit()
        storage.remove_file(at("/a"))
        write(second, b"2" * 20)
        second.abort()
        assert storage.stat(at("/a")).size == 20

    def test_upload_that_may_not_replace_loses_the_race(self, atomic: House) -> None:
        """A file that appears during the upload is not replaced by somebody who may not."""
        storage = atomic.open("user")
        sink = storage.open_sink(at("/a"), Terms(may_replace=False))
        write(sink, b"mine")
        put(atomic.open("other"), "/a", b"theirs")
        assert kind_of(sink.commit) is Kind.EXISTS
        assert get(storage, "/a") == b"theirs"

    def test_upload_that_may_not_create_loses_the_race(self, atomic: House) -> None:
        """A file that is removed during the upload does not come back by somebody who may not create it."""
        storage = atomic.open("user")
        put(storage, "/a", b"old")
        sink = storage.open_sink(at("/a"), Terms(may_create=False))
        write(sink, b"mine")
        atomic.open("other").remove_file(at("/a"))
        assert kind_of(sink.commit) is Kind.NOT_FOUND
        assert names(storage) == []

    def test_append_undoes_nobodys_upload(self, atomic: House) -> None:
        """A file that changed during an append is not replaced by the old one and its addition."""
        storage = atomic.open("user")
        put(storage, "/a", b"log\n")
        first, second = (storage.open_sink(at("/a"), Terms(append=True)) for _ in range(2))
        write(first, b"one\n")
        write(second, b"two\n")
        first.commit()
        assert kind_of(second.commit) is Kind.BUSY
        assert get(storage, "/a") == b"log\none\n"

    def test_upload_over_the_same_file_undoes_nobodys_upload(self, atomic: House) -> None:
        """A file that changed during an upload which holds bytes of it is not replaced by that."""
        storage = atomic.open("user")
        put(storage, "/a", b"0123456789")
        terms = Terms(offset=2, resumable=False, over_same=True)
        first, second = (storage.open_sink(at("/a"), terms) for _ in range(2))
        write(first, b"abcdefgh")
        write(second, b"ABCDEFGH")
        first.commit()
        assert kind_of(second.commit) is Kind.BUSY
        assert get(storage, "/a") == b"01abcdefgh"

    @pytest.mark.parametrize("change", ["offset", "append", "replace", "delete"])
    def test_going_on_from_a_file_undoes_nobodys_change(self, atomic: House, change: str) -> None:
        """REST and STOR at the end of a file are an append by another name."""
        storage = atomic.open("user")
        put(storage, "/a", b"log\n")
        sink = storage.open_sink(at("/a"), Terms(offset=4))
        write(sink, b"mine\n")
        other = atomic.open("other")
        if change == "delete":
            other.remove_file(at("/a"))
        else:
            put(other, "/a", b"other\n", offset=4 if change == "offset" else 0, append=change == "append")
        there = names(storage)
        assert kind_of(sink.commit) is Kind.BUSY
        assert names(storage) == there
        if change != "delete":
            assert get(storage, "/a").endswith(b"other\n")

    def test_append_to_nothing_undoes_nobodys_upload(self, atomic: House) -> None:
        """A file that appeared during an append to nothing stays."""
        storage = atomic.open("user")
        sink = storage.open_sink(at("/a"), Terms(append=True))
        write(sink, b"one\n")
        put(atomic.open("other"), "/a", b"theirs")
        assert kind_of(sink.commit) is Kind.BUSY
        assert get(storage, "/a") == b"theirs"

    def test_renamed_directory_takes_its_uploads_along(self, atomic: House) -> None:
        """An upload into a directory that is renamed meanwhile is published where the directory is now."""
        storage = atomic.open("user")
        storage.make_directory(at("/d"))
        sink = storage.open_sink(at("/d/a"))
        write(sink, b"1")
        storage.rename(at("/d"), at("/e"))
        sink.commit()
        assert get(storage, "/e/a") == b"1"
