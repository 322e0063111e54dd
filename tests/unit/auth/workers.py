"""Pools without threads: what they are given runs at once, or when the test says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from twisted.internet.defer import Deferred, execute, fail

from ftpsd.workers import PoolBusy

P = ParamSpec("P")
T = TypeVar("T")


class InlineWorkers:
    """A pool that runs every call at once; while *is_full*, its queue is full."""

    def __init__(self) -> None:
        self.calls = 0
        self.is_full = False

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """Run *function* now."""
        if self.is_full:
            return fail(PoolBusy("inline"))
        self.calls += 1
        return execute(function, *args, **kwargs)


class HeldWorkers:
    """A pool that runs its calls when it is released."""

    def __init__(self) -> None:
        self._held: list[Callable[[], None]] = []

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """Keep *function* for later."""
        result: Deferred[T] = Deferred()

        def now() -> None:
            # As in WorkerPool, a cancelled call is made all the same.
            try:
                value = function(*args, **kwargs)
            except Exception:
                result.errback()
            else:
                result.callback(value)

        self._held.append(now)
        return result

    def release(self) -> None:
        """Run what was kept, and what that leads to."""
        while self._held:
            self._held.pop(0)()
