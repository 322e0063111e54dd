"""Deadlines: what holds until a moment, for one process and for one of several."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from ftpsd.auth.deadlines import Deadlines, MemoryDeadlines
from ftpsd.auth.slots import SLOTS_IN_BUCKET
from ftpsd.durable.lasting import LastingDeadlines
from ftpsd.processes.shared.deadline_table import DeadlineTable
from tests.unit.durable.running import driven

# The room that either kind has: one bucket.
LIMIT = SLOTS_IN_BUCKET


@pytest.fixture
def clock() -> Clock:
    """A clock that shows 1,000 s."""
    clock = Clock()
    clock.advance(1000)
    return clock


@pytest.fixture(params=["memory", "table", "lasting", "lasting-table", "lasting-broken"])
def deadlines(request: pytest.FixtureRequest, clock: Clock, tmp_path: Path) -> Iterator[Deadlines]:
    """Deadlines of every kind, with room for LIMIT; lasting ones behave so whatever becomes of their file."""
    kind = request.param
    inner = DeadlineTable.create(LIMIT, clock) if kind.endswith("table") else MemoryDeadlines(clock, LIMIT)
    if not kind.startswith("lasting"):
        yield inner
        return
    path = tmp_path / "nowhere" / "state.db" if kind == "lasting-broken" else tmp_path / "state.db"
    with driven(path) as it:
        yield LastingDeadlines(inner, it.store, "test", clock, LIMIT)


def known(deadlines: Deadlines, count: int) -> list[int]:
    """Return which of the keys 0, 1, 2 ... have a deadline."""
    return [number for number in range(count) if deadlines.until(str(number))]


def test_a_key_without_a_deadline(deadlines: Deadlines) -> None:
    """Nothing was ever set."""
    assert deadlines.until("192.0.2.1") == 0


def test_a_deadline_holds_until_it_comes(deadlines: Deadlines, clock: Clock) -> None:
    """Of one key, and not of another."""
    deadlines.set("192.0.2.1", 1060.0)
    clock.advance(59.5)
    assert (deadlines.until("192.0.2.1"), deadlines.until("192.0.2.2")) == (1060.0, 0)
    clock.advance(0.5)
    assert deadlines.until("192.0.2.1") == 0


@pytest.mark.parametrize("until", [1030.0, 1090.0])
def test_the_last_one_counts(deadlines: Deadlines, clock: Clock, until: float) -> None:
    """Sooner or later than the one before."""
    deadlines.set("192.0.2.1", 1060.0)
    deadlines.set("192.0.2.1", until)
    assert deadlines.until("192.0.2.1") == until
    clock.advance(until - 1000)
    assert deadlines.until("192.0.2.1") == 0


@pytest.mark.parametrize("until", [0.0, 999.0, 1000.0])
def test_a_deadline_in_the_past_ends_it(deadlines: Deadlines, until: float) -> None:
    """And may be set where there was none."""
    deadlines.set("192.0.2.1", 1060.0)
    for key in ("192.0.2.1", "192.0.2.2"):
        deadlines.set(key, until)
        assert deadlines.until(key) == 0


@pytest.mark.parametrize("key", ["", "a\0b", "é", "\udcff", "x" * 10_000])
def test_any_text_is_a_key(deadlines: Deadlines, key: str) -> None:
    """Names of users come from clients."""
    deadlines.set(key, 1060.0)
    assert deadlines.until(key) == 1060.0


def test_what_ends_first_makes_room(deadlines: Deadlines) -> None:
    """All but the last LIMIT have gone, in whatever order they came."""
    count = 3 * LIMIT
    for number in sorted(range(count), key=lambda number: (number * 7) % count):
        deadlines.set(str(number), 1060.0 + number)
    assert known(deadlines, count) == list(range(count - LIMIT, count))


def test_of_equal_ones_the_newest_stays(deadlines: Deadlines) -> None:
    """One that is set is there, unless all others end later."""
    for number in range(3 * LIMIT):
        deadlines.set(str(number), 1060.0)
        assert deadlines.until(str(number)) == 1060.0
    assert len(known(deadlines, 3 * LIMIT)) == LIMIT


def test_what_is_over_makes_room_first(deadlines: Deadlines, clock: Clock) -> None:
    """Nothing that still holds is forgotten for it, nor is a shorter one refused."""
    for number in range(LIMIT):
        deadlines.set(str(number), 1060.0 if number % 2 else 5000.0)
    clock.advance(60)
    for number in range(LIMIT, LIMIT + LIMIT // 2):
        deadlines.set(str(number), 1090.0)
    assert known(deadlines, 2 * LIMIT) == [*range(0, LIMIT, 2), *range(LIMIT, LIMIT + LIMIT // 2)]


def test_renewing_one_often_forgets_no_other(deadlines: Deadlines) -> None:
    """Its earlier deadlines take no room."""
    for number in range(LIMIT):
        deadlines.set(str(number), 1060.0 + number)
    for turn in range(5 * LIMIT):
        deadlines.set("5", 5000.0 - turn)
    assert known(deadlines, LIMIT) == list(range(LIMIT))
