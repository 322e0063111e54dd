"""
The tally: one walk through a tree, noting every file with its size and every directory.

Links are not followed; each counts as an empty file, for clients can make them. One directory is open at a time, and 16
bytes are kept for each name.
"""

from __future__ import annotations

import os
import stat
import time
from array import array
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ftpsd.storage.base import StorageError
from ftpsd.storage.names import name_of
from ftpsd.storage.walk import Root
from ftpsd.wire.path import PathError, VirtualPath

# What stands for the size of what has none.
DIRECTORY = -1
GONE = -2

# After this many names other threads get the processor for a while: a walk is thousands of short calls, each of which
# would win the interpreter back from the reactor.
_STRIDE = 500
_REST = 0.001


@dataclass(frozen=True, slots=True)
class Tally:
    """What a walk saw: who it was, and how large or DIRECTORY."""

    identities: array[int] = field(default_factory=lambda: array("q"))
    sizes: array[int] = field(default_factory=lambda: array("q"))


def identity(status: os.stat_result) -> int:
    """Return a number that means the file of *status* as long as it is there."""
    return hash((status.st_dev, status.st_ino))


def counted_size(status: os.stat_result) -> int | None:
    """Return what counts as the size of a file, DIRECTORY for a directory, None for what does not count."""
    match stat.S_IFMT(status.st_mode):
        case stat.S_IFDIR:
            return DIRECTORY
        case stat.S_IFREG:
            return status.st_size
        case stat.S_IFLNK:
            return 0
        case _:
            return None


def tally(directory: Path, seen: Tally, is_stopped: Callable[[], bool] = lambda: False) -> bool:
    """
    Walk through *directory*, which does not count itself, and add to *seen*.

    False when *is_stopped*, or when it is not there.
    """
    try:
        root = Root(os.fsencode(directory), "none")
    except OSError:
        return False
    looked_at = 0
    pending = [VirtualPath()]
    while pending:
        if is_stopped():
            return False
        path = pending.pop()
        try:
            fd = root.open_directory(path)
        except StorageError:  # gone, or not ours to read
            continue
        try:
            # A directory that cannot be read to its end was removed meanwhile, and so was told.
            with suppress(OSError), os.scandir(fd) as found:
                for entry in found:
                    looked_at += 1
                    if looked_at % _STRIDE == 0:
                        if is_stopped():
                            return False
                        time.sleep(_REST)
                    if _note(entry, path, seen):
                        with suppress(PathError):  # no operation of ours can have come there
                            pending.append(path / name_of(entry))
        finally:
            os.close(fd)
    return True


def _note(entry: os.DirEntry[str], path: VirtualPath, seen: Tally) -> bool:
    """Note *entry* of the directory *path*; tell whether it is a directory."""
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:  # removed since the directory was read
        return False
    size = counted_size(status)
    is_directory = size == DIRECTORY
    if size is not None:
        # Each of several names of a file counts, so that their number is that of the names.
        has_two_names = not is_directory and status.st_nlink > 1
        seen.identities.append(hash((identity(status), path.parts, entry.name)) if has_two_names else identity(status))
        seen.sizes.append(size)
    return is_directory
