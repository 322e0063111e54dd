"""Worker pools: bounded, in order, and with one wake-up of the reactor for many results."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ftpsd.workers import PoolBusy, WorkerPool
from tests.reactor import PATIENCE, Reactor


class Wakeups:
    """The reactor's callFromThread: keeps the calls until the test makes them."""

    def __init__(self) -> None:
        self.calls: SimpleQueue[Callable[[], object]] = SimpleQueue()

    def __call__(self, function: Callable[[], object]) -> None:
        self.calls.put(function)

    def make_one(self) -> None:
        self.calls.get(timeout=PATIENCE)()


@contextmanager
def pool(wake: Callable[..., object], threads: int = 1, queue_limit: int = 100) -> Iterator[WorkerPool]:
    """Run a pool and stop it."""
    made = WorkerPool("test", threads, queue_limit, wake)
    made.start()
    try:
        yield made
    finally:
        assert made.stop()


def outcome(deferred: Deferred[Any]) -> Any:
    """Return the result of *deferred*, or its error."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    (result,) = results
    return result.value if isinstance(result, Failure) else result


def test_a_result_comes_back() -> None:
    """run() gives what the function returned."""
    wakeups = Wakeups()
    with pool(wakeups) as workers:
        result = workers.run(pow, 2, 10)
        wakeups.make_one()
        assert outcome(result) == 1024


def test_keywords_are_passed_on() -> None:
    """run() calls with keyword arguments as well."""
    wakeups = Wakeups()
    with pool(wakeups) as workers:
        result = workers.run(int, "ff", base=16)
        wakeups.make_one()
        assert outcome(result) == 255


def test_an_exception_comes_back() -> None:
    """An error that the function raises is the failure of the Deferred."""
    wakeups = Wakeups()
    with pool(wakeups) as workers:
        result = workers.run(int, "ten")
        wakeups.make_one()
        assert isinstance(outcome(result), ValueError)


def test_a_worker_survives_what_it_runs() -> None:
    """Even SystemExit ends only its own call."""

    def leave() -> None:
        raise SystemExit

    wakeups = Wakeups()
    with pool(wakeups) as workers:
        left, stayed = workers.run(leave), workers.run(pow, 2, 2)
        reactor_turns_until(lambda: workers.unfinished == 0, wakeups)
        assert isinstance(outcome(left), SystemExit)
        assert outcome(stayed) == 4


def reactor_turns_until(condition: Callable[[], bool], wakeups: Wakeups) -> None:
    while not condition():
        wakeups.make_one()


def test_calls_run_outside_the_reactor_thread() -> None:
    """The function runs in a thread of the pool, which bears its name."""
    wakeups = Wakeups()
    with pool(wakeups) as workers:
        result = workers.run(threading.current_thread)
        wakeups.make_one()
        assert outcome(result).name == "ftpsd-test-0"


def test_results_arrive_in_the_reactor_thread() -> None:
    """A Deferred fires where the reactor makes its calls, never in a worker."""
    wakeups = Wakeups()
    with pool(wakeups) as workers:
        fired_in: list[threading.Thread] = []
        workers.run(pow, 2, 2).addCallback(lambda _: fired_in.append(threading.current_thread()))
        wakeups.make_one()
        assert fired_in == [threading.current_thread()]


def test_results_arrive_in_the_order_of_the_calls() -> None:
    """One worker answers in order."""
    reactor = Reactor()
    with pool(reactor.callFromThread) as workers:
        seen: list[int] = []
        for number in range(50):
            workers.run(abs, number).addCallback(seen.append)
        reactor.run_until(lambda: workers.unfinished == 0)
        assert seen == list(range(50))


def test_a_full_queue_refuses_at_once() -> None:
    """A call beyond the bound fails with PoolBusy, without a thread."""
    workers = WorkerPool("test", 1, 2, Wakeups())
    workers.run(abs, 1)
    workers.run(abs, 2)
    assert isinstance(outcome(workers.run(abs, 3)), PoolBusy)


def test_a_refused_call_is_not_unfinished() -> None:
    """A call that was refused is never waited for."""
    workers = WorkerPool("test", 1, 1, Wakeups())
    workers.run(abs, 1)
    workers.run(abs, 2).addErrback(lambda failure: failure.trap(PoolBusy))
    assert (workers.queued, workers.unfinished) == (1, 1)


def test_the_queue_has_room_again() -> None:
    """A call that a thread has taken no longer counts as queued."""
    gate, wakeups = threading.Event(), Wakeups()
    with pool(wakeups, queue_limit=1) as workers:
        first = workers.run(gate.wait, PATIENCE)
        gate.set()
        wakeups.make_one()
        assert outcome(first) is True
        second = workers.run(abs, -2)
        wakeups.make_one()
        assert outcome(second) == 2


def test_one_wake_up_serves_many_results() -> None:
    """Results that finish before the reactor has turned come with the wake-up that is under way."""
    wakeups = Wakeups()
    workers = WorkerPool("test", 1, 100, wakeups)
    results = [workers.run(abs, -number) for number in range(20)]
    workers.start()
    assert workers.stop()
    wakeups.make_one()
    assert [outcome(result) for result in results] == list(range(20))
    assert wakeups.calls.empty()


def test_every_later_result_wakes_the_reactor_again() -> None:
    """After a delivery the next result sends its own wake-up."""
    wakeups = Wakeups()
    with pool(wakeups) as workers:
        for number in range(3):
            result = workers.run(abs, number)
            wakeups.make_one()
            assert outcome(result) == number


def test_several_threads_work_at_once() -> None:
    """As many calls run side by side as there are threads."""
    barrier, wakeups = threading.Barrier(3), Wakeups()
    with pool(wakeups, threads=3) as workers:
        results = [workers.run(barrier.wait, PATIENCE) for _ in range(3)]
        reactor_turns_until(lambda: workers.unfinished == 0, wakeups)
        assert sorted(outcome(result) for result in results) == [0, 1, 2]


def test_no_result_is_lost_between_threads() -> None:
    """Four threads and a thousand calls: every Deferred fires."""
    reactor = Reactor()
    with pool(reactor.callFromThread, threads=4, queue_limit=1000) as workers:
        seen: list[int] = []
        for number in range(1000):
            workers.run(abs, number).addCallback(seen.append)
        reactor.run_until(lambda: workers.unfinished == 0)
        assert sorted(seen) == list(range(1000))


def test_stopping_finishes_the_queue() -> None:
    """stop() comes behind every call that was accepted before."""
    done: list[int] = []
    workers = WorkerPool("test", 1, 100, Wakeups())
    for number in range(10):
        workers.run(done.append, number)
    workers.start()
    assert workers.stop()
    assert done == list(range(10))


def test_stopping_does_not_wait_for_ever() -> None:
    """A call that hangs costs stop() its patience and no more."""
    gate = threading.Event()
    workers = WorkerPool("test", 1, 100, Wakeups())
    workers.start()
    workers.run(gate.wait, PATIENCE)
    assert workers.stop(patience=0.01) is False
    gate.set()


@pytest.mark.parametrize("count", [1, 7])
def test_calls_made_from_results_run(count: int) -> None:
    """A callback may make the next call: transfers do, quantum by quantum."""
    reactor = Reactor()
    with pool(reactor.callFromThread) as workers:
        made: list[int] = []

        def again(left: int) -> None:
            made.append(left)
            if left:
                workers.run(abs, left - 1).addCallback(again)

        workers.run(abs, count).addCallback(again)
        reactor.run_until(lambda: len(made) == count + 1)
        assert made == list(range(count, -1, -1))
