"""
Deadlines that outlive the process (the protocol of auth/deadlines.py): those of now answer, the state file remembers.

Answers come at once, so they come from memory: one process's own, or the table that several share. Every deadline goes
to the state file behind them, and from there into memory at the start. While the file cannot be used they are as good
as the memory, and written when a later one is set: a power cut then loses them, which is for their owner to weigh. For
what must never be forgotten write to the `Store` first.
"""

from __future__ import annotations

from sqlite3 import Connection
from threading import Lock
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd.durable import facts
from ftpsd.durable.state_trouble import StateTrouble
from ftpsd.durable.store import Store
from ftpsd.workers import PoolBusy

log = Logger()


class _Deadlines(Protocol):
    def until(self, key: str) -> float: ...
    def set(self, key: str, until: float) -> None: ...


class LastingDeadlines:
    """
    The deadlines of *kind* in *store*, at most *limit* of them; *memory* answers. Reactor thread only.

    *memory* is bounded, too, and by its own rule.
    """

    def __init__(self, memory: _Deadlines, store: Store, kind: str, clock: IReactorTime, limit: int) -> None:
        self._memory = memory
        self._store = store
        self._kind = kind
        self._clock = clock
        self._limit = limit
        # Set since the last write began: key to deadline, no more than *limit*. The store's thread takes them out.
        self._unwritten: dict[str, float] = {}
        self._is_asked = False
        self._mutex = Lock()

    def load(self) -> Deferred[None]:
        """Take over those of the file; one that was set meanwhile, or by another process, stays. Never fails."""

        def found(known: list[facts.Fact]) -> None:
            for fact in known:
                if fact.until is not None and not self._memory.until(fact.key):
                    self._memory.set(fact.key, fact.until)

        asked = self._store.run(_of_kind, self._kind, self._clock.seconds())
        return asked.addCallback(found).addErrback(_ignored)

    def until(self, key: str) -> float:
        """Return the deadline of *key*; 0 when there is none, or it is over."""
        return self._memory.until(key)

    def set(self, key: str, until: float) -> None:
        """Give *key* the deadline *until*, in place of the one it has; one in the past ends it."""
        self._memory.set(key, until)
        with self._mutex:
            self._unwritten.pop(key, None)
            self._unwritten[key] = until
            self._forget_oldest()
            is_asked, self._is_asked = self._is_asked, True
        if not is_asked:
            self._write()

    def _write(self) -> None:
        """Have the store write what is set until its thread comes to it, so that a flood of them is one call."""
        taken: dict[str, float] = {}

        def write(connection: Connection, now: float) -> None:
            with self._mutex:
                self._is_asked = False
                taken.update(self._unwritten)
                self._unwritten.clear()
            _write(connection, self._kind, taken, now, self._limit)

        def failed(failure: Failure) -> None:
            with self._mutex:
                # A call that was refused has never begun.
                self._is_asked = self._is_asked and bool(taken)
                later = dict(self._unwritten)
                self._unwritten.clear()
                self._unwritten.update({**taken, **later})
                self._forget_oldest()
            _ignored(failure)

        self._store.run(write, self._clock.seconds()).addErrback(failed)

    def _forget_oldest(self) -> None:
        while len(self._unwritten) > self._limit:
            del self._unwritten[next(iter(self._unwritten))]


def _of_kind(connection: Connection, kind: str, now: float) -> list[facts.Fact]:
    return list(facts.every(connection, kind, now))


def _write(connection: Connection, kind: str, taken: dict[str, float], now: float, limit: int) -> None:
    for key, until in taken.items():
        if until > now:
            facts.put(connection, kind, key, "", until)
        else:
            facts.remove(connection, kind, key)
    facts.tidy(connection, kind, now, limit)


def _ignored(failure: Failure) -> None:
    """Take a failure of the file for told: the store's listener has told it."""
    if not failure.check(StateTrouble, PoolBusy):
        log.failure("deadlines could not be kept", failure)
