"""
The account of one home.

* An account belongs to a directory and is shared by all sessions that change it; each looks at it through its own
  user's limits. Its lock is held for some additions, never during a system call.
* It lives in memory. A stored count could be wrong after a crash, or after the operator or another program has changed
  the home; a fresh count cannot, and costs some microseconds a file.
* Counting and operations never wait for each other: how the two come together is in count.py.
* An entry that cannot be looked at is not nothing. A count that has passed something by counts nothing: until one has
  come to its end, no session may store more than a quota surely allows; after that the earlier count, kept exact,
  holds.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ftpsd.storage.quota.count import Count, Event
from ftpsd.storage.quota.tally import Elsewhere, Tally, nothing, tally
from ftpsd.values.quota import Quota, Usage

# Seconds. Another program may delete or add files: an older count is repeated at the next login, and after a refusal
# sooner, because there may be room by now.
RECOUNT_AFTER = 600.0
RECOUNT_AFTER_REFUSAL = 60.0
# A count may not take more than this part of the time of a disk.
RECOUNT_SHARE = 0.01
# A count starts again when a file with several links changed meanwhile: the links cannot be told apart.
STARTS = 3
# A walk starts again when a directory was renamed during the one before, so that something may have been passed by.
WALKS = 5
# A change lasts as long as its system calls; copying a huge file is the longest of them.
PATIENCE = 300.0


class Account(Protocol):
    """The account of one directory. Every method may be called from any thread."""

    @property
    def directory(self) -> Path:
        """The directory."""

    @property
    def used(self) -> Usage:
        """The contents of the directory; before the first count is over, the changes since the start."""

    @property
    def counted(self) -> Usage:
        """The counted part: contents and reservations, without copies that are about to replace a file."""

    @property
    def is_counted(self) -> bool:
        """Whether a count has come to its end: until then no session may store what a quota could forbid."""

    @property
    def unseen(self) -> str | None:
        """The first path that the last count could not look at."""

    @property
    def is_due(self) -> bool:
        """Whether it is time to count."""

    def count_soon(self) -> None:
        """Have it be counted as soon as that can be: others have changed the directory."""

    def count(
        self,
        *,
        patience: float = PATIENCE,
        is_stopped: Callable[[], bool] = lambda: False,
        elsewhere: Elsewhere = nothing,
    ) -> bool:
        """
        Count the contents of the directory, and *elsewhere*; return whether the count came to its end. Blocks.

        Gives up when *is_stopped* returns True, when changes take longer than *patience* seconds, and at once while
        another count runs.
        """

    def free_bytes(self, quota: Quota) -> int | None:
        """Return how many bytes may still come, None for any number."""

    def begin(self) -> int:
        """Begin a change; return the argument of end()."""

    def reserve(self, wanted: Usage, quota: Quota, *, beyond: int = 0) -> bool:
        """Set *wanted* aside; return whether there was room for it."""

    def reserve_bytes(self, wanted: int, quota: Quota) -> int:
        """Set as many of *wanted* bytes aside as there is room for; return how many."""

    def end(self, epoch: int, reserved: Usage, events: list[Event]) -> None:
        """End a change that had set *reserved* aside, and that brought about *events*."""

    def note(self, epoch: int, identity: int, after: int) -> None:
        """Note in the middle of a change the coming state of a file."""


class Misses:
    """The last count of a directory that passed something by, until one comes to its end."""

    def __init__(self) -> None:
        self.unseen: str | None = None  # the first path that it could not look at
        self._tried_at = 0.0
        self._took = 0.0

    def note(self, unseen: str, began: float, now: float) -> None:
        """Note that a count from *began* to *now* could not look at *unseen*."""
        self.unseen, self._tried_at, self._took = unseen, now, now - began

    def forget(self) -> None:
        """Forget it: a count has come to its end."""
        self.unseen = None

    def is_too_soon(self, now: float) -> bool:
        """Return whether a count would come too soon after it."""
        wait = max(RECOUNT_AFTER_REFUSAL, self._took / RECOUNT_SHARE)
        return self.unseen is not None and now - self._tried_at < wait


class QuotaAccount:
    """The account of one directory that this process alone changes."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.directory = directory
        self._clock = clock
        self._lock = threading.Lock()
        self._settled = threading.Condition(self._lock)
        self._used = Usage()
        self._reserved = Usage()
        self._counted_at: float | None = None
        self._misses = Misses()
        self._missed: str | None = None  # paths that the walk under way could not look at
        self._took = 0.0
        self._was_refused = False
        self._is_stale = False  # others have changed the directory since the last count began
        self._is_counting = False
        # Changes under way, by the number of counts that had ended when they began.
        self._epoch = 0
        self._under_way: Counter[int] = Counter()
        self._count: Count | None = None

    @property
    def used(self) -> Usage:
        """The contents of the directory: before the first count is over, the changes since the start."""
        with self._lock:
            return self._used

    @property
    def counted(self) -> Usage:
        """The counted part: contents and reservations, without copies that are about to replace a file."""
        with self._lock:
            return self._used + self._reserved

    @property
    def is_counted(self) -> bool:
        """Return whether a count has come to its end: until then no session may store what a quota could forbid."""
        return self._counted_at is not None

    @property
    def unseen(self) -> str | None:
        """The first path that the last count could not look at."""
        return self._misses.unseen

    @property
    def is_due(self) -> bool:
        """Return whether it is time to count."""
        if self._is_counting or self._misses.is_too_soon(self._clock()):
            return False
        if self._counted_at is None or self._is_stale:
            return True
        wait = RECOUNT_AFTER_REFUSAL if self._was_refused else RECOUNT_AFTER
        return self._clock() - self._counted_at >= max(wait, self._took / RECOUNT_SHARE)

    def count_soon(self) -> None:
        """Have it be counted as soon as that can be: others have changed the directory."""
        with self._lock:
            self._is_stale = True

    def count(
        self,
        *,
        patience: float = PATIENCE,
        is_stopped: Callable[[], bool] = lambda: False,
        elsewhere: Elsewhere = nothing,
    ) -> bool:
        """
        Count the contents of the directory, and *elsewhere*; return whether the count came to its end. Blocks.

        Gives up when *is_stopped* returns True, when a change takes longer than *patience* seconds, and at once while
        another count runs.
        """
        with self._lock:
            if self._is_counting:
                return False
            self._is_counting = True
            was_stale, self._is_stale = self._is_stale, False
        began = self._clock()
        try:
            for start in range(1, STARTS + 1):
                if self._count_all(is_stopped, elsewhere, patience, may_be_spoilt=start == STARTS):
                    was_stale = False
                    self._counted_at = self._clock()
                    self._took = self._counted_at - began
                    self._misses.forget()
                    self._was_refused = False
                    if self._is_stale and start < STARTS:
                        was_stale, self._is_stale = True, False
                        continue  # it was made so while this walk was under way
                    return True
                if self._has_missed(began) or is_stopped():
                    break
            return False
        finally:
            with self._lock:
                self._count = None
                self._is_counting = False
                self._is_stale = self._is_stale or was_stale

    def free_bytes(self, quota: Quota) -> int | None:
        """Return how many bytes may still come."""
        if quota.bytes is None:
            return None
        with self._lock:
            return max(0, quota.bytes - max(0, self._used.bytes) - self._reserved.bytes)

    def _count_all(
        self, is_stopped: Callable[[], bool], elsewhere: Elsewhere, patience: float, *, may_be_spoilt: bool
    ) -> bool:
        """Walk until nothing was passed by, take the sum; return whether the count came to that."""
        seen = Tally()
        with self._lock:
            # Only changes that report everything to this count may overlap its walk.
            count = self._count = Count(self._next_epoch())
            if not self._have_earlier_ended(patience):
                return False
        for walk in range(1, WALKS + 1):
            if not tally(self.directory, seen, is_stopped, elsewhere) and seen.unseen is None:
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
                    seen.unseen = None  # entries moved under the walk's feet are looked for again
        if seen.unseen is not None:
            self._missed = seen.unseen
            return False
        found = count.sum(seen)
        with self._lock:
            self._used = found + count.since
            self._count = None
        return True

    def _has_missed(self, began: float) -> bool:
        """Return whether the walk that ended just now has passed something by; then the next one waits."""
        if self._missed is None:
            return False
        self._misses.note(self._missed, began, self._clock())
        self._missed = None
        return True

    def _next_epoch(self) -> int:
        self._epoch += 1
        return self._epoch

    def _have_earlier_ended(self, patience: float) -> bool:
        """Wait for the changes of earlier epochs, up to *patience* seconds; return whether they have ended."""
        return self._settled.wait_for(lambda: all(epoch >= self._epoch for epoch in self._under_way), patience)

    # --- for changes

    def begin(self) -> int:
        """Begin a change; return the argument of end()."""
        with self._lock:
            self._under_way[self._epoch] += 1
            return self._epoch

    def reserve(self, wanted: Usage, quota: Quota, *, beyond: int = 0) -> bool:
        """Set *wanted* aside; return whether there was room for it."""
        with self._lock:
            total = self._used + self._reserved + wanted
            if not quota.allows(wanted, total, beyond=beyond):
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

    def end(self, epoch: int, reserved: Usage, events: list[Event]) -> None:
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
        """Note in the middle of a change the coming state of a file."""
        with self._lock:
            if self._count is not None:
                self._count.touch(epoch, identity, after)
