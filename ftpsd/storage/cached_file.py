"""A small file that is in memory as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field

from ftpsd.values.path import VirtualPath


@dataclass(slots=True)
class CachedFile:
    """A whole small file in memory, as a `Source`."""

    path: VirtualPath
    content: bytes
    size: int
    sha256: str | None
    _offset: int = field(default=0, init=False)

    @property
    def offset(self) -> int:
        """The offset of the next read."""
        return self._offset

    @property
    def digests(self) -> bool:
        """Whether the digest is known."""
        return self.sha256 is not None

    def read_into(self, buffer: memoryview) -> int:
        """See `Source.read_into`."""
        piece = self.content[self._offset : self._offset + len(buffer)]
        buffer[: len(piece)] = piece
        self._offset += len(piece)
        return len(piece)

    def fileno(self) -> int | None:
        """None: there is nothing open."""
        return None

    def close(self) -> None:
        """Nothing is open."""
