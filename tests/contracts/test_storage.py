"""The behaviour of every storage with files and names."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from ftpsd.storage.base import Kind, Storage, Terms
from ftpsd.values.entry import EntryType
from ftpsd.values.path import VirtualPath
from tests.contracts.storages import House, at, get, interrupt, kind_of, names, put, write

RESERVED = [".ftpsd-", ".ftpsd-x", ".FTPSD-x", ".ftp\u017fd-x", ".ft\u200dpsd-x", ".\uff46tpsd-x"]


class TestStat:
    """Looking at one path."""

    def test_root_is_a_directory(self, storage: Storage) -> None:
        """The root can be described."""
        assert storage.stat(at("/")).type is EntryType.DIRECTORY

    def test_file_tells_its_size_and_name(self, storage: Storage) -> None:
        """A file's entry carries its last name and its size in bytes."""
        put(storage, "/a.txt", b"12345")
        entry = storage.stat(at("/a.txt"))
        assert (entry.name, entry.type, entry.size) == ("a.txt", EntryType.FILE, 5)

    def test_file_tells_when_it_was_written(self, storage: Storage) -> None:
        """The modification time is that of the last write."""
        before = time.time_ns()
        put(storage, "/a.txt", b"1")
        # A file system's clock ticks some milliseconds behind.
        assert before - 10**9 < storage.stat(at("/a.txt")).modified_ns <= time.time_ns()

    def test_missing_is_not_found(self, storage: Storage) -> None:
        """A file that is not there is NOT_FOUND."""
        assert kind_of(storage.stat, at("/a.txt")) is Kind.NOT_FOUND

    def test_below_a_file_is_not_a_directory(self, storage: Storage) -> None:
        """A file cannot be walked through."""
        put(storage, "/a.txt", b"1")
        assert kind_of(storage.stat, at("/a.txt/b")) is Kind.NOT_A_DIRECTORY

    def test_error_carries_the_virtual_path(self, storage: Storage) -> None:
        """An error says which path was asked for."""
        with pytest.raises(Exception, match="/no/such") as caught:
            storage.stat(at("/no/such"))
        assert getattr(caught.value, "path", None) == at("/no/such")

    def test_full_access_is_told_by_all_letters(self, storage: Storage) -> None:
        """RFC 3659 section 7.5.5: without rules a file has adfrw and a directory cdeflmp."""
        put(storage, "/f", b"")
        storage.make_directory(at("/d"))
        assert (storage.stat(at("/f")).perm, storage.stat(at("/d")).perm) == ("adfrw", "cdeflmp")

    def test_unique_tells_files_apart(self, storage: Storage) -> None:
        """Two files have two unique facts, one file under a new name keeps its own."""
        put(storage, "/a", b"")
        put(storage, "/b", b"")
        before = storage.stat(at("/a")).unique
        storage.rename(at("/a"), at("/c"))
        assert storage.stat(at("/c")).unique == before != storage.stat(at("/b")).unique


