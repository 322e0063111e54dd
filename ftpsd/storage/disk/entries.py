"""
Entries: the facts of a file, and directories read piece by piece.

A link is listed as the file it leads to inside the jail; one that leads nowhere or out is not listed at all. Any other
entry that cannot be looked at ends the listing: clients that mirror take a missing name for deleted.
Names come sorted, by the codes of their letters, as other servers have them. A directory can hold a million, so sorting
has bounds: `MOST_SORTED` names of one directory, `MOST_HELD` of all that are being listed. A larger directory comes in
the order of the disk.
Two thirds of the cost of an entry are the kernel's, for stat; so names are looked at many at a time, and everything
that follows from st_mode is looked up.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain, islice
from threading import Lock

from ftpsd.storage.base import Kind, StorageError
from ftpsd.storage.disk.names import are_plain, as_system_takes, is_reserved, name_of, names_of
from ftpsd.storage.disk.walk import Root
from ftpsd.storage.errnos import from_oserror
from ftpsd.values.entry import Entry, EntryType, is_listable
from ftpsd.values.path import VirtualPath

# RFC 3659 7.5.5: everything the kind of entry knows. GuardedStorage takes away what the rules do not allow.
FULL_PERM = {EntryType.FILE: "adfrw", EntryType.DIRECTORY: "cdeflmp", EntryType.LINK: "df", EntryType.OTHER: "df"}
# The root is neither removed nor renamed.
ROOT_PERM = "celmp"
# An unfinished upload can be gone on with, started anew and removed; it cannot be read or renamed.
PARTIAL_PERM = "adw"

# Names, of 80 bytes each (300 where they are as long as can be). Reading and sorting so many takes 0.1 s.
MOST_SORTED = 100_000
# 40 MB for all listings of the process, 150 at the most.
MOST_HELD = 500_000
# Names that are asked for at a time. The first so many of each listing are not counted.
CHUNK = 1_000

# A link that is not listed: it leads nowhere, out, round and round, or to where nothing may be looked at.
_LEADS_NOWHERE = frozenset(
    {Kind.NOT_FOUND, Kind.NOT_A_DIRECTORY, Kind.TOO_MANY_LINKS, Kind.DENIED, Kind.BAD_NAME, Kind.OTHER_TREE}
)

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
    """Return the facts of a file by its st_mode: type, permission bits, perm letters."""
    kind = _TYPES.get(st_mode & _TYPE_BITS, EntryType.OTHER)
    return kind, st_mode & 0o7777, FULL_PERM[kind]


class Held:
    """The number of names that may be held to be sorted: *of_one* directory, and *most* in all listings together."""

    def __init__(self, most: int, of_one: int) -> None:
        self.of_one = of_one
        self._lock = Lock()
        self._left = most

    def take(self, count: int) -> bool:
        """Take room for *count* names if there is so much."""
        with self._lock:
            if count > self._left:
                return False
            self._left -= count
            return True

    def give_back(self, count: int) -> None:
        """Give room back."""
        with self._lock:
            self._left += count


HELD = Held(MOST_HELD, MOST_SORTED)


class DirectoryListing:
    """A directory of the jail read piece by piece; owns the descriptor *fd*."""

    def __init__(self, root: Root, path: VirtualPath, fd: int, held: Held = HELD) -> None:
        self._root = root
        self._path = path
        self._fd = fd
        self._names: Iterator[str] | None = None
        self._room = held
        self._held = 0
        try:
            self._scan = os.scandir(fd)  # works on its own duplicate
        except BaseException:
            os.close(fd)
            raise

    def read(self, count: int) -> list[Entry]:
        """Return up to *count* further entries."""
        try:
            if self._names is None:
                self._names = self._in_order()
            while names := list(islice(self._names, count)):
                if entries := self._described(names):
                    return entries
        except OSError as error:
            raise from_oserror(error, self._path) from error
        return []

    def close(self) -> None:
        """Let the directory go."""
        self._scan.close()
        self._names = iter(())
        held, self._held = self._held, 0
        self._room.give_back(held)
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _in_order(self) -> Iterator[str]:
        """Return the names, sorted if there is room for that."""
        names = names_of(islice(self._scan, CHUNK))
        while len(names) - self._held == CHUNK:  # the last chunk was not the end
            if len(names) > self._room.of_one or not self._room.take(CHUNK):
                return chain(names, map(name_of, self._scan))
            self._held += CHUNK
            names += names_of(islice(self._scan, CHUNK))
        names.sort()
        return iter(names)

    def _described(self, names: list[str]) -> list[Entry]:
        """Describe those of *names* that are listed."""
        is_plain = are_plain(names)
        entries = []
        for name, said in zip(names, as_system_takes(names), strict=True):
            # No path leads to a name with a control character.
            if not is_plain and (is_reserved(name) or not is_listable(name)):
                continue
            try:
                status = os.stat(said, dir_fd=self._fd, follow_symlinks=False)
            except FileNotFoundError:  # removed since the directory was read
                continue
            kind, mode, perm = _by_mode(status.st_mode)
            if kind is _LINK:
                found = self._led_to(name)
                if found is None:
                    continue
                status = found
                kind, mode, perm = _by_mode(status.st_mode)
            # As in entry_of, written out and past the __new__ of named tuples, which is Python: 20 ms in 100,000.
            file = (status.st_dev, status.st_ino)
            told = (name, kind, status.st_size, status.st_mtime_ns, mode, file, status.st_nlink, perm)
            entries.append(_new(Entry, told))
        return entries

    def _led_to(self, name: str) -> os.stat_result | None:
        """Describe the file that the link *name* leads to, None for one that is not listed."""
        try:
            with self._root.find(self._path / name, follow=True) as place:
                status = place.lstat()
        except StorageError as error:
            if error.kind not in _LEADS_NOWHERE:
                raise
            return None
        return None if stat.S_ISLNK(status.st_mode) else status
