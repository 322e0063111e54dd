"""The SHA-256 of a file that grows: what was there before is read in pieces, what arrives is seen as it passes."""

from __future__ import annotations

import errno
import hashlib
import os

from ftpsd.storage.disk.digest import _CHUNK, CATCH_UP, PIECE


class GrowingDigest:
    """
    The SHA-256 of a file that grows behind the *present* bytes that it has already.

    Those are read from *fd* piece by piece while others come in, and what is left of them at the end: all of 4 GiB at
    once takes ten seconds, which no client waits for its 150.
    """

    def __init__(self, fd: int, present: int) -> None:
        self._sha256 = hashlib.sha256()
        self._fd = fd
        self._length = present
        self._done = 0
        if present <= PIECE:
            self.catch_up(PIECE)

    def grew(self, data: memoryview) -> None:
        """Take *data*, which has been written behind what there was."""
        count = len(data)
        self._length += count
        if self._done + count == self._length:
            self._sha256.update(data)
            self._done += count
        else:
            self.catch_up(CATCH_UP * count)

    def catch_up(self, most: int) -> bool:
        """Read up to *most* bytes; True when none are left. Raises: OSError."""
        while self._done < self._length and most > 0:
            piece = os.pread(self._fd, min(_CHUNK, most, self._length - self._done), self._done)
            if not piece:
                raise OSError(errno.EIO, "the file has become shorter")
            self._sha256.update(piece)
            self._done += len(piece)
            most -= len(piece)
        return self._done == self._length

    def hex(self) -> str:
        """Return the digest of the whole file; nothing is left."""
        assert self._done == self._length
        return self._sha256.hexdigest()