class TestSource:
    """Downloads."""

    def test_upload_comes_back(self, storage: Storage) -> None:
        """The bytes that were uploaded are downloaded."""
        put(storage, "/a.bin", bytes(range(256)) * 100)
        assert get(storage, "/a.bin") == bytes(range(256)) * 100

    def test_offset_skips(self, storage: Storage) -> None:
        """A download begins at its offset."""
        put(storage, "/a", b"0123456789")
        assert get(storage, "/a", 7) == b"789"

    def test_offset_at_the_end_is_empty(self, storage: Storage) -> None:
        """A download that is complete already has nothing more."""
        put(storage, "/a", b"012")
        assert get(storage, "/a", 3) == b""

    @pytest.mark.parametrize("offset", [4, 2**63 - 1, 2**70, -1])
    def test_offset_outside_is_refused(self, storage: Storage, offset: int) -> None:
        """An offset beyond the end, or below zero, is BAD_OFFSET."""
        put(storage, "/a", b"012")
        assert kind_of(storage.open_source, at("/a"), offset) is Kind.BAD_OFFSET

    def test_source_counts(self, storage: Storage) -> None:
        """A source knows the whole size and where it is."""
        put(storage, "/a", b"0123456789")
        source = storage.open_source(at("/a"), 2)
        source.read_into(memoryview(bytearray(3)))
        assert (source.size, source.offset) == (10, 5)
        source.close()

    def test_close_twice(self, storage: Storage) -> None:
        """Closing a source again does nothing."""
        put(storage, "/a", b"0")
        source = storage.open_source(at("/a"))
        source.close()
        source.close()

    def test_directory_is_not_sent(self, storage: Storage) -> None:
        """A directory is IS_A_DIRECTORY, the root too."""
        storage.make_directory(at("/d"))
        assert [kind_of(storage.open_source, at(path)) for path in ("/d", "/")] == [Kind.IS_A_DIRECTORY] * 2

    def test_missing_is_not_found(self, storage: Storage) -> None:
        """A file that is not there cannot be sent."""
        assert kind_of(storage.open_source, at("/a")) is Kind.NOT_FOUND

    def test_removed_file_is_sent_to_its_end(self, storage: Storage) -> None:
        """A file that is removed during its download is still sent whole."""
        put(storage, "/a", b"whole")
        source = storage.open_source(at("/a"))
        storage.remove_file(at("/a"))
        buffer = bytearray(10)
        assert source.read_into(memoryview(buffer)) == 5
        source.close()

    def test_source_outlives_its_storage(self, storage: Storage) -> None:
        """Closing the storage leaves open sources valid."""
        put(storage, "/a", b"whole")
        source = storage.open_source(at("/a"))
        storage.close()
        assert source.read_into(memoryview(bytearray(10))) == 5
        source.close()


