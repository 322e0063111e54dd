"""
The events between the cursor of a sink and the last one that has come out of the ledger, in the order of the ledger.

Events that share a key are delivered one after the other. An event with a row of its own in the state file does not
keep the cursor where it is; those that wait behind it with its keys get one, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ftpsd.events.progress_tables import Row
from ftpsd.events.record_tables import Record


@dataclass(slots=True)
class Item:
    """One event that is not taken yet."""

    record: Record
    attempts: int = 0
    due: float = 0.0
    reason: str = ""
    is_busy: bool = False
    has_row: bool = False  # the cursor may pass it
    is_stored: bool = False  # the row is in the file


class Window:
    """The events of one sink that are not taken, by number: they are added in that order."""

    def __init__(self) -> None:
        self._items: dict[int, Item] = {}
        self._rows = 0  # items that have one

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items.values())

    def clear(self) -> None:
        """Hold nothing."""
        self._items.clear()
        self._rows = 0

    def add(self, record: Record, row: Row | None) -> None:
        """Add *record*, of which the state file has *row*."""
        item = self._items[record.number] = Item(record)
        if row is not None:
            item.attempts, item.due, item.reason = row.attempts, row.due, row.reason
            item.has_row = item.is_stored = True
            self._rows += 1

    def give_row(self, item: Item) -> None:
        """Note that *item* has a row of its own."""
        self._rows += not item.has_row
        item.has_row = True

    def stored(self, number: int) -> None:
        """Note that the row of the event *number* is in the file, if the event is still here."""
        item = self._items.get(number)
        if item is not None:
            item.is_stored = True

    def remove(self, item: Item) -> None:
        """Forget *item*, which is taken or given up."""
        if self._items.pop(item.record.number, None) is not None:
            self._rows -= item.has_row

    def cursor(self, last: int) -> int:
        """Return the number up to which all is taken, or has a row; *last* is that of the newest event."""
        lowest = next((number for number, item in self._items.items() if not item.has_row), None)
        return last if lowest is None else lowest - 1

    def ready(self, now: float, most: int) -> list[Item]:
        """Return what goes next: nothing of which a key is under way, or waits in front of it."""
        items: list[Item] = []
        held: set[str] = set()
        for item in self._items.values():
            keys = item.record.keys
            if item.is_busy or item.due > now or not held.isdisjoint(keys):
                held.update(keys)
                continue
            items.append(item)
            if len(items) >= most:
                break
        return items

    def behind(self) -> list[Item]:
        """Return the items without a row behind one that has failed: they must not keep the cursor where it is."""
        held: set[str] = set()
        found: list[Item] = []
        for item in self._items.values() if self._rows else ():
            if item.is_busy:
                continue
            if item.has_row:
                held.update(item.record.keys)
            elif not held.isdisjoint(item.record.keys):
                found.append(item)
                held.update(item.record.keys)
        return found

    def next_due(self, now: float) -> float:
        """Return the time at which the next item that waits for another attempt is due, 0 for none."""
        if not self._rows:
            return 0.0
        return min((item.due for item in self._items.values() if item.due > now and not item.is_busy), default=0.0)
