"""The promises a worker pool makes to its callers, held by the real pool and by the two that tests put in its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ftpsd.workers import PoolBusy, WorkerPool, Workers
from tests.reactor import Reactor
from tests.workers import InlineWorkers, QueueingWorkers

KINDS = ["pool", "inline", "queueing"]


class Pool:
    """One kind of pool; `fill` leaves no room in its queue, `outcome` waits for a result."""

    def __init__(self, kind: str) -> None:
        self._reactor = Reactor()
        self._inline, self._queueing = InlineWorkers(), QueueingWorkers()
        self._real = WorkerPool("test", 1, 1, self._reactor.callFromThread)
        kinds: dict[str, Workers] = {"pool": self._real, "inline": self._inline, "queueing": self._queueing}
        self.workers = kinds[kind]

    def fill(self) -> None:
        """Leave no room in the queue."""
        self._inline.is_full = self._queueing.is_full = True
        self._real.run(abs, 1)

    def outcome(self, deferred: Deferred[Any]) -> Any:
        """Return the result of *deferred*, or its error."""
        results: list[Any] = []
        deferred.addBoth(results.append)
        self._real.start()
        self._queueing.release()
        self._reactor.run_until(lambda: bool(results))
        assert self._real.stop()
        return results[0].value if isinstance(results[0], Failure) else results[0]


@pytest.fixture(params=KINDS)
def pool(request: pytest.FixtureRequest) -> Pool:
    """Every kind of pool."""
    return Pool(request.param)


def test_a_result_comes_back(pool: Pool) -> None:
    """run() gives what the function returned."""
    assert pool.outcome(pool.workers.run(pow, 2, 10)) == 1024


def test_keywords_are_passed_on(pool: Pool) -> None:
    """run() calls with keyword arguments as well."""
    assert pool.outcome(pool.workers.run(int, "ff", base=16)) == 255


def test_an_exception_comes_back(pool: Pool) -> None:
    """An error that the function raises is the failure of the Deferred, never of run()."""
    assert isinstance(pool.outcome(pool.workers.run(int, "ten")), ValueError)


def test_a_full_queue_is_a_failure(pool: Pool) -> None:
    """PoolBusy, and the function is not called."""
    called: list[int] = []
    note: Callable[[int], None] = called.append
    pool.fill()
    assert isinstance(pool.outcome(pool.workers.run(note, 1)), PoolBusy)
    assert called == []


def test_a_failure_of_a_cancelled_call_is_nobodys(pool: Pool) -> None:
    """It neither reaches the caller a second time nor harms the pool."""
    cancelled = pool.workers.run(int, "ten")
    seen: list[object] = []
    cancelled.addBoth(seen.append)
    cancelled.cancel()
    pool.outcome(cancelled)
    assert len(seen) == 1


def test_a_cancelled_call_is_made_all_the_same(pool: Pool) -> None:
    """Anything it opens can always be closed: a call that has been accepted cannot be cancelled."""
    called: list[int] = []
    note: Callable[[int], None] = called.append
    cancelled = pool.workers.run(note, 1)
    cancelled.cancel()
    pool.outcome(cancelled.addErrback(lambda _: None))
    assert called == [1]