class TestSink:
    """Uploads, in whatever way they are stored."""

    def test_new_file_replaces_nothing(self, storage: Storage) -> None:
        """A sink tells that there was no such file."""
        sink = put(storage, "/a", b"1")
        assert (sink.offset, sink.path) == (0, at("/a"))

    def test_overwrite_replaces_all(self, storage: Storage) -> None:
        """An upload over a longer file leaves nothing of it."""
        put(storage, "/a", b"long content")
        sink = put(storage, "/a", b"short")
        assert (sink.offset, get(storage, "/a")) == (0, b"short")

    def test_empty_upload_is_an_empty_file(self, storage: Storage) -> None:
        """An upload of nothing that is committed publishes an empty file."""
        put(storage, "/a", b"")
        assert storage.stat(at("/a")).size == 0

    def test_pieces_are_put_together(self, storage: Storage) -> None:
        """Writes follow each other."""
        sink = storage.open_sink(at("/a"))
        for number in range(100):
            write(sink, b"%03d" % number)
        sink.commit()
        assert get(storage, "/a") == b"".join(b"%03d" % number for number in range(100))

    def test_offset_keeps_what_was_before(self, storage: Storage) -> None:
        """REST 3 and STOR keeps three bytes of the file and replaces the rest."""
        put(storage, "/a", b"0123456789")
        sink = put(storage, "/a", b"abc", offset=3)
        assert (sink.offset, get(storage, "/a")) == (3, b"012abc")

    @pytest.mark.parametrize(
        ("offset", "data", "stored"), [(3, b"ab", b"012ab"), (3, b"", b"012"), (10, b"ab", b"0123456789ab")]
    )
    def test_what_is_behind_an_upload_goes(self, storage: Storage, offset: int, data: bytes, stored: bytes) -> None:
        """A file of REST and STOR ends with the upload, also where that is shorter than what was there."""
        put(storage, "/a", b"0123456789")
        put(storage, "/a", data, offset=offset)
        assert get(storage, "/a") == stored

    @pytest.mark.parametrize("offset", [11, 2**62, -1])
    def test_offset_outside_is_refused(self, storage: Storage, offset: int) -> None:
        """An upload cannot begin beyond the end, and the file stays as it was."""
        put(storage, "/a", b"0123456789")
        assert kind_of(storage.open_sink, at("/a"), Terms(offset=offset)) is Kind.BAD_OFFSET
        assert get(storage, "/a") == b"0123456789"

    def test_offset_into_nothing_is_refused(self, storage: Storage) -> None:
        """Without a file there is nothing to go on with, and nothing is left behind."""
        assert kind_of(storage.open_sink, at("/a"), Terms(offset=1)) is Kind.BAD_OFFSET
        assert kind_of(storage.stat, at("/a")) is Kind.NOT_FOUND

    def test_append_goes_on_at_the_end(self, storage: Storage) -> None:
        """APPE adds, and tells where."""
        put(storage, "/a", b"012")
        sink = put(storage, "/a", b"345", append=True)
        assert (sink.offset, get(storage, "/a")) == (3, b"012345")

    def test_append_ignores_the_offset(self, storage: Storage) -> None:
        """An append after REST goes on at the end all the same."""
        put(storage, "/a", b"012")
        put(storage, "/a", b"345", append=True, offset=1)
        assert get(storage, "/a") == b"012345"

    def test_append_makes_a_new_file(self, storage: Storage) -> None:
        """RFC 959: APPE to what is not there creates it."""
        put(storage, "/a", b"012", append=True)
        assert get(storage, "/a") == b"012"

    def test_unique_leaves_the_file_of_that_name(self, storage: Storage) -> None:
        """STOU publishes beside the file, under a name it tells, and keeps the extension."""
        put(storage, "/a.txt", b"old")
        sink = storage.open_sink(at("/a.txt"), Terms(unique=True))
        write(sink, b"new")
        sink.commit()
        assert (get(storage, "/a.txt"), get(storage, str(sink.path))) == (b"old", b"new")
        assert sink.path.parent.is_root
        assert sink.path.name.endswith(".txt")

    def test_unique_names_differ(self, storage: Storage) -> None:
        """Two STOU at once have two names."""
        sinks = [storage.open_sink(at("/a"), Terms(unique=True)) for _ in range(2)]
        for sink in sinks:
            sink.commit()
        assert len({sink.path for sink in sinks}) == 2

    def test_may_not_replace(self, storage: Storage) -> None:
        """A user who may not replace is refused before a byte is taken, also at an offset and when appending."""
        put(storage, "/a", b"old")
        for offset, append in [(0, False), (3, False), (0, True)]:
            kind = kind_of(storage.open_sink, at("/a"), Terms(offset=offset, append=append, may_replace=False))
            assert kind is Kind.EXISTS
        assert get(storage, "/a") == b"old"

    def test_may_not_replace_but_create(self, storage: Storage) -> None:
        """A user who may not replace may upload a new file."""
        put(storage, "/a", b"new", may_replace=False)
        assert get(storage, "/a") == b"new"

    def test_may_not_create(self, storage: Storage) -> None:
        """A user who may not create finds nothing to replace, and nothing appears."""
        assert kind_of(storage.open_sink, at("/a"), Terms(may_create=False)) is Kind.NOT_FOUND
        assert names(storage) == []

    def test_may_not_create_but_replace(self, storage: Storage) -> None:
        """A user who may not create may replace."""
        put(storage, "/a", b"old")
        sink = storage.open_sink(at("/a"), Terms(may_create=False))
        write(sink, b"new")
        sink.commit()
        assert get(storage, "/a") == b"new"

    def test_into_no_directory(self, storage: Storage) -> None:
        """An upload makes no directories."""
        assert kind_of(storage.open_sink, at("/d/a")) is Kind.NOT_FOUND

    def test_over_a_directory(self, storage: Storage) -> None:
        """A directory is not replaced by a file; the root is one."""
        storage.make_directory(at("/d"))
        assert [kind_of(storage.open_sink, at(path)) for path in ("/d", "/")] == [Kind.IS_A_DIRECTORY] * 2

    def test_abort_after_commit_changes_nothing(self, storage: Storage) -> None:
        """Aborting what is published does nothing, twice."""
        sink = put(storage, "/a", b"1")
        sink.abort()
        sink.abort()
        assert get(storage, "/a") == b"1"

    def test_commit_after_abort_is_refused(self, storage: Storage) -> None:
        """An upload that was given up is not published later."""
        sink = storage.open_sink(at("/a"))
        write(sink, b"1")
        sink.abort()
        assert kind_of(sink.commit) is Kind.IO

    def test_write_after_the_end_is_refused(self, storage: Storage) -> None:
        """A write after commit() is an error, and its bytes are not in the file."""
        sink = put(storage, "/a", b"1")
        assert kind_of(sink.write, memoryview(b"2")) is Kind.IO
        assert get(storage, "/a") == b"1"

    def test_sink_outlives_its_storage(self, house: House) -> None:
        """Closing the storage leaves open sinks valid."""
        storage = house.open("user")
        sink = storage.open_sink(at("/a"))
        storage.close()
        write(sink, b"whole")
        sink.commit()
        assert get(house.open("user"), "/a") == b"whole"

    def test_mode_of_the_target_is_kept(self, storage: Storage) -> None:
        """An overwrite keeps the file's permission bits."""
        put(storage, "/a", b"old")
        storage.set_mode(at("/a"), 0o640)
        put(storage, "/a", b"new")
        assert storage.stat(at("/a")).mode & 0o777 == 0o640

    def test_new_file_is_private(self, storage: Storage) -> None:
        """With the default umask 077 nobody else reads an upload."""
        put(storage, "/a", b"1")
        assert storage.stat(at("/a")).mode & 0o777 == 0o600


