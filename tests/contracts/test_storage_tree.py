"""The behaviour of every storage with directories, removal, renaming and facts."""

from __future__ import annotations

import pytest

from ftpsd.storage.base import Kind, Storage, Terms
from ftpsd.values.entry import EntryType
from tests.contracts.storages import at, entries, get, kind_of, names, put


class TestDirectories:
    """Making, removing and reading directories."""

    def test_made_directory_is_there(self, storage: Storage) -> None:
        """MKD makes a directory."""
        storage.make_directory(at("/d"))
        storage.make_directory(at("/d/e"))
        assert storage.stat(at("/d/e")).type is EntryType.DIRECTORY

    @pytest.mark.parametrize("path", ["/", "/d", "/f"])
    def test_existing_name_is_refused(self, storage: Storage, path: str) -> None:
        """MKD over anything is EXISTS."""
        storage.make_directory(at("/d"))
        put(storage, "/f", b"")
        assert kind_of(storage.make_directory, at(path)) is Kind.EXISTS

    def test_directory_in_no_directory(self, storage: Storage) -> None:
        """MKD makes one level."""
        assert kind_of(storage.make_directory, at("/d/e")) is Kind.NOT_FOUND

    def test_empty_directory_is_removed(self, storage: Storage) -> None:
        """RMD removes an empty directory."""
        storage.make_directory(at("/d"))
        storage.remove_directory(at("/d"))
        assert names(storage) == []

    def test_full_directory_stays(self, storage: Storage) -> None:
        """RMD removes no files."""
        storage.make_directory(at("/d"))
        put(storage, "/d/a", b"1")
        assert kind_of(storage.remove_directory, at("/d")) is Kind.NOT_EMPTY
        assert get(storage, "/d/a") == b"1"

    def test_file_is_not_removed_as_a_directory(self, storage: Storage) -> None:
        """RMD of a file is NOT_A_DIRECTORY."""
        put(storage, "/a", b"1")
        assert kind_of(storage.remove_directory, at("/a")) is Kind.NOT_A_DIRECTORY

    def test_root_says_that_it_stays(self, storage: Storage) -> None:
        """Its perm fact promises what can be done in it, and neither d nor f."""
        assert storage.stat(at("/")).perm == "celmp"

    def test_root_cannot_be_removed_or_renamed(self, storage: Storage) -> None:
        """The root stays."""
        calls = [
            kind_of(storage.remove_directory, at("/")),
            kind_of(storage.remove_file, at("/")),
            kind_of(storage.rename, at("/"), at("/a")),
        ]
        assert calls == [Kind.DENIED] * 3

    def test_listing_names_all(self, storage: Storage) -> None:
        """A listing has files and directories, not what is in them."""
        storage.make_directory(at("/d"))
        put(storage, "/d/inner", b"")
        put(storage, "/a", b"123")
        assert {(e.name, e.type) for e in entries(storage)} == {("d", EntryType.DIRECTORY), ("a", EntryType.FILE)}

    def test_listing_and_stat_agree(self, storage: Storage) -> None:
        """An entry is the same in both."""
        put(storage, "/a", b"123")
        assert entries(storage) == [storage.stat(at("/a"))]

    def test_listing_comes_in_pieces(self, storage: Storage) -> None:
        """However it is cut, every name comes once."""
        for number in range(25):
            put(storage, f"/{number}", b"")
        assert [e.name for e in entries(storage, count=7)] == sorted(map(str, range(25)))

    def test_listing_is_sorted(self, storage: Storage) -> None:
        """By the codes of the letters: capitals first, and whatever is not ASCII last."""
        expected = ["-", "0", "A", "Z", "a", "a.b", "a0", "b", "é", "中"]
        for name in sorted(expected, key=hash):
            put(storage, f"/{name}", b"") if name != "b" else storage.make_directory(at("/b"))
        for count in (3, 100):
            assert [e.name for e in entries(storage, count=count)] == expected

    def test_empty_directory_lists_nothing(self, storage: Storage) -> None:
        """An empty directory is at its end at once, and stays there."""
        listing = storage.list(at("/"))
        assert (listing.read(10), listing.read(10)) == ([], [])
        listing.close()
        listing.close()

    def test_listing_a_file(self, storage: Storage) -> None:
        """A file is no directory to list."""
        put(storage, "/a", b"")
        assert kind_of(storage.list, at("/a")) is Kind.NOT_A_DIRECTORY

    def test_listing_nothing(self, storage: Storage) -> None:
        """A directory that is not there is not listed."""
        assert kind_of(storage.list, at("/d")) is Kind.NOT_FOUND


