"""
The reports of a storage about one operation, as a counted tree takes them: a ledger and its changes
(storage/quota/ledger.py).

A ledger is an account seen through one user's limits: sessions of several users may share a home.
"""

from __future__ import annotations

import os
from types import TracebackType

from ftpsd.storage.base import Kind, StorageError
from ftpsd.storage.quota.account import Account
from ftpsd.storage.quota.count import Event
from ftpsd.storage.quota.ledger import Change, Ledger
from ftpsd.storage.quota.tally import DIRECTORY, GONE, counted_size, identity
from ftpsd.values.quota import ENDLESS, Quota, Standing, Usage


class QuotaLedger(Ledger):
    """An account, seen through a user's limits."""

    __slots__ = ("_account", "_quota")

    def __init__(self, account: Account, quota: Quota) -> None:
        self._account = account
        self._quota = quota

    def change(self) -> Change:
        """Begin an operation."""
        return QuotaChange(self._account, self._quota)

    def require_counted(self) -> None:
        """Refuse operations that need room until a first count has come to its end; without a quota allow them."""
        if self._quota != ENDLESS and not self._account.is_counted:
            raise StorageError(Kind.COUNTING if self._account.unseen is None else Kind.UNCOUNTED)

    def free_bytes(self) -> int | None:
        """Return how many bytes may still come."""
        self.require_counted()
        return self._account.free_bytes(self._quota)

    def standing(self) -> Standing | None:
        """Return the contents and the quota."""
        self.require_counted()
        return None if self._quota == ENDLESS else Standing(self._account.counted, self._quota)


class QuotaChange(Change):
    """One operation on a tree that is counted."""

    __slots__ = ("_account", "_epoch", "_events", "_going", "_quota", "_reserved")

    def __init__(self, account: Account, quota: Quota) -> None:
        self._account = account
        self._quota = quota
        self._reserved = Usage()
        self._events: list[Event] = []
        self._going: dict[int, int] = {}

    def __enter__(self) -> Change:
        self._epoch = self._account.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        stayed = [Event(name, Usage(), size) for name, size in self._going.items()]
        self._account.end(self._epoch, self._reserved, stayed + self._events)

    def need_file(self, *, beyond: int = 0) -> None:
        """Reserve one more file."""
        self._need(Usage(files=1), beyond)

    def need_directory(self) -> None:
        """Reserve one more directory."""
        self._need(Usage(directories=1), 0)

    def need_bytes(self, count: int) -> int:
        """Reserve *count* more bytes."""
        granted = self._account.reserve_bytes(count, self._quota)
        self._reserved += Usage(bytes=granted)
        return granted

    def may_lend(self, count: int) -> bool:
        """
        Return whether there is room for a copy that is about to replace its original.

        It is above the quota, but all there is stays below twice the quota: else many copies at once would fill the
        disk. Copies that are made at the same moment do not see each other.
        """
        most = self._quota.bytes
        return most is None or self._account.used.bytes + count <= 2 * most

    def lend(self, count: int) -> None:
        """Let bytes not count: when the change ends, as many less are set aside as there are more."""
        self._reserved += Usage(bytes=count)

    def take_back(self, count: int) -> None:
        """Let them count again."""
        self._reserved += Usage(bytes=-count)

    def came(self, status: os.stat_result) -> None:
        """Report a new name."""
        self._report(status, 1, counted_size(status))

    def going(self, status: os.stat_result) -> None:
        """Report a name that is about to be removed."""
        size = counted_size(status)
        if size is not None:
            name = identity(status)
            self._going[name] = size
            self._account.note(self._epoch, name, GONE)

    def went(self, status: os.stat_result) -> None:
        """Report that it is no longer there."""
        self._going.pop(identity(status), None)
        self._report(status, -1, None)

    def moved(self, status: os.stat_result) -> None:
        """Report a new name of an existing file."""
        self._report(status, 0, counted_size(status))

    def resized(self, status: os.stat_result, before: int, after: int) -> None:
        """Report a new size."""
        self._events.append(Event(identity(status), Usage(bytes=after - before), after))

    def _need(self, wanted: Usage, beyond: int) -> None:
        if not self._account.reserve(wanted, self._quota, beyond=beyond):
            raise StorageError(Kind.QUOTA)
        self._reserved += wanted

    def _report(self, status: os.stat_result, sign: int, after: int | None) -> None:
        name, size = identity(status), counted_size(status)
        if size == DIRECTORY:
            self._events.append(Event(name, Usage(directories=sign), after, is_move_of_directory=sign == 0))
        elif size is not None:
            delta = Usage(sign * size, sign)
            self._events.append(Event(name, delta, after, has_two_names=status.st_nlink > 1))
