"""Pools without threads, held to contracts/test_workers.py: they run at once, or when the test says so."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from twisted.internet.defer import Deferred, execute, fail
from twisted.python.failure import Failure

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


class QueueingWorkers:
    """A pool that makes its calls when the test releases them; while *is_full*, its queue is full."""

    def __init__(self) -> None:
        self.is_full = False
        self._calls: deque[Callable[[], None]] = deque()

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return len(self._calls)

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """Keep the call for later."""
        if self.is_full:
            return fail(PoolBusy("queueing"))
        result: Deferred[T] = Deferred()

        def make() -> None:
            try:
                value = function(*args, **kwargs)
            except BaseException:
                result.errback(Failure())
            else:
                result.callback(value)

        self._calls.append(make)
        return result

    def release(self, count: int | None = None) -> None:
        """Make *count* calls; None makes all of them, and those that come of it."""
        while self._calls and count != 0:
            count = None if count is None else count - 1
            self._calls.popleft()()