class TestNames:
    """Which names there are."""

    @pytest.mark.parametrize(
        "name",
        [
            " ",
            "a b",
            "-la",
            "%41",
            'say "hi"',
            "ü",
            "日本語",
            "e\u0301",
            "\udcff\udc80",
            "*",
            "[x]",
            "~",
            "x" * 255,
            ".hidden",
            "ftpsd-",
        ],
    )
    def test_name_comes_back(self, storage: Storage, name: str) -> None:
        """A name is stored and listed as it was said, also one that is not UTF-8."""
        put(storage, f"/{name}", b"1")
        assert (names(storage), get(storage, f"/{name}")) == ([name], b"1")

    @pytest.mark.parametrize("name", ["x" * 256, "ü" * 128, "\ud800", "..", ".", "", "a/b", "/etc", "a\0b"])
    def test_impossible_name_is_bad(self, storage: Storage, name: str) -> None:
        """A storage does not rely on VirtualPath for keeping out what is no component, too long, or has no bytes."""
        path = VirtualPath()
        object.__setattr__(path, "parts", (name,))
        calls: list[Callable[..., object]] = [
            storage.stat,
            storage.open_source,
            storage.open_sink,
            storage.make_directory,
            storage.remove_file,
        ]
        assert [kind_of(call, path) for call in calls] == [Kind.BAD_NAME] * 5

    @pytest.mark.parametrize("name", RESERVED)
    def test_reserved_name_cannot_be_made(self, storage: Storage, name: str) -> None:
        """The server's own names are refused to uploads, directories and renames."""
        put(storage, "/a", b"1")
        path = VirtualPath((name,))
        kinds = [
            kind_of(storage.open_sink, path),
            kind_of(storage.make_directory, path),
            kind_of(storage.rename, at("/a"), path),
        ]
        assert kinds == [Kind.BAD_NAME] * 3

    @pytest.mark.parametrize("name", RESERVED)
    def test_reserved_name_does_not_exist(self, storage: Storage, name: str) -> None:
        """The server's own names answer nothing, also in the middle of a path."""
        path = VirtualPath((name,))
        kinds = [
            kind_of(storage.stat, path),
            kind_of(storage.list, path),
            kind_of(storage.open_source, path),
            kind_of(storage.remove_file, path),
            kind_of(storage.remove_directory, path),
            kind_of(storage.rename, path, at("/b")),
            kind_of(storage.set_modified, path, 0),
            kind_of(storage.set_mode, path, 0o600),
            kind_of(storage.stat, path / "a"),
            kind_of(storage.open_sink, path / "a"),
        ]
        assert kinds == [Kind.NOT_FOUND] * len(kinds)

    def test_closed_storage_refuses(self, storage: Storage) -> None:
        """After close() everything is IO, and nothing reaches another tree."""
        storage.close()
        assert kind_of(storage.stat, at("/")) is Kind.IO
        assert kind_of(storage.list, at("/")) is Kind.IO

    def test_interrupted_upload_is_in_no_listing(self, house: House) -> None:
        """Anything that an upload leaves behind besides its target is hidden."""
        storage = house.open("user")
        interrupt(storage, "/a", b"123")
        assert names(storage) == ([] if house.is_atomic else ["a"])