class TestRemoveAndRename:
    """Removing and renaming."""

    def test_removed_file_is_gone(self, storage: Storage) -> None:
        """DELE removes a file."""
        put(storage, "/a", b"")
        storage.remove_file(at("/a"))
        assert kind_of(storage.stat, at("/a")) is Kind.NOT_FOUND

    def test_directory_is_not_removed_as_a_file(self, storage: Storage) -> None:
        """DELE of a directory is IS_A_DIRECTORY."""
        storage.make_directory(at("/d"))
        assert kind_of(storage.remove_file, at("/d")) is Kind.IS_A_DIRECTORY

    def test_nothing_to_remove(self, storage: Storage) -> None:
        """DELE and RMD of nothing are NOT_FOUND."""
        assert kind_of(storage.remove_file, at("/a")) is Kind.NOT_FOUND
        assert kind_of(storage.remove_directory, at("/a")) is Kind.NOT_FOUND

    def test_file_is_renamed_into_a_directory(self, storage: Storage) -> None:
        """A rename may change the directory."""
        put(storage, "/a", b"1")
        storage.make_directory(at("/d"))
        storage.rename(at("/a"), at("/d/b"))
        assert (names(storage), get(storage, "/d/b")) == (["d"], b"1")

    def test_directory_is_renamed_with_its_contents(self, storage: Storage) -> None:
        """The content of a directory goes with it."""
        storage.make_directory(at("/d"))
        put(storage, "/d/a", b"1")
        storage.rename(at("/d"), at("/e"))
        assert get(storage, "/e/a") == b"1"

    def test_rename_replaces_a_file(self, storage: Storage) -> None:
        """A rename over a file replaces it."""
        put(storage, "/a", b"new")
        put(storage, "/b", b"old")
        storage.rename(at("/a"), at("/b"))
        assert (names(storage), get(storage, "/b")) == (["b"], b"new")

    def test_rename_over_a_read_only_file(self, storage: Storage) -> None:
        """A file that its operator made read-only stays, whatever is to take its name."""
        put(storage, "/a", b"new")
        put(storage, "/b", b"old")
        storage.set_mode(at("/b"), 0o444)
        assert kind_of(storage.rename, at("/a"), at("/b")) is Kind.DENIED
        assert kind_of(storage.open_sink, at("/b")) is Kind.DENIED
        assert kind_of(storage.open_sink, at("/b"), Terms(append=True)) is Kind.DENIED
        assert (get(storage, "/a"), get(storage, "/b")) == (b"new", b"old")
        storage.rename(at("/b"), at("/c"))
        assert get(storage, "/c") == b"old"

    def test_rename_of_a_file_only(self, storage: Storage) -> None:
        """Where only files may go, a directory stays."""
        put(storage, "/a", b"1")
        storage.make_directory(at("/d"))
        storage.rename(at("/a"), at("/b"), any_kind=False)
        assert kind_of(storage.rename, at("/d"), at("/e"), any_kind=False) is Kind.DENIED
        assert names(storage) == ["b", "d"]

    def test_rename_that_may_not_replace(self, storage: Storage) -> None:
        """A user who may not replace leaves both files as they are."""
        put(storage, "/a", b"new")
        put(storage, "/b", b"old")
        assert kind_of(storage.rename, at("/a"), at("/b"), may_replace=False) is Kind.EXISTS
        assert (get(storage, "/a"), get(storage, "/b")) == (b"new", b"old")

    def test_rename_that_need_not_replace(self, storage: Storage) -> None:
        """A user who may not replace may rename to a new name, files and directories."""
        put(storage, "/a", b"1")
        storage.make_directory(at("/d"))
        storage.rename(at("/a"), at("/b"), may_replace=False)
        storage.rename(at("/d"), at("/e"), may_replace=False)
        assert names(storage) == ["b", "e"]

    def test_rename_over_a_full_directory(self, storage: Storage) -> None:
        """A directory with something in it is not replaced."""
        storage.make_directory(at("/d"))
        storage.make_directory(at("/e"))
        put(storage, "/e/a", b"1")
        assert kind_of(storage.rename, at("/d"), at("/e")) is Kind.NOT_EMPTY

    def test_rename_into_itself(self, storage: Storage) -> None:
        """A directory does not go into itself."""
        storage.make_directory(at("/d"))
        assert kind_of(storage.rename, at("/d"), at("/d/e")) is Kind.BAD_NAME

    def test_rename_of_nothing(self, storage: Storage) -> None:
        """A file that is not there is not renamed."""
        assert kind_of(storage.rename, at("/a"), at("/b")) is Kind.NOT_FOUND

    def test_rename_to_nowhere(self, storage: Storage) -> None:
        """A rename makes no directories."""
        put(storage, "/a", b"1")
        assert kind_of(storage.rename, at("/a"), at("/d/a")) is Kind.NOT_FOUND


