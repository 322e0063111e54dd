"""Mounts: several trees as one, and what is not done across their borders."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ftpsd.storage.base import Kind, Listing, StorageError, Terms
from ftpsd.storage.errnos import from_oserror
from ftpsd.storage.guarded import GuardedStorage
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.mounts import MountedStorage, MountPoints
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.entry import Entry, EntryType
from ftpsd.values.path import VirtualPath
from ftpsd.values.permission import Permission
from ftpsd.values.rule import Rule
from tests.contracts.storages import at, entries, get, kind_of, names, put, write
from tests.fakes import MemoryStorage

READER = [Rule("/**", frozenset({Permission.LIST, Permission.READ}))]


@pytest.fixture
def home() -> MemoryStorage:
    """Return a home with a file, a directory, and a directory that has the name of a mount."""
    home = MemoryStorage()
    home.put("/own", b"own")
    home.put("/real/own", b"own")
    home.put("/shared/hidden", b"hidden")
    return home


@pytest.fixture
def shared() -> MemoryStorage:
    """Return a tree with a file and a directory."""
    shared = MemoryStorage()
    shared.put("/file", b"shared")
    shared.put("/d/file", b"inner")
    return shared


@pytest.fixture
def deep() -> MemoryStorage:
    """Return another tree."""
    deep = MemoryStorage()
    deep.put("/file", b"deep")
    return deep


@pytest.fixture
def storage(home: MemoryStorage, shared: MemoryStorage, deep: MemoryStorage) -> MountedStorage:
    """Return them with mounts below the root, below nothing, in a real directory, and in a mount."""
    return MountedStorage(
        home,
        {
            at("/shared"): shared,
            at("/shared/x/deep"): deep,
            at("/nowhere/at/all"): shared,
            at("/real/deep"): deep,
        },
    )


class TestTrees:
    """Which tree a path is in."""

    def test_each_path_is_in_its_tree(self, storage: MountedStorage) -> None:
        """The longest mount path wins; what the home has under that name is hidden."""
        assert get(storage, "/own") == b"own"
        assert get(storage, "/shared/file") == get(storage, "/nowhere/at/all/file") == b"shared"
        assert get(storage, "/shared/x/deep/file") == get(storage, "/real/deep/file") == b"deep"
        assert kind_of(storage.stat, at("/shared/hidden")) is Kind.NOT_FOUND

    def test_a_longer_name_is_another(self, storage: MountedStorage) -> None:
        """A mount takes whole names, not beginnings of names."""
        put(storage, "/shared2", b"mine")
        assert MountPoints([at("/a")]).find(at("/ab")) == VirtualPath()
        assert get(storage, "/shared2") == b"mine"

    def test_an_upload_goes_to_its_tree(self, storage: MountedStorage, shared: MemoryStorage) -> None:
        """And is named as the user names it."""
        sink = put(storage, "/shared/d/new", b"new")
        assert (str(sink.path), shared.get("/d/new")) == ("/shared/d/new", b"new")

    def test_a_unique_name_is_told_in_full(self, storage: MountedStorage, shared: MemoryStorage) -> None:
        """STOU answers with the name that the user finds the file under."""
        sink = storage.open_sink(at("/shared/d/new"), Terms(unique=True))
        write(sink, b"1")
        sink.commit()
        assert sink.path.parent == at("/shared/d")
        assert shared.get(f"/d/{sink.path.name}") == b"1"

    def test_a_unique_name_that_is_too_long(self) -> None:
        """A path that fits in the mounted tree but not below its mount point is refused, with nothing left behind."""
        point, tree = VirtualPath(("p" * 200,)), MemoryStorage()
        folder = VirtualPath(("d" * 250,) * 15)
        for depth in range(1, 16):
            tree.make_directory(VirtualPath(folder.parts[:depth]))
        storage = MountedStorage(MemoryStorage(), {point: tree})
        path = VirtualPath((*point.parts, *folder.parts, "x" * 125))
        assert kind_of(storage.open_sink, path, Terms(unique=True)) is Kind.BAD_NAME
        assert not tree.tree.active

    def test_errors_name_the_path_of_the_user(self, storage: MountedStorage) -> None:
        """An error in a mounted tree says where that is for the user."""
        with pytest.raises(StorageError) as caught:
            storage.open_source(at("/shared/no"))
        assert caught.value.path == at("/shared/no")

    def test_a_download_of_a_mounted_file_is_whole(self, tmp_path: Path) -> None:
        """Offset, size, descriptor and digest are those of the file."""
        (tmp_path / "f").write_bytes(b"0123456789")
        tree = LocalJail.open(tmp_path, uploads=UploadPolicy(), owner="u")
        source = MountedStorage(MemoryStorage(), {at("/m"): tree}).open_source(at("/m/f"), 4)
        assert (source.size, source.offset) == (10, 4)
        buffer = bytearray(3)
        assert (source.read_into(memoryview(buffer)), bytes(buffer), source.offset) == (3, b"456", 7)
        assert source.fileno() is not None
        source.close()

    def test_closing_closes_every_tree(self, storage: MountedStorage, deep: MemoryStorage) -> None:
        """After close() no tree answers."""
        storage.close()
        assert kind_of(storage.stat, at("/own")) is Kind.IO
        assert kind_of(deep.stat, at("/file")) is Kind.IO


class TestListings:
    """The view of a home with mounts: what is shown where."""

    def test_mount_points_are_listed_once(self, storage: MountedStorage) -> None:
        """In their parent, instead of what the home has there, and their parents where there are none."""
        assert sorted(names(storage)) == ["nowhere", "own", "real", "shared"]
        assert sorted(names(storage, "/shared")) == ["d", "file", "x"]
        assert sorted(names(storage, "/real")) == ["deep", "own"]

    @pytest.mark.parametrize(("path", "inside"), [("/nowhere", "at"), ("/nowhere/at", "all"), ("/shared/x", "deep")])
    def test_directories_that_lead_to_mounts(self, storage: MountedStorage, path: str, inside: str) -> None:
        """They are directories that hold the way to the mount and nothing else."""
        entry = storage.stat(at(path))
        assert (entry.type, entry.perm, entry.name) == (EntryType.DIRECTORY, "el", at(path).name)
        assert names(storage, path) == [inside]

    def test_listing_and_stat_agree(self, storage: MountedStorage) -> None:
        """An entry is the same in both."""
        found = {entry.name: entry for entry in entries(storage)}
        assert found == {name: storage.stat(at(f"/{name}")) for name in found}

    def test_a_mount_point_is_the_root_of_its_tree(self, storage: MountedStorage, shared: MemoryStorage) -> None:
        """With its time, under its own name, and neither to be deleted nor renamed."""
        shared.set_modified(VirtualPath(), 12345)
        entry = storage.stat(at("/shared"))
        assert (entry.name, entry.modified_ns, entry.perm) == ("shared", 12345, "celmp")

    def test_a_listing_comes_in_pieces(self, storage: MountedStorage) -> None:
        """However it is cut, every name comes once."""
        assert sorted(entry.name for entry in entries(storage, count=1)) == ["nowhere", "own", "real", "shared"]

    def test_a_file_in_the_way_is_hidden(self, shared: MemoryStorage) -> None:
        """A file that has the name of a directory above a mount can be neither read, nor changed, nor lost."""
        home = MemoryStorage()
        home.put("/a", b"file")
        storage = MountedStorage(home, {at("/a/b"): shared})
        assert (storage.stat(at("/a")).type, names(storage, "/a")) == (EntryType.DIRECTORY, ["b"])
        assert kind_of(storage.open_source, at("/a")) is Kind.IS_A_DIRECTORY
        assert kind_of(storage.open_sink, at("/a")) is Kind.IS_A_DIRECTORY
        assert kind_of(storage.remove_file, at("/a")) is Kind.DENIED
        assert kind_of(storage.set_mode, at("/a"), 0o600) is Kind.DENIED
        assert home.get("/a") == b"file"

    def test_who_may_see_nothing_of_the_home_sees_the_mounts(self, home: MemoryStorage, deep: MemoryStorage) -> None:
        """Rules of the home say nothing about the mounts, and the way to them is open."""
        storage = MountedStorage(GuardedStorage(home, []), {at("/real/deep"): GuardedStorage(deep, READER)})
        assert (names(storage), names(storage, "/real")) == (["real"], ["deep"])
        assert get(storage, "/real/deep/file") == b"deep"
        assert kind_of(storage.stat, at("/real/own")) is Kind.NOT_FOUND

    def test_a_mount_that_may_not_be_seen_is_not_listed(self, home: MemoryStorage, deep: MemoryStorage) -> None:
        """The rules of a mount decide whether it shows."""
        storage = MountedStorage(home, {at("/deep"): GuardedStorage(deep, [])})
        assert sorted(names(storage)) == ["own", "real", "shared"]

    def test_a_mount_in_trouble_stays_listed(self, home: MemoryStorage) -> None:
        """A client that mirrors must not take a file server that hangs for files that were deleted."""

        class Broken(MemoryStorage):
            def stat(self, path: VirtualPath) -> Entry:
                raise from_oserror(OSError(errno.EIO, os.strerror(errno.EIO)), path)

        storage = MountedStorage(home, {at("/broken"): Broken()})
        assert "broken" in names(storage)
        assert kind_of(storage.stat, at("/broken")) is Kind.IO

    def test_an_error_in_the_middle_names_the_path_of_the_user(self, home: MemoryStorage) -> None:
        """Also the one that comes while a mounted directory is read."""

        class Breaking(MemoryStorage):
            def list(self, path: VirtualPath) -> Listing:
                return self

            def read(self, count: int) -> list[Entry]:  # type: ignore[valid-type]
                raise StorageError(Kind.IO, at("/d"))

        listing = MountedStorage(home, {at("/m"): Breaking()}).list(at("/m/d"))
        with pytest.raises(StorageError) as caught:
            listing.read(10)
        assert caught.value.path == at("/m/d")


HELD = ["/shared", "/shared/x", "/shared/x/deep", "/nowhere", "/nowhere/at", "/real", "/real/deep"]


class TestHeld:
    """The operations that are not done to mount points and to what is above them."""

    @pytest.mark.parametrize("path", HELD)
    def test_they_stay(self, storage: MountedStorage, path: str) -> None:
        """They are not deleted, renamed, made or replaced."""
        put(storage, "/new", b"1")
        kinds = [
            kind_of(storage.remove_directory, at(path)),
            kind_of(storage.remove_file, at(path)),
            kind_of(storage.rename, at(path), at("/other")),
            kind_of(storage.rename, at("/new"), at(path)),
            kind_of(storage.make_directory, at(path)),
            kind_of(storage.make_link, at(path), at("/new")),
            kind_of(storage.open_sink, at(path)),
            kind_of(storage.open_sink, at(path), Terms(unique=True)),
        ]
        made = [Kind.EXISTS, Kind.EXISTS, Kind.EXISTS, Kind.IS_A_DIRECTORY, Kind.IS_A_DIRECTORY]
        assert kinds == [Kind.DENIED] * 3 + made

    def test_a_mount_that_is_hidden_does_not_show_by_its_refusals(self, home: MemoryStorage) -> None:
        """A part of a mount that the user may not see looks like a refusal of the home, or like what is not there."""
        rules = [Rule("/**", frozenset({Permission.LIST, Permission.RENAME}))]
        storage = MountedStorage(GuardedStorage(home, rules), {at("/m"): GuardedStorage(MemoryStorage(), [])})
        for path in ("/m", "/none"):
            assert kind_of(storage.make_directory, at(path)) is Kind.DENIED
            assert kind_of(storage.open_sink, at(path)) is Kind.DENIED
            assert kind_of(storage.rename, at(path), at("/new")) is Kind.NOT_FOUND
        assert kind_of(storage.rename, at("/own"), at("/m")) is Kind.DENIED

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("/own", "/shared/own"),
            ("/shared/file", "/own2"),
            ("/shared/file", "/shared/x/deep/f"),
            ("/own", "/shared/d"),
        ],
    )
    def test_a_rename_stays_in_its_tree(self, storage: MountedStorage, old: str, new: str) -> None:
        """A rename that would have to copy is refused, and both sides stay as they are."""
        before = get(storage, old)
        assert kind_of(storage.rename, at(old), at(new)) is Kind.OTHER_TREE
        assert get(storage, old) == before

    def test_a_rename_inside_a_tree(self, storage: MountedStorage) -> None:
        """Inside a mount, files are renamed like everywhere."""
        storage.rename(at("/shared/file"), at("/shared/d/renamed"))
        assert get(storage, "/shared/d/renamed") == b"shared"

    @pytest.mark.parametrize("path", ["/nowhere/a", "/nowhere/at/a", "/shared/x/a"])
    def test_nothing_is_made_where_only_mounts_are(self, storage: MountedStorage, path: str) -> None:
        """Denied, and not "no such directory", for the directory is there."""
        put(storage, "/shared/new", b"")
        assert kind_of(storage.make_directory, at(path)) is Kind.DENIED
        target = "/shared/file" if path.startswith("/shared") else "/own"
        assert kind_of(storage.make_link, at(path), at(target)) is Kind.DENIED
        assert kind_of(storage.open_sink, at(path)) is Kind.DENIED
        moved = "/shared/new" if path.startswith("/shared") else "/own"
        assert kind_of(storage.rename, at(moved), at(path)) is Kind.DENIED

    @pytest.mark.parametrize(
        ("link", "target"),
        [("/link", "/real/own"), ("/shared/link", "/shared/d"), ("/shared/d/link", "/shared/file")],
    )
    def test_a_link_inside_a_tree(self, storage: MountedStorage, link: str, target: str) -> None:
        """In the home and in a mount, links are made like everywhere."""
        storage.make_link(at(link), at(target))
        assert storage.stat(at(link)).unique == storage.stat(at(target)).unique

    @pytest.mark.parametrize("path", [*HELD, "/shared/file", "/real/deep/file", "/shared/none", "/shared/x/none", "/"])
    def test_a_link_stays_in_its_tree(self, storage: MountedStorage, path: str) -> None:
        """
        A target in another tree, or that leads to one, is as if it were not there.

        The home's own directory behind a mount point would show what the mount hides.
        """
        assert kind_of(storage.make_link, at("/link"), at(path)) is Kind.NOT_FOUND
        assert kind_of(storage.stat, at("/link")) is Kind.NOT_FOUND

    def test_no_link_leads_from_a_mount_home(self, storage: MountedStorage) -> None:
        """The root of a mount has nothing above it."""
        for target in ("/own", "/none", "/", "/shared/x/deep/file"):
            assert kind_of(storage.make_link, at("/shared/link"), at(target)) is Kind.NOT_FOUND

    @pytest.mark.parametrize("rules", [READER, [Rule("/**", frozenset({Permission.UPLOAD, Permission.LIST}))]])
    @pytest.mark.parametrize("link", ["/link", "/m/below"])
    def test_a_hidden_mount_does_not_show_by_links(self, home: MemoryStorage, rules: list[Rule], link: str) -> None:
        """A target in it is answered like one that is not there, whether links could be made or not."""
        trees = {at("/m"): GuardedStorage(MemoryStorage(), [])}
        storage = MountedStorage(GuardedStorage(home, rules), trees)
        kinds = {kind_of(storage.make_link, at(link), at(target)) for target in ("/m", "/m/x", "/none", "/none/x")}
        assert len(kinds) == 1

    @pytest.mark.parametrize("path", ["/nowhere", "/shared/x"])
    def test_facts_of_what_is_made_up(self, storage: MountedStorage, path: str) -> None:
        """A directory that is nowhere has no time, mode or room of its own."""
        calls: list[Callable[[], object]] = [
            lambda: storage.set_modified(at(path), 1),
            lambda: storage.set_mode(at(path), 0o700),
            lambda: storage.free_bytes(at(path)),
        ]
        assert [kind_of(call) for call in calls] == [Kind.DENIED] * 3

    def test_room_is_that_of_the_tree(self, storage: MountedStorage, deep: MemoryStorage) -> None:
        """Each tree has its own disk."""
        deep.tree.room = 77
        assert storage.free_bytes(at("/real/deep")) == 77
        assert storage.free_bytes(at("/real")) > 77
