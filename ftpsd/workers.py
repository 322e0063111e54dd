"""
Worker pools: the only threads in which ftpsd makes blocking calls.

A worker never waits for a client, only for storage, for the processor or for the password hash. Threads and queue are
bounded; a full queue fails the call at once with `PoolBusy`, because a call that waits in an endless queue is lost
more slowly. Results come back to the reactor in batches: one wake-up of the reactor serves every call that finished
meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock, Thread
from typing import ParamSpec, Protocol, TypeVar, cast

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

P = ParamSpec("P")
T = TypeVar("T")

Job = tuple[Callable[..., object], tuple[object, ...], Deferred[object]]


# Network file systems that a server has, and pairs of them in one command, are few; each has threads of its own.
MOST_LANES = 16


class PoolBusy(Exception):
    """The queue of a worker pool is full."""


class Workers(Protocol):
    """The part of a pool that callers need; the in-memory tests run the same calls inline."""

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]: ...


class Lanes(Protocol):
    """Workers for calls that may wait for more than a disk of this machine."""

    def of(self, waits_for: frozenset[str]) -> Workers:
        """Return the workers for calls that may wait for any of *waits_for*, which is not empty."""


class WorkerPool:
    """
    A bounded number of threads and a bounded queue of blocking calls.

    *call_in_reactor* is the reactor's `callFromThread`. Calls start in the order they were made. An idle thread waits
    at a lock of its own and is handed its call directly, the last one to become idle first: a shared queue wakes two
    threads for one call.
    """

    def __init__(self, name: str, threads: int, queue_limit: int, call_in_reactor: Callable[..., object]) -> None:
        self.name = name
        self.threads = threads
        self.queue_limit = queue_limit
        self._call_in_reactor = call_in_reactor
        self._mutex = Lock()
        self._jobs: deque[Job | None] = deque()
        self._idle: list[_Seat] = []
        self._done: deque[tuple[Deferred[object], object]] = deque()
        self._wake_up_sent = False
        self._workers: list[Thread] = []
        self._unfinished = 0

    def start(self) -> None:
        """Start the threads. They are daemons: storage that hangs for ever must not keep the process alive."""
        for number in range(self.threads):
            worker = Thread(target=self._work, name=f"ftpsd-{self.name}-{number}", daemon=True)
            worker.start()
            self._workers.append(worker)

    def stop(self, patience: float = 5.0) -> bool:
        """Finish the queued calls, wait up to *patience* seconds for each thread; True when all have ended."""
        for _ in self._workers:
            self._put(None)
        for worker in self._workers:
            worker.join(patience)
        return not any(worker.is_alive() for worker in self._workers)

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """
        Call *function* in a worker; the Deferred fires in the reactor thread with what it returned or raised.

        Fails with `PoolBusy` when the queue is full. There is no cancelling: a call that has begun is always seen to
        its end, so what it opened can always be closed.
        """
        if self.queued >= self.queue_limit:
            return fail(PoolBusy(self.name))
        result: Deferred[object] = Deferred()
        self._unfinished += 1
        if kwargs:
            self._put((lambda: function(*args, **kwargs), (), result))
        else:
            self._put((function, args, result))
        return cast("Deferred[T]", result)

    @property
    def queued(self) -> int:
        """The number of calls that wait for a thread."""
        return len(self._jobs)

    @property
    def unfinished(self) -> int:
        """The number of calls that wait, run, or have not been reported yet."""
        return self._unfinished

    def _put(self, job: Job | None) -> None:
        with self._mutex:
            if not self._idle:
                self._jobs.append(job)
                return
            seat = self._idle.pop()
        seat.job = job
        seat.called.release()

    def _take(self, seat: _Seat) -> Job | None:
        """Return the next call for the thread at *seat*, None for the order to end."""
        with self._mutex:
            if self._jobs:
                return self._jobs.popleft()
            self._idle.append(seat)
        seat.called.acquire()
        job, seat.job = seat.job, None
        return job

    def _work(self) -> None:
        done = self._done
        seat = _Seat()
        while (job := self._take(seat)) is not None:
            function, args, result = job
            outcome: object
            try:
                outcome = function(*args)
            except BaseException:
                outcome = Failure()
            done.append((result, outcome))
            # Cleared by _deliver before it empties the deque, so a result appended after the test is always picked up.
            if not self._wake_up_sent:
                self._wake_up_sent = True
                self._call_in_reactor(self._deliver)
            del job, function, args, result, outcome

    def _deliver(self) -> None:
        self._wake_up_sent = False
        done = self._done
        while done:
            result, outcome = done.popleft()
            self._unfinished -= 1
            if isinstance(outcome, Failure):
                result.errback(outcome)
            else:
                result.callback(outcome)


class WorkerLanes:
    """
    Pools that begin when they are needed: one for each set of things that calls may wait for.

    A file system that hangs holds up the calls that wait for it, and no others. There are
    `MOST_LANES` pools at most; beyond them calls share the pool that has least to do, and are held up with it.
    """

    def __init__(self, threads: int, queue_limit: int, call_in_reactor: Callable[..., object]) -> None:
        self._threads = threads
        self._queue_limit = queue_limit
        self._call_in_reactor = call_in_reactor
        self._pools: dict[frozenset[str], WorkerPool] = {}

    def of(self, waits_for: frozenset[str]) -> WorkerPool:
        """Return the pool for calls that may wait for *waits_for*."""
        pool = self._pools.get(waits_for)
        if pool is not None:
            return pool
        if len(self._pools) >= MOST_LANES:
            return min(self._pools.values(), key=lambda pool: pool.unfinished)
        name = f"lane-{len(self._pools) + 1}"
        pool = self._pools[waits_for] = WorkerPool(name, self._threads, self._queue_limit, self._call_in_reactor)
        pool.start()
        return pool

    @property
    def queued(self) -> int:
        """The number of calls that wait for a thread, in all of them."""
        return sum(pool.queued for pool in self._pools.values())

    def stop(self, patience: float = 1.0) -> None:
        """Finish the queued calls, with *patience* for each thread: one that hangs has hung for long."""
        for pool in self._pools.values():
            pool.stop(patience)


class _Seat:
    """The seat of an idle thread, which waits there for its next call."""

    __slots__ = ("called", "job")

    def __init__(self) -> None:
        self.called = Lock()
        self.called.acquire()
        self.job: Job | None = None
