"""A storage does what it says of itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ftpsd.storage.base import Kind, Storage, StorageError, Terms, Traits
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.mounts import MountedStorage
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.path import VirtualPath
from tests.contracts.storages import HOUSES, House, at, get, interrupt, kind_of, names, put, write
from tests.fakes import MemoryStorage


def without_links(directory: Path) -> House:
    """Return a house over a directory in which no link is followed."""
    policy = UploadPolicy(durable=False)
    return House(lambda owner: LocalJail.open(directory, uploads=policy, owner=owner, symlinks="none"))


def without_partials(directory: Path) -> House:
    """Return a house over a directory in which no interrupted upload is kept."""
    policy = UploadPolicy(durable=False, keep_partial=0)
    return House(lambda owner: LocalJail.open(directory, uploads=policy, owner=owner))


ALL: dict[str, Callable[[Path], House]] = {
    **HOUSES,
    "without-links": without_links,
    "without-partials": without_partials,
}


@pytest.fixture(params=ALL)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """Return a session's storage over an empty tree."""
    return ALL[request.param](tmp_path).open("user")


def test_links(storage: Storage) -> None:
    """They are made, or NO_LINKS."""
    put(storage, "/a", b"1")
    if storage.traits(at("/a")).can_link:
        storage.make_link(at("/link"), at("/a"))
        assert get(storage, "/link") == b"1"
    else:
        assert kind_of(storage.make_link, at("/link"), at("/a")) is Kind.NO_LINKS


def test_resumes(storage: Storage) -> None:
    """An upload that was interrupted is gone on with, or begun anew."""
    interrupt(storage, "/a", b"123")
    if storage.traits(at("/a")).can_resume:
        put(storage, "/a", b"45", offset=3)
        assert get(storage, "/a") == b"12345"
    else:
        assert kind_of(storage.open_sink, at("/a"), Terms(offset=3)) is Kind.BAD_OFFSET


def test_atomic(storage: Storage) -> None:
    """Before an upload is published nobody sees it, or everybody does."""
    sink = storage.open_sink(at("/a"))
    write(sink, b"123")
    assert names(storage) == ([] if storage.traits(at("/a")).is_atomic else ["a"])
    sink.abort()


@pytest.mark.parametrize("path", ["/", "/missing", "/missing/a", "/.ftpsd-a"])
def test_they_can_always_be_asked_for(storage: Storage, path: str) -> None:
    """Of whatever path, and also after the end."""
    there = storage.traits(at("/"))
    assert storage.traits(at(path)) == there
    storage.close()
    assert storage.traits(at(path)) == there
    assert not there.waits_for


class Remote(MemoryStorage):
    """A tree behind a network."""

    def traits(self, path: VirtualPath) -> Traits:
        """Return that."""
        return Traits(frozenset({"network"}), can_link=False)

    def make_link(self, path: VirtualPath, target: VirtualPath) -> None:
        """Refuse."""
        raise StorageError(Kind.NO_LINKS, path)


def test_each_mount_has_its_own() -> None:
    """And the home's are those of what is above the mount."""
    storage = MountedStorage(MemoryStorage(), {at("/a/remote"): Remote()})
    paths = ("/", "/a", "/a/remote", "/a/remote/b", "/a/other")
    told = {path: bool(storage.traits(at(path)).waits_for) for path in paths}
    # A listing of /a looks at the root of the mount.
    assert told == {"/": False, "/a": True, "/a/remote": True, "/a/remote/b": True, "/a/other": False}
