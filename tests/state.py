"""A state file without a thread: every call is made at once, in a database in memory with the real tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from twisted.internet.defer import Deferred, execute, fail

from ftpsd.durable import facts
from ftpsd.durable.opening import state_opened
from ftpsd.durable.state_trouble import StateTrouble
from ftpsd.durable.store import Store
from ftpsd.durable.tables import BEGUN, migrate

P = ParamSpec("P")
T = TypeVar("T")


def begin_long_ago(path: Path) -> None:
    """Make the state file at *path* as one that is there for years: codes are accepted from the first moment on."""
    with state_opened(path) as connection:
        facts.remove(connection, BEGUN, "")


class InlineStore(Store):
    """
    A store that answers at once, or with *is_late* when the test says `answer`; while *is_broken* it cannot be used.
    """

    def __init__(self) -> None:
        super().__init__(None, lambda *_: None)
        self.is_broken = False
        self.is_late = False
        self.calls = 0
        self._answers: list[Callable[[], object]] = []
        self._memory = sqlite3.connect(":memory:", isolation_level=None)
        migrate(self._memory)

    def begin_another(self) -> None:
        """Lose all that is there."""
        self._memory = sqlite3.connect(":memory:", isolation_level=None)
        migrate(self._memory)
        self.generation += 1

    def run(
        self, function: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        """Call *function* now."""
        if self.is_broken:
            return fail(StateTrouble("broken; mend it"))
        self.calls += 1
        done = execute(function, self._memory, *args, **kwargs)
        if not self.is_late:
            return done
        later: Deferred[T] = Deferred()
        self._answers.append(lambda: done.chainDeferred(later))
        return later

    def answer(self) -> None:
        """Give the answers that are late, in order, and those that they lead to."""
        while self._answers:
            self._answers.pop(0)()
