"""
The state file in the daemon: one thread for each process, which alone has it open.

    store.run(facts.put, "pin", "alice", "sha256:…")  ->  a Deferred

* The reactor never waits: calls wait in a bounded queue, and beyond it fail with `PoolBusy`.
* Group commit: the calls that wait together are one transaction, each in a savepoint of its own, so that one that
  raises undoes its own work and no other's. A Deferred fires when its transaction is on the disk, in the order of the
  calls.
* A file that cannot be used fails every call with `StateTrouble`, and is tried again with later calls, so that an
  operator who has mended it restarts nothing. The listener is told at each change.
* A file that was removed or replaced under our hands is told, and then the one that stands there, or a new one, is
  used. It knows nothing of what was in the other, such as the codes that were used, and is marked as begun now
  (`BEGUN`), unless it was begun since. `generation` counts such changes, for those who have to bring something back.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from threading import Condition, Thread
from typing import Concatenate, Final, ParamSpec, TypeVar, cast

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from ftpsd.durable import facts
from ftpsd.durable.opening import open_state
from ftpsd.durable.state_trouble import StateTrouble, described
from ftpsd.durable.tables import BEGUN, begun_at
from ftpsd.workers import PoolBusy

P = ParamSpec("P")
T = TypeVar("T")

QUEUE: Final = 10_000
# Calls in one transaction: others of the server wait for its end.
GROUP: Final = 500
# Seconds between two attempts to open a file that could not be used.
AGAIN: Final = 1.0
# Said of a file that was lost; the rest of the sentence is the remedy.
LOST: Final = (
    "it was removed or replaced while the daemon used it; what was in it is lost: used codes, enrolled certificates, "
    "events that were not delivered. To bring a backup back, stop ftpsd first; recovery codes have to be made anew: "
    "ftpsd user otp NAME --recovery"
)

NOT_CONFIGURED: Final = "there is none: `state: null`"

Listener = Callable[[str | None], object]
_Job = tuple[Callable[..., object], tuple[object, ...], Deferred[object]]


class Store:
    """
    The state file at *path*, None for a server without one; *call_in_reactor* is the reactor's `callFromThread`.
    """

    def __init__(
        self, path: Path | None, call_in_reactor: Callable[..., object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.path = path
        self.trouble: str | None = NOT_CONFIGURED if path is None else None
        """Why the file could not be used the last time; None when it could, or was not needed yet."""
        self.listener: Listener = _nobody
        """Called, in the reactor thread, with each new *trouble* and with None when it has ended."""
        self.generation = 0
        """How many other files have come in the place of the first one since."""
        self._call_in_reactor = call_in_reactor
        self._clock = clock
        self._jobs: deque[_Job] = deque()
        self._work = Condition()
        self._is_stopping = False
        self._thread: Thread | None = None
        # Of the thread alone:
        self._connection: sqlite3.Connection | None = None
        # Of the file that was used last, also when it is closed; and when that was, by the Unix clock.
        self._identity: tuple[int, int] | None = None
        self._begun: float | None = None
        self._used = 0.0
        self._closed_until = 0.0
        self._told: str | None = None

    @property
    def is_configured(self) -> bool:
        """Whether the server has a state file at all."""
        return self.path is not None

    def look(self) -> None:
        """See that the file can be used, for the listener's sake."""
        if self.path is not None and not self._jobs:
            self.run(_nothing).addErrback(lambda _: None)

    @property
    def queued(self) -> int:
        """The number of calls that wait."""
        return len(self._jobs)

    def start(self) -> None:
        """Start the thread, which opens the file. It is a daemon: a disk that hangs must not keep the process alive."""
        if self.path is not None:
            self._thread = Thread(target=self._run, args=(self.path,), name="ftpsd-state", daemon=True)
            self._thread.start()

    def stop(self, patience: float = 5.0) -> bool:
        """Finish the waiting calls within *patience* seconds and close the file; True when that is done."""
        with self._work:
            self._is_stopping = True
            self._work.notify()
        if self._thread is None:
            return True
        self._thread.join(patience)
        return not self._thread.is_alive()

    def run(
        self, function: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        """
        Call *function* with the open file, in a transaction; the Deferred fires when what it did is on the disk.

        Fails with what it raised, with `StateTrouble` when the file cannot be used, with `PoolBusy` when too many calls
        wait. There is no cancelling.
        """
        if self.path is None:
            return fail(StateTrouble(NOT_CONFIGURED))
        if kwargs:
            return self.run(lambda connection: function(connection, *args, **kwargs))
        result: Deferred[object] = Deferred(lambda _: None)
        with self._work:
            if len(self._jobs) >= QUEUE or self._is_stopping:
                return fail(PoolBusy("state"))
            self._jobs.append((function, args, result))
            self._work.notify()
        return cast("Deferred[T]", result)

    def run_of(
        self,
        generation: int,
        function: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Deferred[T]:
        """Do as `run`; but fail with `StateTrouble` where the file is another one than that of *generation*."""

        def checked(connection: sqlite3.Connection) -> T:
            if self.generation != generation:
                raise StateTrouble(LOST)
            return function(connection, *args, **kwargs)

        return self.run(checked)

    # --- the thread

    def _run(self, path: Path) -> None:
        self._attempt(path, [])
        while True:
            with self._work:
                while not self._jobs and not self._is_stopping:
                    self._work.wait()
                group = [self._jobs.popleft() for _ in range(min(GROUP, len(self._jobs)))]
            if not group:
                break
            self._attempt(path, group)
        self._close()

    def _attempt(self, path: Path, group: list[_Job]) -> None:
        """Do the calls of *group*, or fail them all; tell their callers, and the listener when anything has changed."""
        trouble: str | None = None
        try:
            outcomes = self._commit(self._opened(path), group)
        except StateTrouble as problem:
            trouble, outcomes = str(problem), [Failure(problem)] * len(group)
        except (sqlite3.Error, OSError) as error:
            self._close()
            found = described(path, error)
            trouble, outcomes = str(found), [Failure(found)] * len(group)
        except BaseException:
            # A mistake of ours must not end the thread: every later call would wait for ever.
            self._close()
            outcomes = [Failure()] * len(group)
        answers = [(result, outcome) for (_, _, result), outcome in zip(group, outcomes, strict=True)]
        self._call_in_reactor(self._deliver, answers, trouble)

    def _opened(self, path: Path) -> sqlite3.Connection:
        """Return the open file. Raises: StateTrouble."""
        now = self._clock()
        if self._connection is not None:
            if _identity(path) == self._identity:
                return self._connection
            self._close()
            self._told, self._closed_until = LOST, now + AGAIN
        if now < self._closed_until:
            raise StateTrouble(self._told or "it could not be used a moment ago")
        try:
            self._connection = open_state(path)
        except StateTrouble as problem:
            # Callers that come at once are not all made to wait for the same failure.
            self._closed_until, self._told = now + AGAIN, str(problem)
            raise
        self._recognise(self._connection, _identity(path))
        return self._connection

    def _recognise(self, connection: sqlite3.Connection, identity: tuple[int, int] | None) -> None:
        """Find out whether the file of *connection* is the one of before, and mark another one."""
        begun = begun_at(connection)
        if self._identity is not None and (identity, begun) != (self._identity, self._begun):
            if begun is None or begun < self._used:
                # An older one: codes that were used since it was copied would count again.
                begun = time.time()
                facts.put(connection, BEGUN, "", repr(begun))
            self.generation += 1
        self._identity, self._begun, self._used = identity, begun, time.time()

    def _commit(self, connection: sqlite3.Connection, group: list[_Job]) -> list[object]:
        """Do *group* in one transaction; return what each call returned, or its Failure."""
        if not group:
            return []
        outcomes: list[object] = []
        connection.execute("BEGIN IMMEDIATE")
        try:
            for function, args, _ in group:
                outcomes.append(_one(connection, function, args))
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        self._used = time.time()
        return outcomes

    def _close(self) -> None:
        if self._connection is not None:
            try:
                self._connection.close()
            except sqlite3.Error:
                pass  # it is given up because it does not work
            self._connection = None

    # --- back in the reactor

    def _deliver(self, answers: list[tuple[Deferred[object], object]], trouble: str | None) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            self.listener(trouble)
        for result, outcome in answers:
            # A cancelled one has fired.
            if not result.called:
                result.errback(outcome) if isinstance(outcome, Failure) else result.callback(outcome)


def _one(connection: sqlite3.Connection, function: Callable[..., object], args: tuple[object, ...]) -> object:
    """Call *function* in a savepoint; a failure of the file itself rises, any other is the outcome."""
    connection.execute("SAVEPOINT one")
    try:
        outcome = function(connection, *args)
    except Exception as error:
        if _is_of_the_file(error):
            raise
        outcome = Failure()
    if isinstance(outcome, Failure):
        connection.execute("ROLLBACK TO one")
    connection.execute("RELEASE one")
    return outcome


def _is_of_the_file(error: Exception) -> bool:
    """Return whether *error* is the file's, and so every other call's, too; a mistake in one statement is not."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF not in (
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_RANGE,
        sqlite3.SQLITE_TOOBIG,
    )


def _identity(path: Path) -> tuple[int, int] | None:
    """Return which file stands at *path*, None for none."""
    try:
        status = os.stat(path, follow_symlinks=False)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _nothing(_: sqlite3.Connection) -> None:
    """Do nothing with the file: beginning a transaction is all."""


def _nobody(_: str | None) -> None:
    """Tell nobody."""
