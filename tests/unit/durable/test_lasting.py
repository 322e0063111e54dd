"""Deadlines that outlive the process."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftpsd.auth.deadlines import MemoryDeadlines
from ftpsd.durable.lasting import LastingDeadlines
from tests.unit.durable.running import Driven, driven

LIMIT = 8


def deadlines_of(it: Driven, kind: str = "test") -> LastingDeadlines:
    return LastingDeadlines(MemoryDeadlines(it.reactor, LIMIT), it.store, kind, it.reactor, LIMIT)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


def test_they_are_there_after_a_restart(path: Path) -> None:
    """The last of each key, those that still hold, and those of the same kind."""
    with driven(path) as it:
        before = deadlines_of(it)
        for number in range(2 * LIMIT):
            before.set(str(number), 1000.0 + number)
        before.set("ended", 2000.0)
        before.set("ended", 0.0)
        before.set("15", 500.0)
    with driven(path) as it:
        it.reactor.advance(600)
        after, other = deadlines_of(it), deadlines_of(it, "other")
        after.set("14", 3000.0)
        for each in (after, other):
            it.answer(each.load())
        known = {number: after.until(str(number)) for number in range(2 * LIMIT) if after.until(str(number))}
        assert known == {9: 1009, 10: 1010, 11: 1011, 12: 1012, 13: 1013, 14: 3000}
        assert (after.until("ended"), other.until("14")) == (0, 0)


def test_those_of_a_time_without_the_file_are_written_later(path: Path, tmp_path: Path) -> None:
    """With the next one that is set."""
    path = tmp_path / "later" / "state.db"
    with driven(path) as it:
        deadlines = deadlines_of(it)
        it.answer(deadlines.load())
        for number in range(3):
            deadlines.set(str(number), 1000.0 + number)
        it.reactor.run_until(lambda: bool(it.told) and not it.store.queued)
        path.parent.mkdir()
        it.reactor.advance(2)
        deadlines.set("3", 1003.0)
        it.reactor.run_until(lambda: it.told[-1] is None)
    with driven(path) as it:
        deadlines = deadlines_of(it)
        it.answer(deadlines.load())
        assert [deadlines.until(str(number)) for number in range(4)] == [1000, 1001, 1002, 1003]
