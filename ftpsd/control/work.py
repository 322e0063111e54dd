"""
The work of a session: calls to its user's storage, in workers.

The workers are those of the trees that the calls are about, by what these may wait for (`Traits.waits_for`): a network
file system that is silent holds up calls about its own files, and no others. A command names its paths once, with
`Session.at`, and makes all of its calls through what it gets, also those that close what is left open.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from twisted.internet.defer import CancelledError, Deferred

from ftpsd.storage.base import Kind, NotYet, StorageError
from ftpsd.wire.reply import ReplyError
from ftpsd.workers import PoolBusy, Workers

if TYPE_CHECKING:
    from ftpsd.control.state.session import Session

P = ParamSpec("P")
T = TypeVar("T")

# Seconds after which long work that found the pool full tries again.
BUSY_PAUSE = 0.1
# Seconds that a command waits for the first count of a home, which takes 5 s for a million files in the page cache, and
# between two looks. WinSCP gives up after 15 s without a reply.
COUNT_PATIENCE = 10.0
COUNT_LOOK = 0.05


class Work:
    """Calls about some paths of a session; where *is_remote*, they may wait for more than a disk of this machine."""

    __slots__ = ("_session", "is_remote", "workers")

    def __init__(self, session: Session, waits_for: frozenset[str]) -> None:
        self._session = session
        self.is_remote = bool(waits_for)
        self.workers: Workers = session.runtime.shared.workers(waits_for)

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """Call a blocking storage function in a worker."""
        return self.workers.run(function, *args, **kwargs)

    async def when_counted(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Call a storage function that depends on how much is stored, in a worker.

        Right after the start that may not have been counted yet: then the command waits, and no worker with it.

        Raises:
            StorageError: COUNTING after `COUNT_PATIENCE` seconds.
            CancelledError: the session has ended meanwhile.
        """
        clock = self._session.clock
        deadline = clock.seconds() + COUNT_PATIENCE
        while True:
            try:
                return await self.run(function, *args, **kwargs)
            except StorageError as error:
                if error.kind is not Kind.COUNTING or clock.seconds() >= deadline:
                    raise
            await self._session.sleep(COUNT_LOOK)

    async def clean_up(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a storage function that gives something back: in a worker, or right here when none can take it."""
        try:
            return await self.run(function, *args, **kwargs)
        except PoolBusy:
            return function(*args, **kwargs)

    async def close(self, close: Callable[[], None]) -> None:
        """Close a file that was only read, which waits for no disk, but may wait for others (FUSE)."""
        if self.is_remote:
            await self.clean_up(close)
        else:
            close()

    async def in_pieces(self, step: Callable[[], bool]) -> None:
        """
        Call *step* in a worker until it returns True: work of any length, in pieces of about a tenth of a second.

        Between two pieces others have their turn.

        Raises:
            CancelledError: the session has ended meanwhile.
            ReplyError: 426, the client sent ABOR.
        """
        session = self._session
        is_done = False
        while not is_done:
            if session.is_gone:
                raise CancelledError
            if session.is_abort_wanted:
                raise ReplyError(426, "Aborted.")
            try:
                is_done = await self.run(step)
            except PoolBusy:
                await session.sleep(BUSY_PAUSE)
            except NotYet as wait:
                await session.sleep(wait.seconds)
