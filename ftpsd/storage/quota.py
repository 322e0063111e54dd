"""
Quotas: how much is in a home, counted once and kept exact by every operation of this process.

What counts: every regular file below the home, with its size, also the hidden partials of unfinished uploads, which
would otherwise be a way around the quota; and every directory. A file with two names counts twice.

* An account belongs to a directory and is shared by all sessions that change it; each looks at it through its own
  user's limits. Its lock is held for some additions, never during a system call.
* It lives in memory. What was written down could be wrong after a crash, or after the operator or another program has
  changed the home; a count of what is there cannot, and costs some microseconds a file.
* Nobody waits for a count, and a count for nobody. While it walks, operations note which files they touched; what the
  walk saw of those is thrown away and what the operation left behind is taken. What begins after the walk is added.
  Where a directory was renamed under the walk's feet, another walk adds what the first one may have missed.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from ftpsd.storage.base import Kind, StorageError
from ftpsd.storage.ledger import NO_LEDGER, Change, Ledger
from ftpsd.storage.tally import DIRECTORY, GONE, Tally, identity, tally

# Seconds. Another program may delete or add files: what was counted longer ago is counted again at the next login, and
# after a refusal sooner, because there may be room by now.
RECOUNT_AFTER = 600.0
RECOUNT_AFTER_REFUSAL = 60.0
# A count may not take more than this part of the time of a disk.
RECOUNT_SHARE = 0.01
# Each further start means that a file with two names was changed meanwhile, whose names cannot be told from each other.
STARTS = 3
# Each further walk means that a directory was renamed during the one before, so that something may have been passed by.
WALKS = 5
# A change lasts as long as its system calls; copying a huge file is the longest of them.
PATIENCE = 300.0


@dataclass(frozen=True, slots=True)
class Quota:
    """How much may be in a home; None: any number. *files* also bounds the number of directories, by itself."""

    bytes: int | None = None
    files: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """How much is in a home."""

    bytes: int = 0
    files: int = 0
    directories: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.bytes + other.bytes, self.files + other.files, self.directories + other.directories)


class QuotaAccount:
    """What is in one directory. Every method may be called from any thread."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.directory = directory
        self._clock = clock
        self._lock = threading.Lock()
        self._settled = threading.Condition(self._lock)
        self._used = Usage()
        self._reserved = Usage()
        self._counted_at: float | None = None
        self._took = 0.0
        self._was_refused = False
        self._is_counting = False
        # Changes under way, by the number of counts that had ended when they began.
        self._epoch = 0
        self._under_way: Counter[int] = Counter()
        self._count: _Count | None = None

    def ledger(self, quota: Quota) -> Ledger:
        """Return what a storage over the directory tells, for a user who may have as much as *quota* says."""
        return _QuotaLedger(self, quota)

    @property
    def used(self) -> Usage:
        """What is in the directory: before the first count is over, what has come since the start."""
        with self._lock:
            return self._used

    @property
    def is_counted(self) -> bool:
        """Tell whether a count has come to its end."""
        return self._counted_at is not None

    @property
    def is_due(self) -> bool:
        """Tell whether it is time to count."""
        if self._counted_at is None:
            return not self._is_counting
        wait = RECOUNT_AFTER_REFUSAL if self._was_refused else RECOUNT_AFTER
        return self._clock() - self._counted_at >= max(wait, self._took / RECOUNT_SHARE) and not self._is_counting

    def count(self, *, within: float | None = None, is_stopped: Callable[[], bool] = lambda: False) -> bool:
        """
        Count what is in the directory; tell whether that came to its end. Blocks.

        Gives up after *within* seconds, when *is_stopped* says so, and at once while another count runs.
        """
        with self._lock:
            if self._is_counting:
                return False
            self._is_counting = True
        began = self._clock()

        def is_over() -> bool:
            return is_stopped() or (within is not None and self._clock() - began > within)

        try:
            for start in range(1, STARTS + 1):
                patience = PATIENCE if within is None else within
                if self._count_all(is_over, patience, may_be_spoilt=start == STARTS):
                    self._counted_at = self._clock()
                    self._took = self._counted_at - began
                    self._was_refused = False
                    return True
                if is_over():
                    break
            return False
        finally:
            with self._lock:
                self._count = None
                self._is_counting = False

    def free_bytes(self, quota: Quota) -> int | None:
        """Return how many bytes may still come."""
        if quota.bytes is None:
            return None
        with self._lock:
            return max(0, quota.bytes - max(0, self._used.bytes) - self._reserved.bytes)

    def _count_all(self, is_over: Callable[[], bool], patience: float, *, may_be_spoilt: bool) -> bool:
        """Walk until nothing was passed by, take the sum; tell whether it came to that."""
        seen = Tally()
        with self._lock:
            # Only changes that tell this count of all they do may overlap its walk.
            count = self._count = _Count(self._next_epoch())
            if not self._have_earlier_ended(patience):
                return False
        for walk in range(1, WALKS + 1):
            if not tally(self.directory, seen, is_over):
                return False
            with self._lock:
                count.ended_at = self._next_epoch()
                if not self._have_earlier_ended(patience):
                    return False
                if count.is_spoilt and not may_be_spoilt:
                    return False
                if not count.is_confused:
                    break
                if walk < WALKS:
                    count.go_on()
        found = count.sum(seen)
        with self._lock:
            self._used = found + count.since
            self._count = None
        return True

    def _next_epoch(self) -> int:
        self._epoch += 1
        return self._epoch

    def _have_earlier_ended(self, patience: float) -> bool:
        """Wait for the changes of earlier epochs, up to *patience* seconds; tell whether they have ended."""
        return self._settled.wait_for(lambda: all(epoch >= self._epoch for epoch in self._under_way), patience)

    # --- for changes

    def begin(self) -> int:
        """Begin a change; return what end() wants to know."""
        with self._lock:
            self._under_way[self._epoch] += 1
            return self._epoch

    def reserve(self, wanted: Usage, quota: Quota, *, beyond: int = 0) -> bool:
        """Set *wanted* aside; tell whether there was room for it."""
        with self._lock:
            total = self._used + self._reserved + wanted
            if (
                _is_above(wanted.bytes, total.bytes, quota.bytes)
                or _is_above(wanted.files, total.files - beyond, quota.files)
                or _is_above(wanted.directories, total.directories, quota.files)
            ):
                self._was_refused = True
                return False
            self._reserved += wanted
            return True

    def reserve_bytes(self, wanted: int, quota: Quota) -> int:
        """Set as many of *wanted* bytes aside as there is room for; return how many."""
        with self._lock:
            if quota.bytes is not None:
                left = quota.bytes - max(0, self._used.bytes) - self._reserved.bytes
                if left < wanted:
                    self._was_refused = True
                    wanted = max(0, left)
            self._reserved += Usage(bytes=wanted)
            return wanted

    def end(self, epoch: int, reserved: Usage, events: list[_Event]) -> None:
        """End a change that had set *reserved* aside, and that brought about *events*."""
        with self._lock:
            delta = Usage()
            for event in events:
                delta += event.delta
            self._reserved += Usage(-reserved.bytes, -reserved.files, -reserved.directories)
            self._used += delta
            self._under_way[epoch] -= 1
            is_last = not self._under_way[epoch]
            if is_last:
                del self._under_way[epoch]
            count = self._count
            if count is not None:
                count.tell(epoch, events, delta)
                if is_last:
                    self._settled.notify_all()

    def note(self, epoch: int, identity: int, after: int) -> None:
        """Note in the middle of a change what a file is about to be."""
        with self._lock:
            if self._count is not None:
                self._count.touch(epoch, identity, after)


