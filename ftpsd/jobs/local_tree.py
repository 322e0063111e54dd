"""
The tree of a user as a job has it: uploads go the way of every upload, and what is done to a file is on record.

    sink = await tree.open_sink(path, offset)  ->  write …  ->  await tree.publish(sink, event, before)

Jail, quota, accept rules, encryption at rest and the ledger hold; the rights of the user do not, for a job is the
operator's. Calls are made in workers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, ParamSpec, TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from ftpsd.audit.bus import AuditBus
from ftpsd.audit.events import Event, Who
from ftpsd.storage.base import Kind, NotYet, Sink, Storage, StorageError, Terms
from ftpsd.values.entry import Entry
from ftpsd.values.path import VirtualPath
from ftpsd.values.trace import Trace
from ftpsd.workers import Workers

P = ParamSpec("P")
T = TypeVar("T")

# Seconds between two looks whether a quota has been counted, and how long that may take.
COUNTING_PAUSE: Final = 0.5
COUNTING: Final = 600.0
# Seconds before what watches an upload is asked again whether it can take more.
BEHIND: Final = 0.05
PAGE: Final = 200


@dataclass(frozen=True, slots=True)
class LocalTree:
    """The *storage* of a user for a job, *who* in the audit log; *pool* makes the calls."""

    storage: Storage
    who: Who
    pool: Workers
    bus: AuditBus
    clock: IReactorTime

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call *function* in a worker, again as long as a quota is being counted."""
        deadline = self.clock.seconds() + COUNTING
        while True:
            try:
                return await self.pool.run(function, *args, **kwargs)
            except StorageError as error:
                if error.kind is not Kind.COUNTING or self.clock.seconds() > deadline:
                    raise
            await self._sleep(COUNTING_PAUSE)

    async def entries(self, directory: VirtualPath, most: int) -> list[Entry]:
        """Return up to *most* entries of *directory*."""
        listing = await self.run(self.storage.list, directory)
        found: list[Entry] = []
        try:
            while len(found) < most and (page := await self.run(listing.read, PAGE)):
                found += page
        finally:
            await self.pool.run(listing.close)
        return found

    async def entry(self, path: VirtualPath) -> Entry | None:
        """Return what *path* is, None for nothing."""
        try:
            return await self.run(self.storage.stat, path)
        except StorageError as error:
            if error.kind is Kind.NOT_FOUND:
                return None
            raise

    async def is_published(self, path: VirtualPath) -> bool:
        """Return whether there is a file called *path*, and no unfinished upload alone."""
        try:
            await self.run(self.storage.trace, path)
        except StorageError as error:
            if error.kind is Kind.NOT_FOUND:
                return False
            raise
        return True

    async def open_sink(self, path: VirtualPath, offset: int, *, may_replace: bool) -> Sink:
        """Begin an upload, or go on with one."""
        return await self.run(self.storage.open_sink, path, Terms(offset=offset, may_replace=may_replace))

    async def write(self, sink: Sink, data: bytes) -> None:
        """Write *data*; wait where what watches the bytes is behind."""
        while await self.run(sink.write, memoryview(data)):
            await self._sleep(BEHIND)
            data = b""

    async def publish(
        self, sink: Sink, event: Callable[[str | None], Event], before: Callable[[Trace], Awaitable[Any]]
    ) -> None:
        """
        Accept and publish an upload; *before* is awaited when nothing but the last step is left.

        *event* tells of it as complete, with its digest where that is known.
        """
        while not await self._prepared(sink):
            pass
        trace = await self.run(sink.trace)
        await before(trace)
        told = event(trace.sha256)
        intended = await self.bus.intend(told, trace) if self.bus.keeps(told) else None
        try:
            await self.run(sink.commit)
        except BaseException:
            if intended is not None:
                self.bus.settle(intended)
            raise
        await self._tell(told, intended)

    async def change(
        self, event: Event, path: VirtualPath, becoming: VirtualPath | None, do: Callable[[], Any]
    ) -> None:
        """Do something to the file *path*, which *event* tells of."""
        intended = None
        if self.bus.keeps(event):
            intended = await self.bus.intend(event, await self.run(self.storage.trace, path, becoming))
        try:
            await self.run(do)
        except BaseException:
            if intended is not None:
                self.bus.settle(intended)
            raise
        await self._tell(event, intended)

    async def make_directories(self, path: VirtualPath) -> None:
        """Make *path* and what is missing above it."""
        for length in range(1, len(path.parts) + 1):
            try:
                await self.run(self.storage.make_directory, VirtualPath(path.parts[:length]))
            except StorageError as error:
                if error.kind is not Kind.EXISTS:
                    raise

    async def _prepared(self, sink: Sink) -> bool:
        try:
            return await self.run(sink.prepare)
        except NotYet as wait:
            await self._sleep(wait.seconds)
            return False

    async def _tell(self, event: Event, intended: str | None) -> None:
        if intended is None:
            self.bus.publish(event)
        else:
            await self.bus.publish_kept(event, intended)

    async def _sleep(self, seconds: float) -> None:
        await deferLater(self.clock, seconds)
