"""
The ledger: a storage's reports of every byte and every name that comes or goes in its tree.

A `Change` spans one operation: room for it is reserved before the system call that takes it, its result is reported
after the call, and both are settled when the change ends. A counting ledger (quota/) thus counts nothing twice and
misses nothing, also where an operation fails half-way. The classes here count nothing: they serve a tree without a
quota, and are the base of those that count.
"""

from __future__ import annotations

import os
from types import TracebackType

from ftpsd.values.quota import Standing


class Change:
    """One operation on a tree, entered before its first system call; `turn` is taken outside of it, never inside."""

    __slots__ = ()

    def __enter__(self) -> Change:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        return None

    def need_file(self, *, beyond: int = 0) -> None:
        """Reserve one more file, *beyond* of them above the limit. Raises: QUOTA."""

    def need_directory(self) -> None:
        """Reserve one more directory. Raises: QUOTA."""

    def need_bytes(self, count: int) -> int:
        """Reserve *count* more bytes; return how many of them may be written."""
        return count

    def may_lend(self, count: int) -> bool:
        """Return whether a copy of *count* bytes may be there for a while without counting."""
        return True

    def lend(self, count: int) -> None:
        """Lend *count* bytes of this change, which do not count until they are taken back."""

    def take_back(self, count: int) -> None:
        """Take *count* lent bytes back, which count again together with the rest of this change."""

    def came(self, status: os.stat_result) -> None:
        """Report a name that is there now."""

    def going(self, status: os.stat_result) -> None:
        """Report a name that is about to be removed. Once it is, its number may at once be that of another file."""

    def went(self, status: os.stat_result) -> None:
        """Report that it is no longer there; without this it has stayed."""

    def moved(self, status: os.stat_result) -> None:
        """Report a file that has another name now."""

    def resized(self, status: os.stat_result, before: int, after: int) -> None:
        """Report that the file of *status* had *before* bytes and has *after*."""


class Ledger:
    """A ledger of the changes in one tree."""

    __slots__ = ()

    def change(self) -> Change:
        """Begin an operation."""
        return _UNCOUNTED

    def require_counted(self) -> None:
        """Go on only where the contents are known. Raises: COUNTING."""

    def free_bytes(self) -> int | None:
        """Return how many bytes may still come, None for any number. Raises: COUNTING."""
        return None

    def standing(self) -> Standing | None:
        """Return the contents and the quota, None where there is no quota. Raises: COUNTING."""
        return None


_UNCOUNTED = Change()
NO_LEDGER = Ledger()
