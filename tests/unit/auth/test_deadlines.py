"""Deadlines in memory: what they keep."""

from __future__ import annotations

from twisted.internet.task import Clock

from ftpsd.auth.deadlines import MemoryDeadlines


def test_what_is_over_is_dropped() -> None:
    """With the next one that is set, not kept until there is no more room."""
    clock = Clock()
    deadlines = MemoryDeadlines(clock, 10)
    for name in "abc":
        deadlines.set(name, 60.0)
    clock.advance(60)
    deadlines.set("d", 120.0)
    assert len(deadlines) == 1


def test_no_more_than_the_limit_is_kept() -> None:
    """However many come, and however often one is renewed."""
    deadlines = MemoryDeadlines(Clock(), 10)
    for number in range(100):
        deadlines.set(str(number), 60.0)
        deadlines.set("renewed", 60.0 + number)
    assert len(deadlines) == 10
    assert len(vars(deadlines)["_order"]) <= 20