def _is_above(wanted: int, total: int, limit: int | None) -> bool:
    return wanted > 0 and limit is not None and total > limit


class QuotaAccounts:
    """The accounts of a process, made when they are first asked for; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._accounts: dict[str, QuotaAccount] = {}
        self.is_stopped = False

    def of(self, directory: Path) -> QuotaAccount:
        """Return the account of *directory*. Blocks for a moment."""
        path = os.path.realpath(directory)
        with self._lock:
            account = self._accounts.get(path)
            if account is None:
                account = self._accounts[path] = QuotaAccount(Path(path))
            return account

    def ledger(self, directory: Path) -> Ledger:
        """Return what to tell for somebody whom no quota binds: changes count where others have one."""
        with self._lock:
            account = self._accounts.get(os.path.realpath(directory)) if self._accounts else None
        return NO_LEDGER if account is None else account.ledger(Quota())

    def stop(self) -> None:
        """Have every count end soon."""
        self.is_stopped = True

    def recount(self) -> int:
        """Count what is due, one after the other; return how many accounts that were. Blocks for long."""
        with self._lock:
            accounts = list(self._accounts.values())
        return sum(account.count(is_stopped=lambda: self.is_stopped) for account in accounts if account.is_due)


class _QuotaLedger(Ledger):
    """An account, seen through a user's limits."""

    __slots__ = ("_account", "_quota")

    def __init__(self, account: QuotaAccount, quota: Quota) -> None:
        self._account = account
        self._quota = quota

    def change(self) -> Change:
        """Begin an operation."""
        return _Change(self._account, self._quota)

    def free_bytes(self) -> int | None:
        """Return how many bytes may still come."""
        return self._account.free_bytes(self._quota)


@dataclass(frozen=True, slots=True)
class _Event:
    """What happened to one file or directory, and what it is now: its size, DIRECTORY, or None when that was noted."""

    identity: int
    delta: Usage
    after: int | None
    is_move_of_directory: bool = False
    has_two_names: bool = False


