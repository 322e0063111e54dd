"""
ReportedTree: a user's tree with one file more in its root, which is made when it is read and cannot be changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from ftpsd.storage.base import Kind, Listing, Source, Storage, StorageError
from ftpsd.storage.cached_file import CachedFile
from ftpsd.storage.forwarding import ForwardingStorage
from ftpsd.values.entry import Entry, EntryType
from ftpsd.values.path import ROOT, VirtualPath

REPORT: Final = VirtualPath.parse("/REPORT.txt", ROOT)
_MODE: Final = 0o444


class ReportedTree(ForwardingStorage):
    """
    *inner* with the file `REPORT`, of what *report* returns, which may be called in any worker.

    A file of that name in the tree itself is not seen, and none can be made.
    """

    def __init__(self, inner: Storage, report: Callable[[], bytes]) -> None:
        super().__init__(inner)
        self._report = report

    def new(self, path: VirtualPath) -> VirtualPath:
        """Refuse to make the report."""
        if path == REPORT:
            raise StorageError(Kind.DENIED, path)
        return path

    def inward(self, path: VirtualPath) -> VirtualPath:
        """Refuse everything that is not made for the report below."""
        return self.new(path)

    def stat(self, path: VirtualPath) -> Entry:
        """Describe *path*."""
        return self._entry() if path == REPORT else super().stat(path)

    def list(self, path: VirtualPath) -> Listing:
        """Open the directory *path*, with the report in the root."""
        if path == REPORT:
            raise StorageError(Kind.NOT_A_DIRECTORY, path)
        listing = super().list(path)
        return _WithReport(listing, self._entry()) if path == ROOT else listing

    def open_source(self, path: VirtualPath, offset: int = 0) -> Source:
        """Open the file *path* for sending."""
        return _ReportSource(self._report(), offset) if path == REPORT else super().open_source(path, offset)

    def read_cached(self, path: VirtualPath, limit: int) -> CachedFile | None:
        """Return the small file *path* if that needs no waiting; the report is opened."""
        return None if path == REPORT else super().read_cached(path, limit)

    def _entry(self) -> Entry:
        name, now = REPORT.parts[-1], time.time_ns()
        return Entry(name, EntryType.FILE, len(self._report()), now, _MODE, perm="r")


class _ReportSource:
    """The report as a download."""

    def __init__(self, data: bytes, offset: int) -> None:
        if offset > len(data):
            raise StorageError(Kind.BAD_OFFSET, REPORT)
        self.size = len(data)
        self.offset = offset
        self.sha256: str | None = None
        self.digests = False
        self._data = data

    def read_into(self, buffer: memoryview) -> int:
        """Fill *buffer* from the offset on."""
        piece = self._data[self.offset : self.offset + len(buffer)]
        buffer[: len(piece)] = piece
        self.offset += len(piece)
        return len(piece)

    def fileno(self) -> int | None:
        """There is no descriptor."""
        return None

    def close(self) -> None:
        """Nothing to close."""


class _WithReport:
    """The root with the report as its first entry."""

    def __init__(self, inner: Listing, report: Entry) -> None:
        self._inner = inner
        self._report: Entry | None = report
        self._name = report.name

    def read(self, count: int) -> list[Entry]:
        """Return up to *count* further entries."""
        if self._report is not None:
            report, self._report = self._report, None
            return [report]
        while found := self._inner.read(count):
            if shown := [entry for entry in found if entry.name != self._name]:
                return shown
        return []

    def close(self) -> None:
        """Let the directory go."""
        self._inner.close()
