"""
One at a time, and one more behind it: a request during a run has not been seen by the run under way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")


class Turnstile(Generic[T]):
    """A gate that lets *work*, which never fails, run once at a time; all who ask meanwhile share the next run."""

    def __init__(self, work: Callable[[], Deferred[T]]) -> None:
        self.is_taken = False
        self._work = work
        self._waiting: list[Deferred[T]] = []

    def enter(self) -> Deferred[T]:
        """Have the work done, and return the result of a run that began now or later."""
        mine: Deferred[T] = Deferred()
        self._waiting.append(mine)
        if not self.is_taken:
            self._begin()
        return mine

    def _begin(self) -> None:
        self.is_taken = True
        served, self._waiting = self._waiting, []
        self._work().addCallback(self._over, served)

    def _over(self, result: T, served: list[Deferred[T]]) -> None:
        self.is_taken = False
        if self._waiting:
            self._begin()
        for each in served:
            each.callback(result)
