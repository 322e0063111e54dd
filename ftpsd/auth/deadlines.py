"""
Deadlines: facts that hold until a moment, by key. A verified password is remembered that way.

The caller that sets one gives the key its meaning. Deadlines of several processes: processes/shared/deadline_table.py.
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from typing import Protocol

from twisted.internet.interfaces import IReactorTime


class Deadlines(Protocol):
    """
    A moment for each key, in seconds of the clock of the reactor.

    The number of keys is bounded: above it the deadline that ends first is forgotten, which may be the new one. Every
    answer comes at once. Reactor thread only.
    """

    def until(self, key: str) -> float:
        """Return the deadline of *key*; 0 when there is none, or it is over."""

    def set(self, key: str, until: float) -> None:
        """Give *key* the deadline *until*, in place of the one it has; one in the past ends it."""


class MemoryDeadlines:
    """The deadlines of one process, by *clock*, for at most *limit* keys."""

    def __init__(self, clock: IReactorTime, limit: int) -> None:
        self._clock = clock
        self._limit = limit
        self._numbers = count()
        self._entries: dict[str, tuple[float, int, str]] = {}
        # A heap, in which earlier deadlines of a key stay until they come to its top.
        self._order: list[tuple[float, int, str]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def until(self, key: str) -> float:
        """Return the deadline of *key*; 0 when there is none, or it is over."""
        entry = self._entries.get(key)
        return entry[0] if entry is not None and entry[0] > self._clock.seconds() else 0.0

    def set(self, key: str, until: float) -> None:
        """Give *key* the deadline *until*, in place of the one it has; one in the past ends it."""
        self._entries[key] = entry = until, next(self._numbers), key
        heappush(self._order, entry)
        if len(self._order) > 2 * self._limit:
            self._order = sorted(self._entries.values())
        now = self._clock.seconds()
        while self._order and (self._order[0][0] <= now or len(self._entries) > self._limit):
            first = heappop(self._order)
            if self._entries.get(first[2]) is first:
                del self._entries[first[2]]
