"""
One count under way, with the reports of operations that run meanwhile.

Operations note which files they touched. The walk's entries for those are thrown away and the state that the operation
left behind is taken. Changes that begin after the walk are added. Where a directory was renamed under the walk's feet,
another walk adds the entries that the first one may have missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ftpsd.storage.quota.tally import DIRECTORY, Tally
from ftpsd.values.quota import Usage


@dataclass(frozen=True, slots=True)
class Event:
    """A change of one file or directory, and its state now: its size, DIRECTORY, or None when that was noted."""

    identity: int
    delta: Usage
    after: int | None
    is_move_of_directory: bool = False
    has_two_names: bool = False


class Count:
    """A count under way, with the reports of operations; used under the account's lock, but for sum()."""

    def __init__(self, began_at: int) -> None:
        self.began_at = began_at  # a change that began in an earlier epoch was over before the walk
        self.ended_at: int | None = None  # a change that began in this epoch or later came after the walk
        self.is_confused = False  # a directory was renamed: the walk may have passed something by
        self.is_spoilt = False  # a file with two names was changed
        self.since = Usage()  # the effect of changes after the walk
        self._walks = 1
        self._touched: dict[int, int] = {}
        self._touched_since: dict[int, int] = {}

    def tell(self, epoch: int, events: list[Event], delta: Usage) -> None:
        """Take in the effect of a change."""
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
        """Note the state of a file now."""
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
        """Return the contents at the end of the last walk; no change adds to the tables read here any more."""
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
