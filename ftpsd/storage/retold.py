"""
A download from a tree that names its files differently than the user does.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from ftpsd.storage.base import Source


class RetoldSource:
    """The download *inner*; *told* makes the context in which its errors speak of paths as the user says them."""

    def __init__(self, inner: Source, told: Callable[[], AbstractContextManager[None]]) -> None:
        self._inner = inner
        self._told = told
        self.size = inner.size

    # Attributes of the protocol that change while the file is read.
    @property
    def offset(self) -> int:
        """Where the next read starts."""
        return self._inner.offset

    @property
    def sha256(self) -> str | None:
        """The digest of the file, where it is known."""
        return self._inner.sha256

    @property
    def digests(self) -> bool:
        """Whether the digest is known, or will be when all of the file has been read."""
        return self._inner.digests

    def read_into(self, buffer: memoryview) -> int:
        """Fill *buffer* from the offset on."""
        with self._told():
            return self._inner.read_into(buffer)

    def fileno(self) -> int | None:
        """Return the descriptor."""
        return self._inner.fileno()

    def close(self) -> None:
        """Let the file go."""
        self._inner.close()
