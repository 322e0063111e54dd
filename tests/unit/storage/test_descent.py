"""Descents: everything is seen once, whatever the depth, and what cannot be seen is told."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ftpsd.storage.base import Kind
from ftpsd.storage.disk.descent import MOST_OPEN, Descent
from ftpsd.storage.quota.account import RECOUNT_AFTER_REFUSAL, QuotaAccount
from ftpsd.values.quota import Quota, Usage
from tests.contracts.storages import at, kind_of, put
from tests.unit.storage.accounts import opened
from tests.unit.storage.wells import Well

LONG = "x" * 200


def seen(home: Path) -> list[str]:
    """Return the names that a descent sees, sorted."""
    descent = Descent(os.fsencode(home))
    names = sorted(found.entry.name for found in descent)
    assert descent.unseen is None
    return names


@pytest.mark.parametrize("depth", [1, MOST_OPEN - 1, MOST_OPEN, MOST_OPEN + 1, 3 * MOST_OPEN])
def test_all_is_seen_once(home: Path, depth: int) -> None:
    """Files before and behind the directory that leads on, and directories beside it, at every level."""
    with Well(home, depth, "d") as well:
        for level in range(depth + 1):
            for name in (f"a{level:03}", f"z{level:03}"):
                well.put(level, name, b"1")
            directory = well.open(level)
            os.mkdir(f"beside{level:03}", dir_fd=directory)
            os.close(directory)
        expected = [f"{name}{level:03}" for name in ("a", "beside", "z") for level in range(depth + 1)]
        assert seen(home) == sorted([*expected, *["d"] * depth])


def test_descriptors_are_bounded(home: Path) -> None:
    """Two thousand levels, half a megabyte of path: none is too deep, and some descriptors are enough."""
    with Well(home, 2000, LONG):
        gc.collect()  # what other tests have left open
        before = most = len(os.listdir("/proc/self/fd"))
        count = 0
        for _ in Descent(os.fsencode(home)):
            count += 1
            most = max(most, len(os.listdir("/proc/self/fd")))
        assert count == 2000
        assert most <= before + 2 * (MOST_OPEN + 1)
        assert len(os.listdir("/proc/self/fd")) <= before


def test_links_are_not_followed(home: Path, outside: Path) -> None:
    """They are seen, and not what they lead to."""
    (home / "link").symlink_to(outside)
    (home / "ring").symlink_to(home)
    assert seen(home) == ["link", "ring"]


def test_one_that_is_left_early_closes_all(home: Path) -> None:
    """The open descriptors go with it."""
    before = len(os.listdir("/proc/self/fd"))
    with Well(home, 30, "d"):
        for number, _ in enumerate(Descent(os.fsencode(home))):
            if number == 25:
                break
        assert len(os.listdir("/proc/self/fd")) <= before


def test_a_directory_that_is_moved_away(home: Path, outside: Path) -> None:
    """The directories still to be seen above it are told as unseen; nothing outside is."""
    with Well(home, 2 * MOST_OPEN, "d") as well:
        for level in range(2 * MOST_OPEN):
            directory = well.open(level)
            os.mkdir("e", dir_fd=directory)
            os.close(directory)
        descent = Descent(os.fsencode(home))
        names = []
        for found in descent:
            names.append(found.entry.name)
            if names.count("d") == 2 * MOST_OPEN:
                path = "/".join(["d"] * 8)
                if (home / path).exists():
                    os.rename(home / path, outside / "moved")
        assert descent.unseen is not None
        assert "secret" not in names
        os.rename(outside / "moved", home / "/".join(["d"] * 7) / "moved")


@pytest.fixture
def reachable(home: Path) -> Path:
    """Return the home, in which every account finds its way."""
    for folder in home.parents:
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o011)
    return home


class TestCounting:
    """The count that quotas make of it."""

    def test_what_no_path_reaches_counts(self, home: Path) -> None:
        """A tree that was renamed into another, so that its paths are longer than 4096 bytes."""
        account = QuotaAccount(home)
        assert account.count()
        storage = opened(home, account, Quota(bytes=100, files=100))
        for top in ("a", "b"):
            path = f"/{top}"
            storage.make_directory(at(path))
            for _ in range(18):
                path += f"/{LONG}"
                storage.make_directory(at(path))
            put(storage, f"{path}/file", b"x" * 40)
        with Well(home, 0, "b"):
            storage.rename(at("/a"), at(f"{path}/a"))
            assert account.used == Usage(80, 2, 38)
            assert account.count()
            assert account.used == Usage(80, 2, 38)
            assert kind_of(put, storage, "/more", b"x" * 21) is Kind.QUOTA

    def test_what_cannot_be_read_is_not_counted(self, reachable: Path, unprivileged: Callable[[], None]) -> None:
        """Nothing that needs room is stored until it can be: who knows how much is in there."""
        now = 0.0
        unprivileged()
        (reachable / "d" / "e").mkdir(parents=True)
        (reachable / "d" / "e" / "file").write_bytes(b"x" * 10)
        account = QuotaAccount(reachable, lambda: now)
        storage = opened(reachable, account, Quota(bytes=15))
        (reachable / "d" / "e").chmod(0o300)
        assert not account.count()
        assert (account.is_counted, account.unseen, account.is_due) == (False, "d/e", False)
        for refused in (
            lambda: put(storage, "/a", b"1"),
            lambda: storage.make_directory(at("/f")),
            lambda: storage.free_bytes(at("/")),
            lambda: storage.standing(at("/")),
        ):
            assert kind_of(refused) is Kind.UNCOUNTED
        (reachable / "d" / "e").chmod(0o700)
        now = RECOUNT_AFTER_REFUSAL
        assert account.is_due
        assert account.count()
        assert (account.used, account.unseen) == (Usage(10, 1, 2), None)
        assert kind_of(put, storage, "/a", b"x" * 6) is Kind.QUOTA

    @pytest.mark.parametrize("mode", [0o000, 0o200, 0o300, 0o400, 0o600])
    def test_what_was_counted_holds(self, reachable: Path, unprivileged: Callable[[], None], mode: int) -> None:
        """A later count that cannot see all does not take what it misses for nothing."""
        unprivileged()
        (reachable / "d").mkdir()
        (reachable / "d" / "file").write_bytes(b"x" * 10)
        account = QuotaAccount(reachable)
        assert account.count()
        (reachable / "d").chmod(mode)
        assert not account.count()
        assert (account.is_counted, account.used) == (True, Usage(10, 1, 1))
        assert account.unseen is not None
        (reachable / "d").chmod(0o700)
        assert account.count()

    @pytest.mark.parametrize(("mode", "is_whole"), [(0o700, True), (0o711, False), (0o733, False), (0o744, True)])
    def test_what_nobody_reaches(
        self, reachable: Path, unprivileged: Callable[[], None], mode: int, is_whole: bool
    ) -> None:
        """lost+found counts for nothing; a directory of others that can be searched may hold what a client has put."""
        (reachable / "lost+found").mkdir()
        (reachable / "lost+found" / "file").write_bytes(b"x" * 10)
        (reachable / "lost+found").chmod(mode)
        unprivileged()
        account = QuotaAccount(reachable)
        assert account.count() is is_whole
        assert account.used == (Usage(0, 0, 1) if is_whole else Usage())
