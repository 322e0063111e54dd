"""
Files that are to stay as they are: what a tree asks before it removes, replaces, changes or moves one.

Only files that are there are kept. A new one may come to a kept name, and is kept from then on.
"""

from __future__ import annotations

from typing import Protocol

from ftpsd.storage.base import Kind, StorageError
from ftpsd.storage.disk.walk import Place


class Holding(Protocol):
    """The decisions about what stays, by where it lies on this machine. Every call blocks. Raises: StorageError."""

    def on(self, place: Place, /) -> str | None:
        """Return the hold on the file or directory at *place*."""

    def inside(self, place: Place, /) -> str | None:
        """Return a hold on the directory at *place*, or on anything that may be in it, however deep."""


class Unheld:
    """No holds."""

    def on(self, place: Place, /) -> str | None:
        """Return none."""
        return None

    def inside(self, place: Place, /) -> str | None:
        """Return none."""
        return None


UNHELD = Unheld()


def require_free(hold: str | None) -> None:
    """Raises: HELD for a *hold*."""
    if hold is not None:
        raise StorageError(Kind.HELD, why=f"legal hold {hold}")
