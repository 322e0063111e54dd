"""
The ledger: what a storage tells of every byte and every name that comes or goes in its tree.

A `Change` spans one operation: what it needs is asked for before the system call that takes it, what became of it is
told after the call, and both are settled when the change ends. Whoever counts (quota/) thus sees nothing twice and
misses nothing, also where an operation fails half-way. The classes here count nothing: they are what a tree without a
quota has, and what those that count are made from.
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
        """Ask for one more file, *beyond* of them above the limit. Raises: QUOTA."""

    def need_directory(self) -> None:
        """Ask for one more directory. Raises: QUOTA."""

    def need_bytes(self, count: int) -> int:
        """Ask for *count* more bytes; return how many of them may be written."""
        return count

    def may_lend(self, count: int) -> bool:
        """Return whether a copy of *count* bytes may be there for a while without counting."""
        return True

    def lend(self, count: int) -> None:
        """Let *count* bytes that this change brings about not count, until they are taken back."""

    def take_back(self, count: int) -> None:
        """Let *count* bytes that were lent count again, in one with what else this change brings about."""

    def came(self, status: os.stat_result) -> None:
        """Tell of a name that is there now."""

    def going(self, status: os.stat_result) -> None:
        """Tell of what is about to be removed. Once it is, its number may at once be that of another file."""

    def went(self, status: os.stat_result) -> None:
        """Tell that it is no longer there; without this it has stayed."""

    def moved(self, status: os.stat_result) -> None:
        """Tell of something that has another name now."""

    def resized(self, status: os.stat_result, before: int, after: int) -> None:
        """Tell that the file of *status* had *before* bytes and has *after*."""


class Ledger:
    """Takes down what happens in one tree."""

    __slots__ = ()

    def change(self) -> Change:
        """Begin an operation."""
        return _UNCOUNTED

    def require_counted(self) -> None:
        """Go on only where it is known how much there is. Raises: COUNTING."""

    def free_bytes(self) -> int | None:
        """Return how many bytes may still come, None for any number. Raises: COUNTING."""
        return None

    def standing(self) -> Standing | None:
        """Return what there is and may be, None where that is any number. Raises: COUNTING."""
        return None


_UNCOUNTED = Change()
NO_LEDGER = Ledger()
