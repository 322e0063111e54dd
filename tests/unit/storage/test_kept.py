"""The attributes that a new version of a file keeps of the one it replaces."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ftpsd.storage.base import Kind, Storage, Terms
from ftpsd.storage.disk.kept import ACL, MOST_BYTES
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.pieces.copy import Copy
from ftpsd.storage.pieces.join import Joining
from ftpsd.storage.pieces.range import open_ranged
from ftpsd.storage.uploads.policy import UploadPolicy
from tests.contracts.storages import at, get, kind_of, put, write
from tests.unit.storage.conftest import OpenJail

NOBODY, OTHER_GROUP = 65534, 12345
# user::rw-, user:65534:rwx, group::r--, mask::rwx, other::---: a mode of 0670.
ENTRIES = [(0x01, 6, 2**32 - 1), (0x02, 7, NOBODY), (0x04, 4, 2**32 - 1), (0x10, 7, 2**32 - 1), (0x20, 0, 2**32 - 1)]
GIVEN = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in ENTRIES)

Told = list[tuple[str, str]]


def store(storage: Storage) -> None:
    """STOR."""
    put(storage, "/file", b"new")


def append(storage: Storage) -> None:
    """APPE."""
    put(storage, "/file", b"new", append=True)


def resume(storage: Storage) -> None:
    """REST and STOR."""
    put(storage, "/file", b"new", offset=1)


def into_a_range(storage: Storage) -> None:
    """RANG and STOR."""
    sink = open_ranged(storage, at("/file"), 0, 1)
    write(sink, b"n")
    sink.commit()


def copy(storage: Storage) -> None:
    """SITE CPTO."""
    put(storage, "/other", b"new")
    work = Copy(storage, at("/other"), at("/file"))
    while not work.step():
        pass
    work.commit()
    work.close()


def combine(storage: Storage) -> None:
    """COMB."""
    put(storage, "/part", b"new")
    work = Joining(storage, at("/file"), [at("/part")])
    while not work.step():
        pass
    work.commit()
    work.close()


WAYS = [store, append, resume, into_a_range, copy, combine]


@pytest.fixture
def told() -> Told:
    """The reports that the operator was told."""
    return []


@pytest.fixture
def jail(open_jail: OpenJail, told: Told) -> LocalJail:
    """A session's jail that tells what is not kept."""
    policy = UploadPolicy(durable=False, tell=lambda what, path: told.append((what, str(path))))
    return open_jail(policy=policy)


@pytest.fixture
def old(jail: LocalJail, home: Path) -> Path:
    """A file with attributes of somebody else, on a file system that has such."""
    put(jail, "/file", b"old")
    try:
        os.setxattr(home / "file", "user.owner", b"finance")
    except OSError:
        pytest.skip("no extended attributes here")
    return home / "file"


@pytest.fixture
def with_acl(old: Path) -> Path:
    """A file with an ACL."""
    try:
        os.setxattr(old, ACL, GIVEN)
    except OSError:
        pytest.skip("no ACLs here")
    return old


def attributes(file: Path) -> dict[str, bytes]:
    """Return those that are not ours."""
    return {name: os.getxattr(file, name) for name in os.listxattr(file) if not name.startswith("user.ftpsd.")}


@pytest.mark.parametrize("way", WAYS)
def test_attributes_stay(jail: LocalJail, old: Path, told: Told, way: Callable[[Storage], None]) -> None:
    """They stay whatever replaces the file; the digest is the new one's."""
    os.setxattr(old, "user.empty", b"")
    way(jail)
    assert attributes(old) == {"user.owner": b"finance", "user.empty": b""}
    with suppress(OSError):
        assert not os.getxattr(old, "user.ftpsd.origin")
    assert old.read_bytes() != b"old"
    assert told == []


@pytest.mark.parametrize("way", WAYS)
def test_an_acl_stays(jail: LocalJail, with_acl: Path, way: Callable[[Storage], None]) -> None:
    """With the mode that is its mask."""
    way(jail)
    assert attributes(with_acl)[ACL] == GIVEN
    assert with_acl.stat().st_mode & 0o777 == 0o670


@pytest.mark.parametrize("way", WAYS)
def test_the_group_stays(jail: LocalJail, old: Path, told: Told, way: Callable[[Storage], None]) -> None:
    """Of those that the process may give; root may give any, and any owner."""
    if os.geteuid() != 0:
        pytest.skip("root alone is in every group")
    os.chown(old, NOBODY, OTHER_GROUP)
    old.chmod(0o640)
    way(jail)
    status = old.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (NOBODY, OTHER_GROUP, 0o640)
    assert told == []


def test_no_acl_stays_none(jail: LocalJail, old: Path, home: Path) -> None:
    """The ACL that the directory hands down to new files is not given to a new version of one that has none."""
    try:
        os.setxattr(home, "system.posix_acl_default", GIVEN)
    except OSError:
        pytest.skip("no ACLs here")
    old.chmod(0o660)
    store(jail)
    assert ACL not in os.listxattr(old)
    assert old.stat().st_mode & 0o777 == 0o660


def test_what_is_not_kept_is_told(
    jail: LocalJail, old: Path, home: Path, told: Told, unprivileged: Callable[[], None]
) -> None:
    """A group that the process is not in, and a foreign owner."""
    if os.geteuid() != 0:
        pytest.skip("root alone can give the file away first")
    os.chown(old, 0, OTHER_GROUP)
    old.chmod(0o666)
    unprivileged()
    store(jail)
    assert get(jail, "/file") == b"new"
    assert told == [("group", "/file"), ("owner", "/file")]


def test_an_acl_that_cannot_be_kept_leaves_no_more(
    jail: LocalJail, with_acl: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mask in the mode was for users of the ACL; without it the group has what its own entry gave."""
    setxattr = os.setxattr

    def fails(file: int, name: str, *value: Any) -> None:
        if name == ACL:
            raise PermissionError
        setxattr(file, name, *value)

    monkeypatch.setattr(os, "setxattr", fails)
    store(jail)
    assert with_acl.stat().st_mode & 0o777 == 0o640
    assert told == [("ACL", "/file")]


def test_too_much_is_not_kept(jail: LocalJail, old: Path, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """File systems have room for gigabytes of attributes; a new version takes a mebibyte."""
    monkeypatch.setattr(os, "listxattr", lambda file: [f"user.{number}" for number in range(100)])
    monkeypatch.setattr(os, "getxattr", lambda file, name: b"x" * (MOST_BYTES // 50))
    monkeypatch.setattr(os, "setxattr", lambda file, name, *value: None)
    store(jail)
    assert told == [("attributes", "/file")]


def test_an_upload_that_is_not_published_gives_all_back(jail: LocalJail, with_acl: Path, home: Path) -> None:
    """The partial that its owner goes on with later is a new file of nobody else."""
    if os.geteuid() == 0:
        os.chown(with_acl, NOBODY, OTHER_GROUP)
    with_acl.rename(home / "aside")
    sink = jail.open_sink(at("/file"), Terms(may_replace=False))
    write(sink, b"new")
    (home / "aside").rename(with_acl)
    assert kind_of(sink.commit) is Kind.EXISTS
    (partial,) = [path for path in home.iterdir() if path.name.startswith(".ftpsd-")]
    assert attributes(partial) == {}
    status = partial.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (os.geteuid(), os.getegid(), 0o600)
    assert attributes(with_acl) == {"user.owner": b"finance", ACL: GIVEN}