class _Change(Change):
    """One operation on a tree that is counted."""

    __slots__ = ("_account", "_epoch", "_events", "_going", "_quota", "_reserved")

    def __init__(self, account: QuotaAccount, quota: Quota) -> None:
        self._account = account
        self._quota = quota
        self._reserved = Usage()
        self._events: list[_Event] = []
        self._going: dict[int, int] = {}

    def __enter__(self) -> Change:
        self._epoch = self._account.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        stayed = [_Event(name, Usage(), size) for name, size in self._going.items()]
        self._account.end(self._epoch, self._reserved, stayed + self._events)

    def need_file(self, *, beyond: int = 0) -> None:
        """Ask for one more file."""
        self._need(Usage(files=1), beyond)

    def need_directory(self) -> None:
        """Ask for one more directory."""
        self._need(Usage(directories=1), 0)

    def need_bytes(self, count: int) -> int:
        """Ask for *count* more bytes."""
        granted = self._account.reserve_bytes(count, self._quota)
        self._reserved += Usage(bytes=granted)
        return granted

    def came(self, status: os.stat_result) -> None:
        """Tell of a new name."""
        self._tell(status, 1, _size(status))

    def going(self, status: os.stat_result) -> None:
        """Tell of what is about to be removed."""
        if stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode):
            name = identity(status)
            self._going[name] = _size(status)
            self._account.note(self._epoch, name, GONE)

    def went(self, status: os.stat_result) -> None:
        """Tell that it is no longer there."""
        self._going.pop(identity(status), None)
        self._tell(status, -1, None)

    def moved(self, status: os.stat_result) -> None:
        """Tell of a new name for what was there."""
        self._tell(status, 0, _size(status))

    def resized(self, status: os.stat_result, before: int, after: int) -> None:
        """Tell of a new size."""
        self._events.append(_Event(identity(status), Usage(bytes=after - before), after))

    def _need(self, wanted: Usage, beyond: int) -> None:
        if not self._account.reserve(wanted, self._quota, beyond=beyond):
            raise StorageError(Kind.QUOTA)
        self._reserved += wanted

    def _tell(self, status: os.stat_result, sign: int, after: int | None) -> None:
        name = identity(status)
        if stat.S_ISDIR(status.st_mode):
            self._events.append(_Event(name, Usage(directories=sign), after, is_move_of_directory=sign == 0))
        elif stat.S_ISREG(status.st_mode):
            delta = Usage(sign * status.st_size, sign)
            self._events.append(_Event(name, delta, after, has_two_names=status.st_nlink > 1))


def _size(status: os.stat_result) -> int:
    return DIRECTORY if stat.S_ISDIR(status.st_mode) else status.st_size


class _Count:
    """A count under way, and what operations tell it; used under the account's lock, but for sum()."""

    def __init__(self, began_at: int) -> None:
        self.began_at = began_at  # a change that began in an earlier epoch was over before the walk
        self.ended_at: int | None = None  # a change that began in this epoch or later came after the walk
        self.is_confused = False  # a directory was renamed: the walk may have passed something by
        self.is_spoilt = False  # a file with two names was changed
        self.since = Usage()  # what changes after the walk brought about
        self._walks = 1
        self._touched: dict[int, int] = {}
        self._touched_since: dict[int, int] = {}

    def tell(self, epoch: int, events: list[_Event], delta: Usage) -> None:
        """Take in what a change has brought about."""
        if epoch < self.began_at:
            return
        is_late = self._is_late(epoch)
        for event in events:
            if event.after is not None:
                self.touch(epoch, event.identity, event.after)
            self.is_confused = self.is_confused or (event.is_move_of_directory and not is_late)
            self.is_spoilt = self.is_spoilt or event.has_two_names
        if is_late:
            self.since += delta

    def touch(self, epoch: int, identity: int, after: int) -> None:
        """Note what a file is now."""
        if epoch < self.began_at:
            return
        (self._touched_since if self._is_late(epoch) else self._touched)[identity] = after

    def go_on(self) -> None:
        """Begin another walk."""
        self._touched.update(self._touched_since)
        self._touched_since = {}
        self.since = Usage()
        self.ended_at = None
        self.is_confused = False
        self._walks += 1

    def sum(self, seen: Tally) -> Usage:
        """Return what there was when the last walk ended; no change adds to what this looks at any more."""
        return _sum(self._sizes(seen))

    def _sizes(self, seen: Tally) -> Iterator[int]:
        done = set(self._touched)
        for name, size in zip(seen.identities, seen.sizes, strict=True):
            if name not in done:
                yield size
                if self._walks > 1:
                    done.add(name)
        yield from self._touched.values()

    def _is_late(self, epoch: int) -> bool:
        return self.ended_at is not None and epoch >= self.ended_at


def _sum(sizes: Iterator[int]) -> Usage:
    files = directories = total = 0
    for size in sizes:
        if size >= 0:
            files += 1
            total += size
        elif size == DIRECTORY:
            directories += 1
    return Usage(total, files, directories)
