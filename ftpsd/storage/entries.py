"""
Entries: what is told about a file, and directories read piece by piece.

A link is told as what it leads to inside the jail; one that leads nowhere or out is not told at all.
A directory can hold a million names. Of what one costs, two thirds are the kernel's, for stat; so names are looked at
many at a time, and everything that follows from st_mode is looked up.
"""

from __future__ import annotations

import os
import stat
from functools import lru_cache
from itertools import islice

from ftpsd.storage.base import StorageError, from_oserror
from ftpsd.storage.names import are_plain, is_reserved, names_of
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
_new = tuple.__new__
_LINK = EntryType.LINK
_TYPES = {stat.S_IFREG: EntryType.FILE, stat.S_IFDIR: EntryType.DIRECTORY, stat.S_IFLNK: EntryType.LINK}


def entry_of(name: str, status: os.stat_result) -> Entry:
    """Describe *name* by its *status*."""
    kind, mode, perm = _by_mode(status.st_mode)
    file = (status.st_dev, status.st_ino)
    return Entry(name, kind, status.st_size, status.st_mtime_ns, mode, file, status.st_nlink, perm)


@lru_cache(maxsize=1024)
def _by_mode(st_mode: int) -> tuple[EntryType, int, str]:
    """Return what is told of a file by its st_mode: type, permission bits, perm letters."""
    kind = _TYPES.get(st_mode & _TYPE_BITS, EntryType.OTHER)
    return kind, st_mode & 0o7777, FULL_PERM[kind]


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

    def read(self, count: int) -> list[Entry]:
        """Return up to *count* further entries."""
        try:
            while found := list(islice(self._scan, count)):
                if entries := self._described(found):
                    return entries
        except OSError as error:
            raise from_oserror(error, self._path) from error
        return []

    def close(self) -> None:
        """Let the directory go."""
        self._scan.close()
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _described(self, found: list[os.DirEntry[str]]) -> list[Entry]:
        """Describe those of the names *found* that are told."""
        names = names_of(found)
        is_plain = are_plain(names)
        entries = []
        for name, one in zip(names, found, strict=True):
            # To what holds a control character no path leads.
            if not is_plain and (is_reserved(name) or not is_listable(name)):
                continue
            try:
                status = one.stat(follow_symlinks=False)
                kind, mode, perm = _by_mode(status.st_mode)
                if kind is _LINK:
                    with self._root.find(self._path / name, follow=True) as place:
                        status = place.lstat()
                    kind, mode, perm = _by_mode(status.st_mode)
            except FileNotFoundError:  # removed since the directory was read
                continue
            except StorageError:  # a link that leads nowhere or out
                continue
            if kind is not _LINK:
                # As in entry_of, written out and past the __new__ of named tuples, which is Python: 20 ms in 100,000.
                file = (status.st_dev, status.st_ino)
                told = (name, kind, status.st_size, status.st_mtime_ns, mode, file, status.st_nlink, perm)
                entries.append(_new(Entry, told))
        return entries
