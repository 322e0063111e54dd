"""
Giving receipts: a sink of the ledger, with a cursor, attempts and dead letters as every other (events/delivery.py).

A receipt is made of an event, so there is none of what was not published; and its event is on the disk before 226, so
none is missing after a crash: the delivery is made again, and finds the receipt that it has made. Users who are gone
get none, and the fetching of a receipt gives none.

Homes on file systems that may hang have workers of their own. One that does not answer is given up for now, and none of
its receipts is begun until it does: those of others go on.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ftpsd.auth.credentials import LoginDenied
from ftpsd.config.people.user_records import UserRecord
from ftpsd.config.receipts.receipt_files import SigningFiles
from ftpsd.events.receipts import receipt_shelf
from ftpsd.events.receipts.signed_receipt import TRANSFERS, Signer, content_of, name_of
from ftpsd.events.record_tables import Record
from ftpsd.events.sinks.receiver import NotTaken
from ftpsd.storage.base import Storage, StorageError
from ftpsd.storage.file_systems import NOTHING, by_waiting
from ftpsd.values.path import PathError, VirtualPath
from ftpsd.workers import PoolBusy, WorkerLanes, WorkerPool

# The name of the sink; that of no configured one has a dot.
NAME: Final = "receipts.signed"
THREADS: Final = 2
# Receipts of one user until the oldest are looked for.
BETWEEN_LOOKS: Final = 100
# Seconds for a home on a file system that waits for a network or another program.
PATIENCE: Final = 20.0

log = Logger()


class Homes(Protocol):
    """The users of a server, and their homes."""

    def find(self, host: str, name: str) -> Deferred[UserRecord | None]:
        """Return the user called *name* of *host*; None when there is none any more."""

    def open_own_part(self, host: str, user: UserRecord) -> Storage:
        """Open the home of *user* for files of the server's own. Blocks. Raises: StorageError."""

    def getting_receipts(self) -> list[tuple[str, UserRecord]]:
        """Return the users who get receipts, as far as they are known, each with the host."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The pace of the sink: three days of attempts, for a file server that is down."""

    name: str = NAME
    attempts: int = 300
    longest_pause: float = 900.0
    at_once: int = THREADS


def is_transfer(record: Record) -> bool:
    """Return whether *record* is about a transfer."""
    return record.event in TRANSFERS


class Receipts:
    """The sink; *homes* has those of now, *waiting* says what directories wait for, *call* is `callFromThread`."""

    most = 1

    def __init__(
        self,
        files: SigningFiles,
        homes: Callable[[], Homes],
        clock: IReactorTime,
        call: Any,
        waiting: Callable[[Iterable[Path]], dict[frozenset[str], list[Path]]] = by_waiting,
    ) -> None:
        self._signer = Signer(files)
        self._homes = homes
        self._clock = clock
        self._waiting = waiting
        self._lanes = WorkerLanes(THREADS, THREADS * 4, call)
        self._hanging: set[frozenset[str]] = set()
        self._pool = WorkerPool("receipts", THREADS, THREADS * 4, call)
        self._pool.start()
        self._given: dict[tuple[str, str], int] = {}

    def send(self, records: Sequence[Record]) -> Deferred[None]:
        """Give the receipt of the one record."""
        return Deferred.fromCoroutine(self._give(records[0]))

    def stop(self) -> None:
        """Let what is under way end."""
        self._pool.stop(0.0)
        self._lanes.stop(0.0)

    async def _give(self, record: Record) -> None:
        data = json.loads(record.data)
        host, name = data.get("host") or "", data.get("user")
        homes = self._homes()
        try:
            user = None if name is None else await homes.find(host, name)
        except LoginDenied:
            user = None
        except PoolBusy:
            raise NotTaken("too many questions about users wait") from None
        if user is None or not is_wanted(user, record.event, data.get("path")):
            return
        try:
            (waits_for,) = await self._pool.run(self._waiting, [user.home])
            if waits_for == NOTHING:
                await self._pool.run(self._put, homes, host, user, record, data)
            else:
                await self._put_there(waits_for, homes, host, user, record, data)
        except StorageError as error:
            raise NotTaken(f"the home of {user.name}: {error.reason}") from None
        except PoolBusy:
            raise NotTaken("too many receipts wait") from None

    def _put_there(
        self, waits_for: frozenset[str], homes: Homes, host: str, user: UserRecord, record: Record, data: dict[str, Any]
    ) -> Deferred[None]:
        """Do it by workers of its own where the home *waits_for* something; fails where that does not answer."""
        silent = f"the home of {user.name}: the file system does not answer"
        if waits_for in self._hanging:
            raise NotTaken(silent)
        answered: Deferred[None] = Deferred()

        def give_up() -> None:
            self._hanging.add(waits_for)
            answered.errback(NotTaken(silent))

        def over(result: Any) -> None:
            self._hanging.discard(waits_for)
            if timer.active():
                timer.cancel()
                answered.callback(result)
            # Else it is tried again, and finds the receipt; or fails again.

        work = self._lanes.of(waits_for).run(self._put, homes, host, user, record, data)
        timer = self._clock.callLater(PATIENCE, give_up)
        work.addBoth(over)
        return answered

    def _put(self, homes: Homes, host: str, user: UserRecord, record: Record, data: dict[str, Any]) -> None:
        """Sign the receipt and put it into the home. Blocks."""
        terms = user.receipts
        assert terms is not None
        content = self._signer.sign(content_of(record.id, data, socket.gethostname()))
        storage = homes.open_own_part(host, user)
        try:
            receipt_shelf.put(storage, terms.directory, name_of(record.id, record.seconds), content)
            if self._is_time(host, user):
                receipt_shelf.age(storage, terms, self._clock.seconds())
        finally:
            storage.close()

    def _is_time(self, host: str, user: UserRecord) -> bool:
        if len(self._given) > 100_000:
            self._given.clear()
        count = self._given[host, user.name] = self._given.get((host, user.name), 0) + 1
        return count % BETWEEN_LOOKS == 0


def is_wanted(user: UserRecord, event: str, path: object) -> bool:
    """Return whether *user* gets a receipt of that transfer of *path*."""
    terms = user.receipts
    if terms is None or TRANSFERS[event] not in terms.of or not isinstance(path, str):
        return False
    try:
        parts = VirtualPath.parse(path).parts
    except PathError:
        return False
    return parts[:1] != terms.directory.parts


def age_receipts(homes: Homes, people: Sequence[tuple[str, UserRecord]], now: float) -> int:
    """Remove the receipts of *people* that are over; return how many. Blocks."""
    gone = 0
    for host, user in people:
        assert user.receipts is not None
        try:
            storage = homes.open_own_part(host, user)
        except StorageError:
            continue  # a home that is missing is told of elsewhere
        try:
            gone += receipt_shelf.age(storage, user.receipts, now)
        except StorageError as error:
            log.warn("receipts of {user} cannot be looked at: {why}", user=user.name, why=error.reason)
        finally:
            storage.close()
    return gone
