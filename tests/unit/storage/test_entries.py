"""Directories of the jail: in which order they are told, in how much memory, and what ends a listing."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from ftpsd.storage.base import Kind, StorageError
from ftpsd.storage.disk.entries import CHUNK, DirectoryListing, Held
from ftpsd.storage.disk.walk import Root
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.mounts import MountedStorage
from ftpsd.values.path import VirtualPath
from tests.contracts.storages import at, names

ROOT = VirtualPath()


@pytest.fixture
def many(home: Path) -> Callable[[int], list[str]]:
    """Fills the home with so many files, in no order, and returns their names in order."""

    def made(count: int) -> list[str]:
        expected = [f"file-{number:05}" for number in range(count)]
        directory = os.open(home, os.O_RDONLY)
        for name in random.Random(1).sample(expected, count):
            os.mknod(name, 0o600, dir_fd=directory)
        os.close(directory)
        return expected

    return made


def opened(home: Path, held: Held) -> DirectoryListing:
    """Open the home as a listing."""
    root = Root(os.fsencode(home), "inside")
    return DirectoryListing(root, ROOT, root.open_directory(ROOT), held)


def told(listing: DirectoryListing) -> list[str]:
    """Return all names of *listing*, in its order."""
    found = []
    while entries := listing.read(70):
        found += [entry.name for entry in entries]
    return found


@pytest.mark.parametrize("count", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK - 1, 3 * CHUNK])
def test_names_come_sorted(home: Path, many: Callable[[int], list[str]], count: int) -> None:
    """Up to the bound for one directory, and at it."""
    expected = many(count)
    assert told(opened(home, Held(10 * CHUNK, 3 * CHUNK))) == expected


def test_a_larger_directory_is_whole(home: Path, many: Callable[[int], list[str]]) -> None:
    """In the order of the disk, and no more than the bound of it is ever held."""
    expected = many(5 * CHUNK)
    held = Held(10 * CHUNK, 2 * CHUNK)
    listing = opened(home, held)
    found = told(listing)
    assert sorted(found) == expected
    assert found != expected
    assert held.take(8 * CHUNK)
    assert not held.take(1)
    listing.close()


def test_many_listings_share_the_room(home: Path, many: Callable[[int], list[str]]) -> None:
    """One that finds no room is whole, but not sorted; at the end of a listing its room is free again."""
    expected = many(2 * CHUNK)
    held = Held(3 * CHUNK, 10 * CHUNK)
    first, second = opened(home, held), opened(home, held)
    assert first.read(1)[0].name == expected[0]
    found = told(second)
    assert (sorted(found), found != expected) == (expected, True)
    second.close()
    first.close()
    first.close()
    third = opened(home, held)
    assert told(third) == expected
    third.close()
    assert held.take(3 * CHUNK)


def test_mounts_stand_in_order(tmp_path: Path, home: Path, many: Callable[[int], list[str]], jail: LocalJail) -> None:
    """A mount point is where its name is."""
    expected = many(300)
    mounted = MountedStorage(jail, {at(f"/{name}"): jail for name in ("file-00150x", "a", "z", "file-00007")})
    assert names(mounted) == sorted([*expected, "file-00150x", "a", "z"])
    listing = mounted.list(ROOT)
    assert [entry.name for entry in listing.read(400)] == sorted([*expected, "file-00150x", "a", "z"])
    listing.close()


@pytest.mark.parametrize(("number", "kind"), [(errno.EMFILE, Kind.BUSY), (errno.EIO, Kind.IO), (errno.ESTALE, Kind.IO)])
def test_a_link_that_cannot_be_looked_at_ends_the_listing(
    home: Path, jail: LocalJail, monkeypatch: pytest.MonkeyPatch, number: int, kind: Kind
) -> None:
    """Left out it would be gone for a client that mirrors, which then deletes its copy."""
    (home / "folder").mkdir()
    (home / "folder" / "file").touch()
    (home / "link").symlink_to("folder/file")
    listing = jail.list(ROOT)
    open_ = os.open

    def fails(path: bytes, *arguments: int, **keywords: int) -> int:
        if path == b"folder":
            raise OSError(number, "broken")
        return open_(path, *arguments, **keywords)

    monkeypatch.setattr(os, "open", fails)
    with pytest.raises(StorageError) as caught:
        listing.read(10)
    assert caught.value.kind is kind
    listing.close()


def test_links_that_lead_nowhere_are_left_out(home: Path, jail: LocalJail, outside: Path) -> None:
    """And out of the home, and round and round."""
    (home / "file").touch()
    for name, target in {
        "gone": "nothing",
        "out": str(outside),
        "round": "round",
        "below": "file/x",
        "fine": "file",
    }.items():
        (home / name).symlink_to(target)
    assert names(jail) == ["file", "fine"]
