"""The sweep: what is removed, and what is not."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from ftpsd.storage.quota.ledger import NO_LEDGER
from ftpsd.storage.uploads.sweep import UNFINDABLE_FOR, sweep_partials, sweep_trees
from tests.contracts.storages import at, get, interrupt, put, write
from tests.unit.storage.conftest import OpenJail
from tests.unit.storage.wells import Well

DAY = 86_400.0
RANDOM_NAME = ".ftpsd-" + "a" * 16 + "-r" + "b" * 32


def age(home: Path, seconds: float) -> None:
    """Make everything below *home* look *seconds* older."""
    for path in [home, *home.rglob("*")]:
        if not path.is_symlink():
            then = time.time() - seconds
            os.utime(path, (then, then))


def test_old_partials_go_everywhere(open_jail: OpenJail, home: Path) -> None:
    """A partial goes at any depth, and its number is told."""
    jail = open_jail()
    jail.make_directory(at("/d"))
    jail.make_directory(at("/d/e"))
    for path in ("/a", "/d/a", "/d/e/a"):
        interrupt(jail, path, b"123")
    age(home, 2 * DAY)
    assert (sweep_partials(home, DAY), sorted(str(p.relative_to(home)) for p in home.rglob("*"))) == (3, ["d", "d/e"])


def test_a_tree_that_cannot_be_opened_holds_up_no_other(open_jail: OpenJail, home: Path, tmp_path: Path) -> None:
    """One that is missing is passed by, since a login tells; of others the reason is returned."""
    interrupt(open_jail(), "/a", b"123")
    age(home, 2 * DAY)
    unusable, file = tmp_path / ("x" * 256), tmp_path / "file"
    file.touch()
    trees = [tmp_path / "missing", unusable, file, home]
    swept = sweep_trees(trees, DAY, is_stopped=lambda: False, ledger_of=lambda _: NO_LEDGER)
    assert swept == (1, [f"{unusable}: {os.strerror(errno.ENAMETOOLONG)}"])


def test_young_partials_stay(open_jail: OpenJail, home: Path) -> None:
    """A partial that can still be resumed stays resumable."""
    jail = open_jail()
    interrupt(jail, "/a", b"123")
    age(home, DAY - 60)
    assert (sweep_partials(home, DAY), jail.stat(at("/a")).size) == (0, 3)


def test_running_uploads_stay(open_jail: OpenJail, home: Path) -> None:
    """An upload that has stalled for a long time is not swept from under its session, whatever its name."""
    jail = open_jail()
    sinks = [jail.open_sink(at("/a")) for _ in range(2)]
    for sink in sinks:
        write(sink, b"123")
    age(home, 2 * DAY)
    assert sweep_partials(home, DAY) == 0
    for sink in sinks:
        sink.commit()
    assert get(jail, "/a") == b"123"


def test_random_partial_of_a_dead_process_goes(home: Path) -> None:
    """A name that nobody can resume goes with age."""
    (home / RANDOM_NAME).write_bytes(b"123")
    age(home, 2 * DAY)
    assert (sweep_partials(home, DAY), os.listdir(home)) == (1, [])


def test_published_files_stay(open_jail: OpenJail, home: Path) -> None:
    """The sweep removes nothing that a client can see, however old."""
    put(open_jail(), "/a", b"1")
    age(home, 1000 * DAY)
    assert (sweep_partials(home, DAY), os.listdir(home)) == (0, ["a"])


@pytest.mark.parametrize(
    "name", [".ftpsd-notes", ".ftpsd-", RANDOM_NAME + "x", RANDOM_NAME.upper(), "x" + RANDOM_NAME, RANDOM_NAME + "\n"]
)
def test_other_names_with_our_prefix_stay(home: Path, name: str) -> None:
    """Only what looks exactly like a partial is ours to remove."""
    (home / name).write_bytes(b"1")
    age(home, 2 * DAY)
    assert (sweep_partials(home, DAY), os.listdir(home)) == (0, [name])


def test_links_are_not_followed(home: Path, outside: Path) -> None:
    """Neither a link to a directory nor one with the name of a partial leads out."""
    (outside / RANDOM_NAME).write_bytes(b"1")
    (home / "d").symlink_to(outside)
    (home / RANDOM_NAME).symlink_to(outside / "secret")
    age(outside, 2 * DAY)
    assert sweep_partials(home, DAY) == 0
    assert sorted(os.listdir(outside)) == [RANDOM_NAME, "secret"]


def test_special_files_and_directories_stay(home: Path) -> None:
    """An entry that has the name of a partial and is no file stays, and holds nobody up."""
    (home / RANDOM_NAME).mkdir()
    os.mkfifo(home / RANDOM_NAME.replace("b", "c"))
    age(home, 2 * DAY)
    assert (sweep_partials(home, DAY), len(os.listdir(home))) == (0, 2)


def test_second_name_of_a_published_file_goes(home: Path) -> None:
    """The name that a crash between link and unlink left is removed; the file keeps its own name."""
    (home / "a").write_bytes(b"1")
    (home / RANDOM_NAME).hardlink_to(home / "a")
    age(home, 2 * DAY)
    assert (sweep_partials(home, DAY), (home / "a").read_bytes()) == (1, b"1")


@pytest.mark.parametrize(("seconds", "removed"), [(UNFINDABLE_FOR - 30, 0), (UNFINDABLE_FOR + 1, 1)])
def test_what_nobody_finds_goes_soon(home: Path, seconds: float, removed: int) -> None:
    """The copy that an append of a dead process has left: nobody goes on with it, and its room is wanted."""
    (home / RANDOM_NAME).write_bytes(b"1")
    age(home, seconds)
    assert sweep_partials(home, DAY) == removed


def test_no_depth_is_too_deep(home: Path) -> None:
    """Also where no path leads to any more: clients rename trees into others."""
    with Well(home, 300, "x" * 200) as well:
        for depth in (0, 1, 70, 300):
            well.put(depth, RANDOM_NAME, b"1")
        assert sweep_partials(home, 0) == 4


def test_it_can_be_stopped(home: Path) -> None:
    """A sweep ends between two directories when the server does."""
    (home / RANDOM_NAME).write_bytes(b"1")
    age(home, 2 * DAY)
    assert sweep_partials(home, DAY, is_stopped=lambda: True) == 0


def test_missing_home(tmp_path: Path) -> None:
    """A user without a home has nothing to sweep, which is an error of the caller's."""
    with pytest.raises(FileNotFoundError):
        sweep_partials(tmp_path / "no", DAY)
