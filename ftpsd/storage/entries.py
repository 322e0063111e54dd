"""
Entries: what is told about a file, and directories read piece by piece.

A link is told as what it leads to inside the jail; one that leads nowhere or out is not told at all.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from itertools import islice

from ftpsd.storage.base import StorageError, from_oserror
from ftpsd.storage.names import is_reserved, name_of
from ftpsd.storage.walk import Root
from ftpsd.wire.listing import Entry, EntryType, is_listable
from ftpsd.wire.path import VirtualPath

# RFC 3659 7.5.5: everything the kind of entry knows. GuardedStorage takes away what the rules do not allow.
FULL_PERM = {EntryType.FILE: "adfrw", EntryType.DIRECTORY: "cdeflmp", EntryType.LINK: "df", EntryType.OTHER: "df"}
# The root is neither removed nor renamed.
ROOT_PERM = "celmp"
# An unfinished upload can be gone on with, started anew and removed; it cannot be read or renamed.
PARTIAL_PERM = "adw"

_TYPE_BITS = 0o170000
_TYPES = {stat.S_IFREG: EntryType.FILE, stat.S_IFDIR: EntryType.DIRECTORY, stat.S_IFLNK: EntryType.LINK}


def entry_of(name: str, status: os.stat_result) -> Entry:
    """Describe *name* by its *status*."""
    mode = status.st_mode
    kind = _TYPES.get(mode & _TYPE_BITS, EntryType.OTHER)
    return Entry(
        name,
        kind,
        status.st_size,
        status.st_mtime_ns,
        mode & 0o7777,
        f"{status.st_dev:x}g{status.st_ino:x}",
        status.st_nlink,
        FULL_PERM[kind],
    )


class DirectoryListing:
    """A directory of the jail read piece by piece; owns the descriptor *fd*."""

    def __init__(self, root: Root, path: VirtualPath, fd: int) -> None:
        self._root = root
        self._path = path
        self._fd = fd
        try:
            self._scan = os.scandir(fd)  # works on its own duplicate
        except BaseException:
            os.close(fd)
            raise
        self._entries: Iterator[Entry] = self._describe()

    def read(self, count: int) -> list[Entry]:
        """Return up to *count* further entries."""
        try:
            return list(islice(self._entries, count))
        except OSError as error:
            raise from_oserror(error, self._path) from error

    def close(self) -> None:
        """Let the directory go."""
        self._entries = iter(())  # it refers to us, and we hold the root open
        self._scan.close()
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _describe(self) -> Iterator[Entry]:
        for found in self._scan:
            name = name_of(found)
            if is_reserved(name) or not is_listable(name):  # a control character: no path leads there
                continue
            try:
                if found.is_symlink():
                    with self._root.find(self._path / name, follow=True) as place:
                        status = place.lstat()
                else:
                    status = found.stat(follow_symlinks=False)
            except FileNotFoundError:  # removed since the directory was read
                continue
            except StorageError:  # a link that leads nowhere or out
                continue
            if not stat.S_ISLNK(status.st_mode):
                yield entry_of(name, status)
