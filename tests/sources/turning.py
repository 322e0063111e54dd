"""Twisted's own reactor, turned by hand: sources talk to real servers, which a clock that the test moves cannot."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ftpsd.workers import WorkerPool

T = TypeVar("T")

reactor: Any = _reactor
# A test that waits longer has found a bug, on a busy machine too. In seconds.
PATIENCE = 30.0

_pools: list[WorkerPool] = []


def lookups() -> WorkerPool:
    """Return a pool that looks names up."""
    if not _pools:
        _pools.append(WorkerPool("lookup", 2, 100, reactor.callFromThread))
        _pools[0].start()
    return _pools[0]


def turn_until(condition: Callable[[], object]) -> None:
    """Turn the reactor until *condition* holds."""
    if not reactor.running:
        reactor.startRunning(installSignalHandlers=False)
    end = monotonic() + PATIENCE
    while not condition():
        assert monotonic() < end, "nothing came of it"
        reactor.iterate(0.02)


def outcome(answer: Deferred[T]) -> T:
    """Return what comes of *answer*, or raise it."""
    found: list[Any] = []
    answer.addBoth(found.append)
    turn_until(lambda: found)
    if isinstance(found[0], Failure):
        found[0].raiseException()
    result: T = found[0]
    return result


def failure_of(answer: Deferred[Any]) -> Exception:
    """Return the error that comes of *answer*."""
    try:
        result = outcome(answer)
    except Exception as error:
        return error
    raise AssertionError(f"no error, but {result!r}")
