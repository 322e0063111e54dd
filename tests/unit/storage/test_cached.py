"""Small files read without waiting: only what is certain, and never another file than the ordinary way would give."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest

from ftpsd.storage.guarded import GuardedStorage
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.mounts import MountedStorage
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.path import VirtualPath
from ftpsd.values.permission import Permission
from ftpsd.values.rule import Rule

LIMIT = 4096


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a small file, and one outside of it."""
    (tmp_path / "outside").write_bytes(b"secret")
    home = tmp_path / "home"
    (home / "below").mkdir(parents=True)
    (home / "below" / "file").write_bytes(b"content")
    return home


def jail(home: Path, *, digests: bool = True) -> LocalJail:
    """Open the jail."""
    return LocalJail.open(home, uploads=UploadPolicy(digests=digests), owner="alice")


def path(text: str) -> VirtualPath:
    """Return *text* as a path."""
    return VirtualPath.parse(text)


def test_a_cached_file_is_read(home: Path) -> None:
    """A file that was just written is in memory: content, size and digest are those of the file."""
    found = jail(home).read_cached(path("/below/file"), LIMIT)
    assert found is not None
    assert (found.content, found.size, found.sha256) == (b"content", 7, hashlib.sha256(b"content").hexdigest())


def test_it_is_a_source(home: Path) -> None:
    """It can be read piece by piece like any other."""
    found = jail(home).read_cached(path("/below/file"), LIMIT)
    assert found is not None
    buffer = memoryview(bytearray(4))
    pieces = [bytes(buffer[: found.read_into(buffer)]) for _ in range(3)]
    assert (b"".join(pieces), found.fileno()) == (b"content", None)


def test_no_digest_is_computed_unless_wanted(home: Path) -> None:
    """`audit.sha256: false`."""
    found = jail(home, digests=False).read_cached(path("/below/file"), LIMIT)
    assert found is not None
    assert found.sha256 is None


@pytest.mark.parametrize("size", [0, LIMIT])
def test_the_bounds(home: Path, size: int) -> None:
    """Empty, and as large as may be."""
    (home / "edge").write_bytes(b"x" * size)
    found = jail(home).read_cached(path("/edge"), LIMIT)
    assert found is not None
    assert found.size == size


def test_a_larger_file_is_left(home: Path) -> None:
    """One byte above the limit."""
    (home / "large").write_bytes(b"x" * (LIMIT + 1))
    assert jail(home).read_cached(path("/large"), LIMIT) is None


@pytest.mark.parametrize("name", ["/nothing", "/below", "/", "/below/file/deeper", "/fifo", "/socket"])
def test_what_is_no_plain_file_is_left(home: Path, name: str) -> None:
    """The ordinary way says what is wrong; a FIFO is not waited for."""
    os.mkfifo(home / "fifo")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.fsencode(home / "socket"))
        assert jail(home).read_cached(path(name), LIMIT) is None


def test_links_are_left(home: Path) -> None:
    """Inside or out, last or on the way: the walk by hand decides about links."""
    (home / "out").symlink_to(home.parent / "outside")
    (home / "up").symlink_to("..")
    (home / "inside").symlink_to("below/file")
    (home / "folder").symlink_to("below")
    storage = jail(home)
    names = ("/out", "/up/outside", "/inside", "/folder/file")
    assert [storage.read_cached(path(name), LIMIT) for name in names] == [None] * 4


def test_names_of_our_own_are_left(home: Path) -> None:
    """A partial is reachable by nobody."""
    (home / ".ftpsd-partial-x").write_bytes(b"unfinished")
    assert jail(home).read_cached(path("/.ftpsd-partial-x"), LIMIT) is None


def test_a_file_that_may_not_be_read_is_left(home: Path) -> None:
    """Rules hold here as everywhere."""
    rules = [Rule("/below/**", frozenset({Permission.LIST}))]
    assert GuardedStorage(jail(home), rules).read_cached(path("/below/file"), LIMIT) is None


def test_a_closed_jail_reads_nothing(home: Path) -> None:
    """A number that was its root may be another's by now."""
    storage = jail(home)
    storage.close()
    assert storage.read_cached(path("/below/file"), LIMIT) is None


def test_a_mounted_file_keeps_its_path(home: Path, tmp_path: Path) -> None:
    """The path is the user's, the mount's own tree decides."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "file").write_bytes(b"theirs")
    mounts = {path("/mnt/shared"): GuardedStorage(jail(tmp_path / "shared"), None)}
    storage = MountedStorage(GuardedStorage(jail(home), None), mounts)
    found = storage.read_cached(path("/mnt/shared/file"), LIMIT)
    assert found is not None
    assert (str(found.path), found.content) == ("/mnt/shared/file", b"theirs")
    assert storage.read_cached(path("/mnt"), LIMIT) is None