class TestFacts:
    """Setting times and modes."""

    def test_modified_is_set_to_the_nanosecond(self, storage: Storage) -> None:
        """MFMT sets what MDTM tells."""
        put(storage, "/a", b"1")
        storage.set_modified(at("/a"), 1_234_567_890_123_456_789)
        assert storage.stat(at("/a")).modified_ns == 1_234_567_890_123_456_789

    @pytest.mark.parametrize("seconds", [-5_364_662_400, 0, 1_234_567_890, 253_402_300_799])
    def test_the_time_that_is_kept_is_told(self, storage: Storage, seconds: int) -> None:
        """File systems do not keep every year (ext4: neither 1800 nor 9999)."""
        put(storage, "/a", b"1")
        kept = storage.set_modified(at("/a"), seconds * 10**9)
        assert storage.stat(at("/a")).modified_ns == kept

    def test_mode_is_set(self, storage: Storage) -> None:
        """SITE CHMOD sets the permission bits, also those that lock the owner out, and tells them."""
        put(storage, "/a", b"1")
        assert storage.set_mode(at("/a"), 0o044) == 0o044
        assert storage.stat(at("/a")).mode & 0o777 == 0o044

    @pytest.mark.parametrize("mode", [0o000, 0o300, 0o500, 0o077, 0o755])
    def test_directories_keep_the_rights_of_their_owner(self, storage: Storage, mode: int) -> None:
        """The server must see what is in them, or it would not count for a quota."""
        storage.make_directory(at("/d"))
        assert storage.set_mode(at("/d"), mode) & 0o777 == mode | 0o700
        assert storage.stat(at("/d")).mode & 0o777 == mode | 0o700

    def test_set_user_id_is_refused(self, storage: Storage) -> None:
        """Nobody makes a set-user-id program through FTP."""
        put(storage, "/a", b"1")
        assert kind_of(storage.set_mode, at("/a"), 0o4755) is Kind.DENIED

    def test_facts_of_nothing(self, storage: Storage) -> None:
        """A file that is not there has no facts to set."""
        assert kind_of(storage.set_modified, at("/a"), 0) is Kind.NOT_FOUND
        assert kind_of(storage.set_mode, at("/a"), 0o600) is Kind.NOT_FOUND


class TestRoom:
    """How much can be stored."""

    def test_there_is_some(self, storage: Storage) -> None:
        """A directory has room, the root as well."""
        storage.make_directory(at("/d"))
        assert min(storage.free_bytes(at("/")), storage.free_bytes(at("/d"))) > 0

    def test_room_in_what_is_no_directory(self, storage: Storage) -> None:
        """A file has no room, and what is not there neither."""
        put(storage, "/a", b"1")
        assert kind_of(storage.free_bytes, at("/a")) is Kind.NOT_A_DIRECTORY
        assert kind_of(storage.free_bytes, at("/b")) is Kind.NOT_FOUND
