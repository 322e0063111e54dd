"""A state file in use: a store whose reactor is the test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ftpsd.durable.store import Store
from tests.reactor import Reactor

T = TypeVar("T")


class Driven:
    """A store on the file at *path*; the time by which it tries again is moved by the test."""

    def __init__(self, path: Path) -> None:
        self.reactor = Reactor()
        self.told: list[str | None] = []
        self.store = Store(path, self.reactor.callFromThread, self.reactor.seconds)
        self.store.listener = self.told.append

    def answer(self, deferred: Deferred[T]) -> T:
        """Wait for the answer, and return it or raise what it failed with."""
        found: list[T | Failure] = []
        deferred.addBoth(found.append)
        self.reactor.run_until(lambda: bool(found))
        result = found[0]
        if isinstance(result, Failure):
            result.raiseException()
            raise AssertionError("raised above")
        return result


@contextmanager
def driven(path: Path) -> Iterator[Driven]:
    """Run a store on *path*, and stop it."""
    made = Driven(path)
    made.store.start()
    try:
        yield made
    finally:
        assert made.store.stop()
