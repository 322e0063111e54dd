"""
The tally: one walk through a tree, noting every file with its size and every directory.

Links are not followed; each counts as an empty file, for clients can make them. 16 bytes are kept for each name. An
entry that cannot be looked at is not nothing: a tally that has passed something by is none.
"""

from __future__ import annotations

import os
import stat
import time
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ftpsd.storage.disk.descent import Descent, Found

# The size of an entry that has none.
DIRECTORY = -1
GONE = -2

# The status of each file that counts, and does not lie in the directory.
Elsewhere = Callable[[], Iterable[os.stat_result]]

# After this many names other threads get the processor for a while: a walk is thousands of short calls, each of which
# would win the interpreter back from the reactor.
_STRIDE = 500
_REST = 0.001


@dataclass(slots=True)
class Tally:
    """The entries of a walk: their identity, and how large or DIRECTORY; and the first that it could not look at."""

    identities: array[int] = field(default_factory=lambda: array("q"))
    sizes: array[int] = field(default_factory=lambda: array("q"))
    unseen: str | None = None


def identity(status: os.stat_result) -> int:
    """Return a number that identifies the file of *status* as long as it is there."""
    return hash((status.st_dev, status.st_ino))


def counted_size(status: os.stat_result) -> int | None:
    """Return the counted size of a file, DIRECTORY for a directory, None for an entry that does not count."""
    match stat.S_IFMT(status.st_mode):
        case stat.S_IFDIR:
            return DIRECTORY
        case stat.S_IFREG:
            return status.st_size
        case stat.S_IFLNK:
            return 0
        case _:
            return None


def nothing() -> Iterable[os.stat_result]:
    """Return no files."""
    return ()


def tally(
    directory: Path, seen: Tally, is_stopped: Callable[[], bool] = lambda: False, elsewhere: Elsewhere = nothing
) -> bool:
    """
    Walk through *directory*, which does not count itself, and add to *seen*, with the files that count for it and lie
    *elsewhere*.

    False when *is_stopped*, when it is not there, or when an entry in it could not be looked at, which *seen* names.
    """
    if is_stopped():
        return False
    looked_at = 0
    descent = Descent(os.fsencode(directory))
    try:
        for found in descent:
            looked_at += 1
            if is_stopped():
                return False
            if looked_at % _STRIDE == 0:
                time.sleep(_REST)
            try:
                _note(found, seen)
            except FileNotFoundError:  # removed since the directory was read
                pass
            except OSError:
                descent.miss(found.entry.name)
    except FileNotFoundError:
        return False
    except OSError:
        descent.unseen = "."
    try:
        for status in elsewhere():
            seen.identities.append(identity(status))
            seen.sizes.append(status.st_size)
    except OSError:
        descent.unseen = "what waits for its verdict"
    seen.unseen = seen.unseen or descent.unseen
    return seen.unseen is None


def _note(found: Found, seen: Tally) -> None:
    status = found.entry.stat(follow_symlinks=False)
    size = counted_size(status)
    if size is None:
        return
    # Each of several names of a file counts, so that their number is that of the names.
    has_two_names = size != DIRECTORY and status.st_nlink > 1
    one = hash((identity(status), found.inside, found.entry.name)) if has_two_names else identity(status)
    seen.identities.append(one)
    seen.sizes.append(size)
