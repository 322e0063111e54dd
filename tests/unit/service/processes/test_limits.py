"""Limits over a shared table: exact over all processes, and closed where nothing can be counted."""

from __future__ import annotations

import gc

import pytest
from twisted.internet.task import Clock

from ftpsd.auth.slots import SLOTS_IN_BUCKET
from ftpsd.data.carry.pace import NO_LIMIT
from ftpsd.processes.shared.count_table import CountTable
from ftpsd.processes.shared.counts import SharedCounts, SharedRates
from ftpsd.values.direction import Direction

RATE = 1_000_000


def two_tables(keys: int = 100) -> tuple[CountTable, CountTable]:
    fd = CountTable.create(2, keys).fd
    return CountTable(fd, 0), CountTable(fd, 1)


@pytest.fixture
def both() -> tuple[SharedCounts, SharedCounts]:
    """The counts of two processes."""
    one, other = two_tables()
    return SharedCounts(one), SharedCounts(other)


def test_connections_are_those_of_both(both: tuple[SharedCounts, SharedCounts]) -> None:
    """The third of two is refused wherever it arrives, and welcome when one has gone anywhere."""
    one, other = both
    assert one.admit("192.0.2.1", 2, 9) is None
    assert other.admit("192.0.2.2", 2, 9) is None
    assert [each.admit("192.0.2.3", 2, 9) for each in both] == ["too-many-connections"] * 2
    one.closed("192.0.2.1")
    assert other.admit("192.0.2.3", 2, 9) is None


def test_connections_of_an_address_are_those_of_both(both: tuple[SharedCounts, SharedCounts]) -> None:
    """Another address is not concerned."""
    one, other = both
    assert one.admit("192.0.2.1", 9, 1) is None
    assert other.admit("192.0.2.1", 9, 1) == "too-many-from-address"
    assert other.admit("192.0.2.2", 9, 1) is None


def test_sessions_of_a_user_are_those_of_both(both: tuple[SharedCounts, SharedCounts]) -> None:
    """An address that is called like a user is something else."""
    one, other = both
    one.admit("alice", 9, 9)
    assert one.log_in("alice", 1)
    assert not other.log_in("alice", 1)
    one.log_out("alice")
    assert other.log_in("alice", 1)


def test_a_quarter_is_kept_over_both(both: tuple[SharedCounts, SharedCounts]) -> None:
    """Of a hundred, 75 without a login in both; a login in one makes room in the other."""
    one, other = both
    admitted = [both[number % 2].admit(f"192.0.2.{number}", 100, 9) for number in range(80)]
    assert admitted == [None] * 75 + ["too-many-without-login"] * 5
    assert one.log_in("alice", None)
    assert other.admit("198.51.100.1", 100, 9) is None
    one.log_out("alice")
    assert other.admit("198.51.100.2", 100, 9) == "too-many-without-login"


def test_a_dead_process_keeps_no_login() -> None:
    """Its logins go with its sessions, or the others would think that they have more room."""
    one, other = two_tables()
    counts = SharedCounts(one)
    counts.admit("192.0.2.1", 9, 9)
    counts.log_in("alice", None)
    assert other.logged_in == 1
    other.clear(0)
    assert (other.logged_in, other.sessions) == (0, 0)


def test_one_network_is_one_client_in_both(both: tuple[SharedCounts, SharedCounts]) -> None:
    """All addresses of a /64 share what one address may have."""
    one, other = both
    assert one.admit("2001:db8::1", 9, 1) is None
    assert other.admit("2001:db8::2", 9, 1) == "too-many-from-address"
    one.closed("2001:db8::1")
    assert other.admit("2001:db8::2", 9, 1) is None


def test_what_it_tells_is_its_own(both: tuple[SharedCounts, SharedCounts]) -> None:
    """Each process has its own metrics; they are added up elsewhere."""
    one, other = both
    one.admit("192.0.2.1", 9, 9)
    one.log_in("alice", None)
    assert (one.total, one.logged_in, other.total, other.logged_in) == (1, 1, 0, 0)


def test_a_full_table_refuses() -> None:
    """A session that cannot be counted is not let in, and not half counted."""
    one, _ = two_tables(keys=1)
    counts = SharedCounts(one)
    for number in range(SLOTS_IN_BUCKET):
        assert counts.admit(f"192.0.2.{number}", 1000, 1000) is None
    assert counts.admit("198.51.100.1", 1000, 1000) == "too-many-connections"
    assert not counts.log_in("alice", None)
    assert (counts.total, one.sessions, counts.logged_in) == (SLOTS_IN_BUCKET, SLOTS_IN_BUCKET, 0)


def test_a_user_has_one_rate_in_both() -> None:
    """A session there waits for what a session here spends."""
    clock = Clock()
    one, other = (SharedRates(clock, table) for table in two_tables())
    here, there = (rates.pace("alice", Direction.DOWNLOAD, RATE, None) for rates in (one, other))
    assert here.spend(RATE) == there.pause() == pytest.approx(1.0)
    assert there.spend(RATE) == here.pause() == pytest.approx(2.0)
    clock.advance(2)
    assert (here.pause(), there.pause()) == (0, 0)


def test_the_other_direction_and_other_users_have_their_own() -> None:
    """Nobody waits for somebody else."""
    clock = Clock()
    one, other = (SharedRates(clock, table) for table in two_tables())
    one.pace("alice", Direction.DOWNLOAD, RATE, None).spend(RATE)
    assert other.pace("alice", Direction.UPLOAD, RATE, None).pause() == 0
    assert other.pace("bob", Direction.DOWNLOAD, RATE, None).pause() == 0
    assert other.pace("alice", Direction.DOWNLOAD, None, None) is NO_LIMIT


def test_a_bucket_goes_with_the_last_session() -> None:
    """Its room in the table is free again."""
    table, _ = two_tables()
    rates = SharedRates(Clock(), table)
    pace = rates.pace("alice", Direction.DOWNLOAD, RATE, None)
    key = f"rate\0alice\0download\0{RATE}"
    with table.lock:
        assert table.count(table.find(key)) == 1
    del pace
    gc.collect()
    with table.lock:
        assert table.count(table.find(key)) == 0


def test_without_room_a_process_grants_its_part() -> None:
    """Two processes, half of the rate each."""
    table, _ = two_tables(keys=1)
    for number in range(SLOTS_IN_BUCKET):
        table.claim(f"key {number}")
    clock = Clock()
    pace = SharedRates(clock, table).pace("alice", Direction.DOWNLOAD, RATE, None)
    assert pace.spend(RATE) == pytest.approx(2.0)


def test_refused_connections_that_linger_are_those_of_both(both: tuple[SharedCounts, SharedCounts]) -> None:
    """Four of an address and 64 in all, wherever they arrive; what a process had goes with it."""
    one, other = both
    assert [each.may_linger("192.0.2.1") for each in (one, other, one, other, one)] == [True] * 4 + [False]
    one.lingered("192.0.2.1")
    assert other.may_linger("192.0.2.1")
    assert [one.may_linger(f"198.51.100.{number}") for number in range(61)] == [True] * 60 + [False]
    assert not other.may_linger("203.0.113.1")
