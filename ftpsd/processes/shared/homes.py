"""
Quotas over several processes: the contents of each home, in a table that all of them share.

Every change of every process is added under the table's lock, so that room granted by one process cannot be granted
again by another, and a count stays exact. A count (a walk through the home) cannot learn which files other processes
touch meanwhile, as it can within one process. So it is taken only when no change began or ended during it: a busy home
is counted again when it is quiet, and until then keeps the sum of all changes.

Reservations of a process go when it dies. Bytes that it had written and not yet reported are found by the next count,
which is due at once.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

from ftpsd.durable.byte_lock import LOCK_HOMES, ByteLock, nameless_file
from ftpsd.processes.shared.count_table import WORD, TableFull
from ftpsd.storage.quota.account import PATIENCE, RECOUNT_AFTER, RECOUNT_AFTER_REFUSAL, RECOUNT_SHARE, Misses
from ftpsd.storage.quota.change import QuotaLedger
from ftpsd.storage.quota.count import Count, Event
from ftpsd.storage.quota.ledger import NO_LEDGER, Ledger
from ftpsd.storage.quota.register import QuotaAccounts
from ftpsd.storage.quota.tally import Elsewhere, Tally, nothing, tally
from ftpsd.values.quota import ENDLESS, Quota, Usage

# Walks of one count, each thrown away because something changed during it; and the pause before the next, in seconds.
WALKS = 4
PAUSE = 0.2
NANO = 1_000_000_000
# The mark of a time of counting that is due again.
LONG_AGO = 1

# The words of a home: its digest (2), its contents (3), when it was counted in nanoseconds (0: never) and how long that
# took, whether a change was refused since, how many changes began or ended, which process counts (from 1).
USED, COUNTED_AT, TOOK, WAS_REFUSED, CHANGES, COUNTING, OWN = 2, 5, 6, 7, 8, 9, 10
# Then for each process: its reservations (3), and its changes under way.
UNDER_WAY, OWN_WORDS = 3, 4


class HomeTable:
    """The table in the file *fd*, as the process *column* of *processes* sees it; *lock_fd* has the locks."""

    def __init__(self, fd: int, lock_fd: int, processes: int, column: int = 0) -> None:
        self.fd = fd
        self.lock = ByteLock(lock_fd, LOCK_HOMES)
        self.processes = processes
        self.column = column
        self.words = memoryview(mmap.mmap(fd, os.fstat(fd).st_size)).cast("q")
        self._size = OWN + OWN_WORDS * processes
        # Behind the homes is one word more: how many places are taken.
        self._taken = len(self.words) - 1

    @classmethod
    def create(cls, homes: int, lock_fd: int, processes: int) -> HomeTable:
        """Make a table for that many *homes*."""
        size = WORD * (OWN + OWN_WORDS * processes)
        return cls(nameless_file(max(1, homes) * size + WORD), lock_fd, processes)

    @property
    def is_empty(self) -> bool:
        """Whether no process has asked for a place yet; needs no lock."""
        return not self.words[self._taken]

    def place_of(self, directory: Path) -> int:
        """
        Return where the words of *directory* begin; they stay there for the life of the server.

        Raises: TableFull.
        """
        one, other = digest = _digest(directory)
        with self.lock:
            place, found = self._search(digest)
            if place is None:
                raise TableFull("more homes with a quota than there were at the start; restart the server")
            if not found:
                self.words[place], self.words[place + 1] = one, other
                self.words[self._taken] += 1
            return place

    def has(self, directory: Path) -> bool:
        """Return whether *directory* has a place, whichever process has asked for it."""
        with self.lock:
            return self._search(_digest(directory))[1]

    def own(self, place: int, column: int | None = None) -> int:
        """Return where the words of a process begin, by default those of this one."""
        return place + OWN + OWN_WORDS * (self.column if column is None else column)

    def clear(self, column: int) -> None:
        """Forget the reservations and changes of the process *column*; it is dead."""
        with self.lock:
            for place in range(0, self._taken, self._size):
                if not (self.words[place] or self.words[place + 1]):
                    continue
                own = self.own(place, column)
                if self.words[own + UNDER_WAY]:
                    self.words[place + COUNTED_AT] = min(LONG_AGO, self.words[place + COUNTED_AT])
                    self.words[place + CHANGES] += 1
                for word in range(own, own + OWN_WORDS):
                    self.words[word] = 0
                if self.words[place + COUNTING] == column + 1:
                    self.words[place + COUNTING] = 0

    def _search(self, digest: tuple[int, int]) -> tuple[int | None, bool]:
        """Return the place of *digest*, or the one it would have, None for no room; and whether it has it."""
        homes = self._taken // self._size
        # Nothing is ever taken out, so a home lies in the first free place from its own on.
        for step in range(homes):
            place = (digest[0] + step) % homes * self._size
            found = self.words[place], self.words[place + 1]
            if found in ((0, 0), digest):
                return place, found == digest
        return None, False


class SharedAccounts(QuotaAccounts):
    """The accounts of one process; the contents of a home that another process has an account of count there too."""

    def __init__(self, table: HomeTable) -> None:
        super().__init__(lambda directory: SharedAccount(directory, table))
        self._table = table

    @property
    def is_empty(self) -> bool:
        """Whether no user has a quota, in any process."""
        return self._table.is_empty

    def ledger(self, directory: Path) -> Ledger:
        """Return the ledger of a user without a quota: changes count where other users have one."""
        if self.is_empty or not self._table.has(Path(os.path.realpath(directory))):
            return NO_LEDGER
        return QuotaLedger(self.of(directory), ENDLESS)


class SharedAccount:
    """The account of one directory that several processes change."""

    def __init__(self, directory: Path, table: HomeTable, clock: Callable[[], float] = time.monotonic) -> None:
        self.directory = directory
        self._clock = clock
        self._misses = Misses()
        self._table = table
        self._words = table.words
        self._place = table.place_of(directory)
        self._own = table.own(self._place)

    @property
    def used(self) -> Usage:
        """The contents of the directory."""
        with self._table.lock:
            return self._usage(self._place + USED)

    @property
    def counted(self) -> Usage:
        """The counted part: contents and reservations, without copies that are about to replace a file."""
        with self._table.lock:
            return self._usage(self._place + USED) + self._reserved_by_all()

    @property
    def is_counted(self) -> bool:
        """Return whether a count has come to its end, in any process."""
        return self._words[self._place + COUNTED_AT] != 0

    @property
    def unseen(self) -> str | None:
        """The first path that the last count of this process could not look at."""
        return self._misses.unseen

    @property
    def is_due(self) -> bool:
        """Return whether it is time to count."""
        if self._misses.is_too_soon(self._clock()):
            return False
        counted_at, took, was_refused, _, counting = self._words[self._place + COUNTED_AT : self._place + OWN]
        if counting or counted_at <= LONG_AGO:
            return not counting
        wait = RECOUNT_AFTER_REFUSAL if was_refused else RECOUNT_AFTER
        return self._now() - counted_at >= max(wait * NANO, took / RECOUNT_SHARE)

    def count_soon(self) -> None:
        """Have it be counted as soon as that can be: others have changed the directory."""
        with self._table.lock:
            if self._words[self._place + COUNTED_AT]:
                self._words[self._place + COUNTED_AT] = LONG_AGO
            # A walk that has begun is thrown away.
            self._words[self._place + CHANGES] += 1

    def count(
        self,
        *,
        patience: float = PATIENCE,
        is_stopped: Callable[[], bool] = lambda: False,
        elsewhere: Elsewhere = nothing,
    ) -> bool:
        """
        Count the contents of the directory, and *elsewhere*; return whether the count came to its end. Blocks.

        Gives up when *is_stopped* returns True, when nothing but changes is seen for *patience* seconds or `WALKS`
        walks, and at once while another process counts.
        """
        place, words = self._place, self._words
        with self._table.lock:
            if words[place + COUNTING]:
                return False
            words[place + COUNTING] = self._table.column + 1
        try:
            began = self._now()
            walks = 0
            while walks < WALKS and self._now() - began <= patience * NANO and not is_stopped():
                changes = self._changes_when_quiet()
                if changes is not None:
                    walks += 1
                    started, seen = self._now(), Tally()
                    is_whole = tally(self.directory, seen, is_stopped, elsewhere)
                    if not is_whole and (seen.unseen is None or self._changes_when_quiet() == changes):
                        if seen.unseen is not None:
                            self._misses.note(seen.unseen, began / NANO, self._clock())
                        return False
                    if is_whole and self._take(Count(0).sum(seen), changes, started):
                        self._misses.forget()
                        return True
                time.sleep(PAUSE)
            return False
        finally:
            with self._table.lock:
                words[place + COUNTING] = 0

    def free_bytes(self, quota: Quota) -> int | None:
        """Return how many bytes may still come."""
        if quota.bytes is None:
            return None
        with self._table.lock:
            return max(0, self._left(quota.bytes))

    # --- for changes

    def begin(self) -> int:
        """Begin a change."""
        with self._table.lock:
            self._words[self._own + UNDER_WAY] += 1
            self._words[self._place + CHANGES] += 1
        return 0

    def reserve(self, wanted: Usage, quota: Quota, *, beyond: int = 0) -> bool:
        """Set *wanted* aside; return whether there was room for it."""
        with self._table.lock:
            total = self._usage(self._place + USED) + self._reserved_by_all() + wanted
            if not quota.allows(wanted, total, beyond=beyond):
                self._words[self._place + WAS_REFUSED] = 1
                return False
            self._add(self._own, wanted)
            return True

    def reserve_bytes(self, wanted: int, quota: Quota) -> int:
        """Set as many of *wanted* bytes aside as there is room for; return how many."""
        with self._table.lock:
            if quota.bytes is not None and (left := self._left(quota.bytes)) < wanted:
                self._words[self._place + WAS_REFUSED] = 1
                wanted = max(0, left)
            self._words[self._own] += wanted
            return wanted

    def end(self, epoch: int, reserved: Usage, events: list[Event]) -> None:
        """End a change that had set *reserved* aside, and that brought about *events*."""
        with self._table.lock:
            for event in events:
                self._add(self._place + USED, event.delta)
            self._add(self._own, Usage(-reserved.bytes, -reserved.files, -reserved.directories))
            self._words[self._own + UNDER_WAY] -= 1
            self._words[self._place + CHANGES] += 1

    def note(self, epoch: int, identity: int, after: int) -> None:
        """Nothing to note: a count that overlaps a change is thrown away."""

    # --- the words; with the lock held

    def _usage(self, place: int) -> Usage:
        return Usage(*self._words[place : place + 3])

    def _add(self, place: int, usage: Usage) -> None:
        for offset, number in enumerate((usage.bytes, usage.files, usage.directories)):
            self._words[place + offset] += number

    def _reserved_by_all(self) -> Usage:
        total = Usage()
        for column in range(self._table.processes):
            total += self._usage(self._table.own(self._place, column))
        return total

    def _left(self, limit: int) -> int:
        return limit - max(0, self._words[self._place + USED]) - self._reserved_by_all().bytes

    # --- for counts

    def _changes_when_quiet(self) -> int | None:
        """Return how many changes there have been; None while one is under way."""
        with self._table.lock:
            columns = range(self._table.processes)
            if any(self._words[self._table.own(self._place, column) + UNDER_WAY] for column in columns):
                return None
            return self._words[self._place + CHANGES]

    def _take(self, found: Usage, changes: int, started: int) -> bool:
        """Take *found* for true, unless something has changed since *started*, when there had been *changes*."""
        place, words = self._place, self._words
        with self._table.lock:
            if words[place + CHANGES] != changes:
                return False
            for offset, number in enumerate((found.bytes, found.files, found.directories)):
                words[place + USED + offset] = number
            now = self._now()
            words[place + COUNTED_AT], words[place + TOOK], words[place + WAS_REFUSED] = now, now - started, 0
            return True

    def _now(self) -> int:
        return int(self._clock() * NANO)


def _digest(directory: Path) -> tuple[int, int]:
    digest = blake2b(os.fsencode(directory), digest_size=2 * WORD).digest()
    return int.from_bytes(digest[:WORD], "little", signed=True), int.from_bytes(digest[WORD:], "little", signed=True)
