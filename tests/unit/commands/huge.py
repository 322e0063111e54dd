"""A storage whose one file is large and costs no memory, and that tells how much of it was read."""

from __future__ import annotations

from ftpsd.storage.base import Source
from ftpsd.values.entry import Entry
from ftpsd.values.path import VirtualPath
from tests.fakes import MemoryStorage


class HugeStorage(MemoryStorage):
    """
    `/huge` has *size* bytes, all of them zero.

    *sha256* is what is known of it. *read* counts the bytes that were read, and *ends_at* is where the file ends after
    it has been opened.
    """

    def __init__(self, size: int, sha256: str | None = None) -> None:
        super().__init__()
        self.size = self.ends_at = size
        self.sha256 = sha256
        self.read = 0
        self.put("/huge", b"")

    def stat(self, path: VirtualPath) -> Entry:
        """Describe the file with the size that it seems to have."""
        entry = super().stat(path)
        return entry._replace(size=self.size) if path.name == "huge" else entry

    def open_source(self, path: VirtualPath, offset: int = 0) -> Source:
        """Open the file, whatever its name."""
        super().open_source(path).close()
        return HugeSource(self, offset)


class HugeSource:
    """A download of zeros."""

    def __init__(self, storage: HugeStorage, offset: int) -> None:
        self.size = storage.size
        self._offset = offset
        self.sha256 = storage.sha256
        self.digests = storage.sha256 is not None
        self._storage = storage

    @property
    def offset(self) -> int:
        """Where the next read starts."""
        return self._offset

    def read_into(self, buffer: memoryview) -> int:
        """Leave *buffer* as it is: zeros."""
        count = max(0, min(len(buffer), self._storage.ends_at - self._offset))
        self._offset += count
        self._storage.read += count
        return count

    def fileno(self) -> int | None:
        """There is no descriptor."""
        return None

    def close(self) -> None:
        """Nothing to let go."""
