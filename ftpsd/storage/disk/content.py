"""
Content: how the bytes of a user's file lie in the file on the disk.

`PLAIN`, the bytes as they are, is the content of most trees, `Sealed` (storage/sealing) that of encrypted ones. It is
put below the jail and not around it, for there is more to a file than its reads and writes: where an upload goes on in
the middle, what a copy of a beginning is, which bytes a digest is of. Quotas and attributes are about the file on the
disk; the sizes that users see, offsets and digests are about the user's bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Protocol

from ftpsd.storage.base import Listing
from ftpsd.storage.disk.syscalls import copy_range, write_all
from ftpsd.values.entry import Entry, EntryType

# Fills a buffer with the user's bytes from an offset on; returns how many it took, 0 at the end. Raises: OSError.
Reading = Callable[[memoryview, int], int]
# Writes all of some bytes behind the present ones: when it returns, all are in the file. Raises: OSError.
Writing = Callable[[memoryview], None]


class Content(Protocol):
    """The form of bytes on the disk. Nothing is stored as nothing; more bytes never take less room."""

    @property
    def is_plain(self) -> bool:
        """Whether the file holds the user's bytes alone, so that the kernel may send them and they may be changed."""

    def length(self, stored: int) -> int:
        """Return how many bytes a file of *stored* bytes holds."""

    def stored(self, length: int) -> int:
        """Return how many bytes the file of *length* bytes has."""

    def whole(self, length: int) -> int:
        """Return how many bytes it has once `finish` has made it a whole file."""

    def reading(self, fd: int) -> Reading:
        """Return a reader of the file *fd*, at any offset and without moving the descriptor's own."""

    def growing(self, fd: int) -> Reading:
        """Return a reader of the upload *fd*, which is not over: more may be written to it meanwhile."""

    def writing(self, fd: int, start: int) -> Writing:
        """Return a writer of the file *fd*, which holds *start* bytes and was opened or made just now, or copied to."""

    def truncate(self, fd: int, length: int) -> None:
        """Drop all bytes behind the first *length* of *fd*."""

    def copy(self, source: int, target: int, length: int, *, growing: bool = False) -> None:
        """
        Make the empty file *target* the first *length* bytes of *source*, which may be an upload that is *growing*.

        Raises: BUSY for one cut meanwhile.
        """

    def sound(self, fd: int, status: os.stat_result) -> int:
        """Return how many bytes of the upload *fd*, which is *status* and not over, can be gone on from."""

    def finish(self, fd: int) -> None:
        """Make the upload *fd* a whole file, whose bytes are all written; more may be written all the same."""

    def conceal(self, fd: int, value: bytes) -> bytes:
        """Return the form in which *value*, which says something of the bytes of *fd*, is kept in an attribute."""

    def reveal(self, fd: int, value: bytes) -> bytes:
        """Return what `conceal` was given, nothing for a form that is not of this file."""


class Plain:
    """The bytes as they are."""

    __slots__ = ()

    is_plain = True

    def length(self, stored: int) -> int:
        """As many."""
        return stored

    def stored(self, length: int) -> int:
        """As many."""
        return length

    whole = stored

    def reading(self, fd: int) -> Reading:
        """Read them."""
        return lambda buffer, offset: os.preadv(fd, (buffer,), offset)

    growing = reading

    def writing(self, fd: int, start: int) -> Writing:
        """Write them at the descriptor's offset, which begins at 0."""
        if start:
            os.lseek(fd, start, os.SEEK_SET)
        return partial(write_all, fd)

    def truncate(self, fd: int, length: int) -> None:
        """Cut the file."""
        os.ftruncate(fd, length)

    def copy(self, source: int, target: int, length: int, *, growing: bool = False) -> None:
        """Share the blocks where the file system can."""
        copy_range(source, target, 0, length)

    def sound(self, fd: int, status: os.stat_result) -> int:
        """All of them."""
        return status.st_size

    def finish(self, fd: int) -> None:
        """Nothing: it is whole at any time."""

    def conceal(self, fd: int, value: bytes) -> bytes:
        """As it is."""
        return value

    reveal = conceal


PLAIN = Plain()


def shown(entry: Entry, content: Content) -> Entry:
    """Return *entry* of a file on the disk with the size that its user sees."""
    if content.is_plain or entry.type is not EntryType.FILE:
        return entry
    return entry._replace(size=content.length(entry.size))


class ContentListing:
    """The directory *inner*, whose files hold *content*."""

    def __init__(self, inner: Listing, content: Content) -> None:
        self._inner = inner
        self._content = content

    def read(self, count: int) -> list[Entry]:
        """Return up to *count* further entries."""
        return [shown(entry, self._content) for entry in self._inner.read(count)]

    def close(self) -> None:
        """Let the directory go."""
        self._inner.close()
