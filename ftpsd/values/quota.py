"""
Quotas: the most that a home may hold, and how much it holds.

Counted are every regular file below the home, with its size, also the hidden partials of unfinished uploads, which
would otherwise be a way around the quota; and every directory. A file with two names counts twice.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quota:
    """The most that may be in a home; None: any number. *files* also bounds the number of directories, by itself."""

    bytes: int | None = None
    files: int | None = None

    def allows(self, wanted: Usage, total: Usage, *, beyond: int = 0) -> bool:
        """Return whether *wanted* fits when it makes *total*, with up to *beyond* files more than the quota has."""
        return (
            _is_within(wanted.bytes, total.bytes, self.bytes)
            and _is_within(wanted.files, total.files - beyond, self.files)
            and _is_within(wanted.directories, total.directories, self.files)
        )


ENDLESS = Quota()


@dataclass(frozen=True, slots=True)
class Usage:
    """The contents of a home, in numbers."""

    bytes: int = 0
    files: int = 0
    directories: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.bytes + other.bytes, self.files + other.files, self.directories + other.directories)


@dataclass(frozen=True, slots=True)
class Standing:
    """The contents of a home, and the most that they may be."""

    used: Usage
    quota: Quota


def _is_within(wanted: int, total: int, limit: int | None) -> bool:
    return wanted <= 0 or limit is None or total <= limit
