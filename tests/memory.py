"""What MemoryStorage is made of: files and directories in memory, and how they are read."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

from ftpsd.storage.disk.entries import FULL_PERM
from ftpsd.values.entry import Entry, EntryType
from ftpsd.values.path import VirtualPath
from ftpsd.values.trace import Trace

_inodes = itertools.count(1)


@dataclass(eq=False)
class File:
    """A file, published or not; *data* is replaced, never changed, so that an open source keeps what it saw."""

    data: bytes = b""
    modified_ns: int = 0
    mode: int = 0o600
    inode: int = field(default_factory=lambda: next(_inodes))
    origin: tuple[int, int, int] | None = None  # of a partial: the file it is to replace


@dataclass(frozen=True)
class Link:
    """A link, by where it leads to from the root."""

    target: VirtualPath


@dataclass(eq=False)
class Directory:
    """A directory, with the unfinished uploads to it by owner and name."""

    children: dict[str, File | Directory | Link] = field(default_factory=dict)
    partials: dict[tuple[str, str], File] = field(default_factory=dict)
    modified_ns: int = 0
    mode: int = 0o700
    inode: int = field(default_factory=lambda: next(_inodes))


class MemoryTree:
    """The part that several storages share: the files, the clock, and the *room* left in bytes (None: endless)."""

    def __init__(self, now_ns: Callable[[], int] = time.time_ns, room: int | None = None) -> None:
        self.root = Directory(modified_ns=now_ns())
        self.now_ns = now_ns
        self.room = room
        self.lock = threading.RLock()
        self.active: set[int] = set()  # inodes of partials that are being worked on


def origin_of(published: File | None) -> tuple[int, int, int] | None:
    """Return what tells *published* from other files and states, None for none."""
    return None if published is None else (published.inode, len(published.data), published.modified_ns)


class MemorySource:
    """A download from memory."""

    def __init__(self, data: bytes, offset: int) -> None:
        self._data = data
        self.size = len(data)
        self._offset = offset
        self.sha256: str | None = sha256(data).hexdigest()
        self.digests = True

    @property
    def offset(self) -> int:
        """Where the next read starts."""
        return self._offset

    def read_into(self, buffer: memoryview) -> int:
        """Fill *buffer*."""
        piece = self._data[self._offset : self._offset + len(buffer)]
        buffer[: len(piece)] = piece
        self._offset += len(piece)
        return len(piece)

    def fileno(self) -> int | None:
        """There is no descriptor."""
        return None

    def close(self) -> None:
        """Nothing to let go."""


class MemoryListing:
    """A directory in memory."""

    def __init__(self, entries: list[Entry]) -> None:
        self._entries = entries

    def read(self, count: int) -> list[Entry]:
        """Return up to *count* further entries."""
        piece, self._entries = self._entries[:count], self._entries[count:]
        return piece

    def close(self) -> None:
        """Nothing to let go."""


def entry_of(name: str, node: File | Directory, perm: str | None = None) -> Entry:
    """Describe *node* under *name*."""
    kind = EntryType.FILE if isinstance(node, File) else EntryType.DIRECTORY
    size = len(node.data) if isinstance(node, File) else 0
    return Entry(name, kind, size, node.modified_ns, node.mode, (0, node.inode), 1, perm or FULL_PERM[kind])


def trace_of(path: VirtualPath, node: File | Directory | Link, former: VirtualPath | None = None) -> Trace:
    """Return the trace of *node* at *path*."""
    data, inode, modified = (b"", 0, 0) if isinstance(node, Link) else (b"", node.inode, node.modified_ns)
    if isinstance(node, File):
        data = node.data
    was = None if former is None else str(former).encode()
    return Trace(str(path).encode(), 0, inode, len(data), modified, was, sha256(data).hexdigest())
