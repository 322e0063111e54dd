"""Roots opened without waiting: only directories that were opened before, and never another one in their place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ftpsd.storage.disk.walk import Root


@pytest.fixture
def home(tmp_path: Path) -> bytes:
    """A home."""
    (tmp_path / "home").mkdir()
    return os.fsencode(tmp_path / "home")


def test_the_first_is_left_to_a_worker(home: bytes) -> None:
    """Nobody knows yet what kind of file system it is on."""
    assert Root.cached(home, "inside") is None


def test_the_second_is_opened(home: bytes) -> None:
    """Also when no session holds it any more."""
    path = Root.shared(home, "inside").path
    root = Root.cached(home, "inside")
    assert root is not None
    assert (root.path, root.symlinks) == (path, "inside")
    assert os.path.samestat(os.fstat(root.fd), os.stat(home))


def test_sessions_share_it(home: bytes) -> None:
    """One descriptor for all sessions of a home, whichever way they were opened."""
    first = Root.shared(home, "inside")
    assert Root.cached(home, "inside") is first


def test_the_policy_is_kept_apart(home: bytes) -> None:
    """A root that follows links serves nobody who may not."""
    first = Root.shared(home, "inside")
    other = Root.cached(home, "none")
    assert other is not None
    assert (other is first, other.symlinks) == (False, "none")


def test_a_replaced_home_is_opened_anew(home: bytes) -> None:
    """The home that was renamed away belongs to the sessions that have it."""
    first = Root.shared(home, "inside")
    os.rename(home, home + b".old")
    os.mkdir(home)
    second = Root.cached(home, "inside")
    assert second is not None
    assert second is not first
    assert os.path.samestat(os.fstat(second.fd), os.stat(home))


def test_a_link_is_followed_to_its_real_path(home: bytes) -> None:
    """The operator may say the home by a link; absolute links in it count from its real path."""
    link = home + b".link"
    os.symlink(home, link)
    Root.shared(link, "inside")
    root = Root.cached(link, "inside")
    assert root is not None
    assert root.path == os.path.realpath(home)


@pytest.mark.parametrize("now", ["gone", "file"])
def test_what_is_no_directory_is_left(home: bytes, now: str) -> None:
    """The worker says what is wrong."""
    Root.shared(home, "inside")
    os.rmdir(home)
    if now == "file":
        Path(os.fsdecode(home)).touch()
    assert Root.cached(home, "inside") is None


def test_no_descriptor_is_left(home: bytes) -> None:
    """Opening and dropping many times costs nothing in the end."""
    Root.shared(home, "inside")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(100):
        assert Root.cached(home, "inside") is not None
    assert len(os.listdir("/proc/self/fd")) == before
