"""Quotas over several processes: exact whoever changes what, and whoever dies."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from ftpsd.durable.byte_lock import nameless_file
from ftpsd.processes.shared.count_table import TableFull
from ftpsd.processes.shared.homes import HomeTable, SharedAccount, SharedAccounts
from ftpsd.storage.quota.account import RECOUNT_AFTER
from ftpsd.storage.quota.count import Event
from ftpsd.storage.quota.ledger import NO_LEDGER
from ftpsd.values.quota import Quota, Usage

PROCESSES = 2
QUOTA = Quota(bytes=100, files=3)


def tables(homes: int = 10) -> list[HomeTable]:
    """Return one table as each of two processes sees it."""
    locks = nameless_file(8)
    fd = HomeTable.create(homes, locks, PROCESSES).fd
    return [HomeTable(fd, locks, PROCESSES, column) for column in range(PROCESSES)]


def accounts(home: Path, clock: Callable[[], float] = time.monotonic) -> list[SharedAccount]:
    """Return the account of *home* as each of two processes sees it."""
    return [SharedAccount(home, table, clock) for table in tables()]


def stored(size: int) -> list[Event]:
    return [Event(1, Usage(size, 1), size)]


def test_what_one_was_granted_another_is_not(tmp_path: Path) -> None:
    """Set aside or stored, it is gone for both."""
    one, other = accounts(tmp_path)
    epoch = one.begin()
    assert one.reserve_bytes(80, QUOTA) == 80
    assert other.reserve_bytes(80, QUOTA) == 20
    one.end(epoch, Usage(bytes=80), stored(60))
    assert (one.used, other.used) == (Usage(60, 1), Usage(60, 1))
    assert other.reserve_bytes(80, QUOTA) == 20
    assert [account.free_bytes(QUOTA) for account in (one, other)] == [0, 0]


def test_files_and_directories_too(tmp_path: Path) -> None:
    """Each up to the number of files."""
    one, other = accounts(tmp_path)
    assert one.reserve(Usage(files=2), QUOTA)
    assert other.reserve(Usage(files=1), QUOTA)
    assert not one.reserve(Usage(files=1), QUOTA)
    assert one.reserve(Usage(files=1), QUOTA, beyond=1)
    assert other.reserve(Usage(directories=3), QUOTA)
    assert not one.reserve(Usage(directories=1), QUOTA)


@given(
    st.lists(st.tuples(st.sampled_from(["ask", "store", "die"]), st.integers(0, 1), st.integers(1, 60)), max_size=50)
)
def test_never_more_than_the_quota(steps: list[tuple[str, int, int]]) -> None:
    """The sum never exceeds the quota, nor is room lost, whatever two processes ask for, store and die over."""
    views = tables()
    both = [SharedAccount(Path("/nowhere"), table) for table in views]
    used, reserved = 0, [0, 0]
    for what, process, size in steps:
        if what == "ask":
            granted = both[process].reserve_bytes(size, QUOTA)
            assert granted == max(0, min(size, 100 - used - sum(reserved)))
            reserved[process] += granted
        elif what == "store":
            epoch = both[process].begin()
            both[process].end(epoch, Usage(bytes=reserved[process]), [Event(1, Usage(reserved[process]), None)])
            used, reserved[process] = used + reserved[process], 0
        else:
            views[1 - process].clear(process)
            reserved[process] = 0
        assert used + sum(reserved) <= 100
        assert {account.used.bytes for account in both} == {used}


def test_a_count_is_for_both(tmp_path: Path) -> None:
    """The process that did not count knows the result all the same, and need not count."""
    (tmp_path / "file").write_bytes(b"x" * 30)
    (tmp_path / "folder").mkdir()
    clock = Clock()
    one, other = accounts(tmp_path, clock.seconds)
    clock.advance(1)
    assert (one.is_counted, other.is_counted, one.is_due, other.is_due) == (False, False, True, True)
    assert one.count()
    assert (other.used, other.is_counted, other.is_due) == (Usage(30, 1, 1), True, False)
    clock.advance(RECOUNT_AFTER)
    assert other.is_due


class Walk:
    """Stands where a count looks whether it must stop, and does something in the middle of its first walks."""

    def __init__(self, times: int, act: Callable[[], None]) -> None:
        self.times = times
        self._act = act

    def __call__(self) -> bool:
        if self.times:
            self.times -= 1
            self._act()
        return False


def test_a_count_is_due_at_once_when_others_had_the_directory(tmp_path: Path) -> None:
    """A process from before an upgrade has ended; what was counted holds until then."""
    one, other = accounts(tmp_path)
    one.count_soon()
    assert not one.is_counted
    assert one.count()
    (tmp_path / "file").write_bytes(b"12345")
    one.count_soon()
    assert (one.is_counted, one.is_due, other.is_due, one.used) == (True, True, True, Usage())
    assert other.count()
    assert (one.used, one.is_due, other.is_due) == (Usage(5, 1), False, False)


def test_a_count_that_a_change_overlaps_is_thrown_away(tmp_path: Path) -> None:
    """Another process stores a file while it walks: the next walk finds it, and nothing is counted twice."""
    one, other = accounts(tmp_path, Clock().seconds)

    def store() -> None:
        epoch = other.begin()
        path = tmp_path / f"file{other.used.files}"
        path.write_bytes(b"x" * 10)
        other.end(epoch, Usage(), [Event(path.stat().st_ino, Usage(10, 1), 10)])

    assert one.count(is_stopped=Walk(3, store))
    assert one.used == other.used == Usage(30, 3)


def test_a_count_waits_for_changes_under_way(tmp_path: Path) -> None:
    """One that does not end in time ends the count instead, and the old numbers stay."""
    clock = Clock()
    one, other = accounts(tmp_path, clock.seconds)
    epoch = other.begin()

    def time_goes_by() -> None:
        clock.advance(10)

    assert not one.count(patience=15, is_stopped=Walk(9, time_goes_by))
    assert not one.is_counted
    other.end(epoch, Usage(), [])
    clock.advance(1)
    assert one.count()


def test_who_dies_in_a_change_makes_a_count_due(tmp_path: Path) -> None:
    """Bytes it wrote and did not tell are found; room it had set aside is free; a count it was in is no obstacle."""
    clock = Clock()
    views = tables()
    one, other = (SharedAccount(tmp_path, table, clock.seconds) for table in views)
    clock.advance(1)
    assert one.count()
    one.begin()
    one.reserve_bytes(50, QUOTA)
    (tmp_path / "partial").write_bytes(b"x" * 20)
    assert not other.is_due
    views[1].clear(0)
    assert (other.is_due, other.is_counted, other.free_bytes(QUOTA)) == (True, True, 100)
    assert other.count()
    assert (other.used, other.is_due) == (Usage(20, 1), False)


def test_one_counts_at_a_time(tmp_path: Path) -> None:
    """The other one does not begin a second walk."""
    one, other = accounts(tmp_path, Clock().seconds)
    answers: list[bool] = []
    assert one.count(is_stopped=Walk(1, lambda: answers.append(other.count())))
    assert answers == [False]


def test_homes_do_not_meet_and_do_not_move() -> None:
    """Every home has words of its own, the same in every process; without room it is said."""
    one, other = tables(homes=50)
    homes = [Path(f"/srv/home{number}") for number in range(50)]
    places = [one.place_of(home) for home in homes]
    assert len(set(places)) == 50
    assert [other.place_of(home) for home in reversed(homes)] == places[::-1]
    with pytest.raises(TableFull):
        other.place_of(Path("/srv/one-more"))


def test_a_quota_in_one_process_is_one_in_the_other(tmp_path: Path) -> None:
    """Nobody is left out of an account: who has no quota tells the account that another process has made."""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    one, other = (SharedAccounts(table) for table in tables())
    assert (one.is_empty, other.is_empty) == (True, True)
    assert other.ledger(home) is NO_LEDGER
    account = one.of(home)
    assert (one.is_empty, other.is_empty) == (False, False)
    assert other.ledger(elsewhere) is NO_LEDGER
    with other.ledger(home).change() as change:
        change.need_file()
        (home / "file").write_bytes(b"12345")
        change.came((home / "file").stat())
    assert account.used == Usage(5, 1)


def test_no_home_is_taken_for_one_that_is_there() -> None:
    """Where the table is full too."""
    one, other = tables(3)
    homes = [Path(f"/srv/{number}") for number in range(3)]
    assert not any(map(other.has, homes))
    for home in homes:
        one.place_of(home)
        one.place_of(home)
    assert all(map(other.has, homes))
    assert not other.has(Path("/srv/one-more"))
