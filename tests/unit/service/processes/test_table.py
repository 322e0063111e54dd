"""The shared table: sums over processes, full buckets, dead processes, and many at once."""

from __future__ import annotations

import multiprocessing
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsd.auth.slots import SLOTS_IN_BUCKET
from ftpsd.processes.shared.count_table import CountTable, TableFull

PROCESSES = 3
KEYS = ("alice", "bob", "carol", "dave")
STEPS = st.lists(
    st.tuples(st.sampled_from(["claim", "release", "die"]), st.integers(0, PROCESSES - 1), st.sampled_from(KEYS)),
    max_size=60,
)


def tables(keys: int = 100, processes: int = PROCESSES) -> list[CountTable]:
    """Return one table as each of the processes sees it."""
    fd = CountTable.create(processes, keys).fd
    return [CountTable(fd, column) for column in range(processes)]


def total(table: CountTable, key: str) -> int:
    with table.lock:
        return table.count(table.find(key))


@given(STEPS)
def test_the_sum_is_what_the_living_hold(steps: list[tuple[str, int, str]]) -> None:
    """Every process sees the sum of what the others hold, however processes claim, release and die, in any order."""
    views = tables()
    model: list[Counter[str]] = [Counter() for _ in views]
    for what, process, key in steps:
        if what == "die":
            views[(process + 1) % PROCESSES].clear(process)
            model[process].clear()
        elif what == "claim":
            views[process].claim(key)
            model[process][key] += 1
        elif model[process][key]:
            views[process].release(key)
            model[process][key] -= 1
        for view in views:
            assert [total(view, each) for each in KEYS] == [sum(column[each] for column in model) for each in KEYS]


def test_what_was_not_claimed_is_not_released() -> None:
    """A count never falls below zero, nor does one process take what another has."""
    one, other, _ = tables()
    one.claim("alice")
    other.release("alice")
    other.release("nobody")
    assert total(one, "alice") == 1


def test_a_full_bucket_takes_no_further_key() -> None:
    """It says so; what is in it can still be counted, and a key that has gone makes room."""
    one, *_ = tables(keys=1)
    for number in range(SLOTS_IN_BUCKET):
        one.claim(f"key {number}")
    with pytest.raises(TableFull):
        one.claim("one more")
    one.claim("key 0")
    one.release("key 1")
    one.claim("one more")
    assert total(one, "one more") == 1


def test_as_many_keys_as_it_was_made_for() -> None:
    """Random keys meet in one bucket, but never so many that one does not fit."""
    one, *_ = tables(keys=20_000, processes=1)
    for number in range(20_000):
        one.claim(f"192.0.2.{number}")


def test_a_value_begins_with_the_first_holder() -> None:
    """A holder that comes later finds it as it is, and after the last one it begins anew."""
    one, other, _ = tables()
    slot = one.claim("rate", 1.5)
    one.set_value(slot, 2.5)
    assert other.value(other.claim("rate", 9.0)) == 2.5
    one.release("rate")
    other.release("rate")
    assert one.value(one.claim("rate", 9.0)) == 9.0


def test_sessions_and_surplus() -> None:
    """The surplus is against those that accept; who does not accept is nobody to leave a connection to."""
    one, other, third = tables()
    for view in (one, other):
        view.serves(True)
    one.add_sessions(5)
    other.add_sessions(3)
    assert (one.sessions, one.surplus, other.surplus) == (8, 2, 0)
    third.serves(True)
    assert other.surplus == 3
    one.clear(2)
    assert other.surplus == 0
    assert [one.sessions_of(column) for column in range(3)] == [5, 3, 0]


def test_processes_at_once_pass_no_limit() -> None:
    """Four processes race for 100 of one key: they get exactly 100 between them."""
    fork = multiprocessing.get_context("fork")
    table = CountTable.create(4, 100)
    counts = fork.SimpleQueue()
    racers = [fork.Process(target=_race, args=(table.fd, column, counts)) for column in range(4)]
    for racer in racers:
        racer.start()
    got = [counts.get() for _ in racers]
    for racer in racers:
        racer.join(30)
    assert sum(got) == 100
    assert total(table, "alice") == 100


def _race(fd: int, column: int, counts: multiprocessing.SimpleQueue[int]) -> None:
    table = CountTable(fd, column)
    got = 0
    for _ in range(200):
        with table.lock:
            if table.count(table.find("alice")) < 100:
                table.claim("alice")
                got += 1
    counts.put(got)
