"""Files that are not as they were sealed, or cannot be opened with the keys that are here: reasons, and the alarm."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from ftpsd.storage.base import Kind, StorageError


class Reason(StrEnum):
    """Why a sealed file cannot be read; also labels of a metric."""

    ALTERED = "altered"  # bytes of it are not those that were sealed
    CUT = "cut"  # it is shorter or longer than it was
    UNFINISHED = "unfinished"  # an upload that was never completed stands under the name of a file
    NOT_SEALED = "not-sealed"  # a plain file in an encrypted tree
    UNKNOWN_KEY = "unknown-key"  # the configuration does not have its key
    MISSING_KEY = "missing-key"  # the data key is lost
    DESTROYED_KEY = "destroyed-key"  # the data key was destroyed by `ftpsd shred`
    FOREIGN = "foreign"  # it was sealed in another tree


@dataclass(frozen=True, slots=True)
class Damage:
    """A file at *path* of this machine that could not be opened; *detail* is for the log."""

    reason: Reason
    path: str
    detail: str


Alarm = Callable[[Damage], None]


def ignore(damage: Damage) -> None:
    """Raise no alarm."""


class DamagedError(StorageError):
    """A file that cannot be opened."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(Kind.DAMAGED, why=f"{reason}: {detail}" if detail else str(reason))
        self.damage = reason
        self.detail = detail


def path_of(fd: int) -> str:
    """Return the path of the open file *fd* on this machine, for the log."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return "?"
