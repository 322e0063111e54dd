"""
SHA-256 of whole files: computed while they stream, kept with the file, and valid while the file is unchanged.

It is kept in an extended attribute beside the size and modification time it belongs to; a file with another size or
time has no digest until somebody reads or writes all of it again. Where the file system has no such attributes a
bounded table in memory serves until the daemon ends.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections import OrderedDict
from contextlib import suppress
from threading import Lock

ATTRIBUTE = "user.ftpsd.sha256"
# Bytes read in one piece: about 10 ms from the page cache, 0.1 s from a slow disk.
PIECE = 8 << 20
# Bytes of what was there already that are read for each one that comes in. So an upload as long as a third of what it
# goes on from has read all of that when it ends; of a shorter one the rest is read then.
CATCH_UP = 4
# About 2 MiB.
MOST_REMEMBERED = 10_000
_CHUNK = 1 << 20
_VALUE = re.compile(rb"([0-9a-f]{64}) ([0-9]+) (-?[0-9]+)")

_remembered: OrderedDict[tuple[int, int], bytes] = OrderedDict()
_table = Lock()


def stored_digest(fd: int, status: os.stat_result) -> str | None:
    """Return the SHA-256 kept with the open file *fd*, in hex, if it still belongs to what *status* describes."""
    try:
        value = os.getxattr(fd, ATTRIBUTE)
    except (OSError, AttributeError):  # none kept, or a system without attributes
        with _table:
            value = _remembered.get((status.st_dev, status.st_ino), b"")
    match = _VALUE.fullmatch(value)
    if match is None or (int(match[2]), int(match[3])) != (status.st_size, status.st_mtime_ns):
        return None
    return match[1].decode()


def keep_digest(fd: int, digest: str) -> None:
    """Keep *digest* (hex) with the open file *fd*, as it is now. A digest that cannot be kept is computed again."""
    status = os.fstat(fd)
    value = f"{digest} {status.st_size} {status.st_mtime_ns}".encode()
    try:
        os.setxattr(fd, ATTRIBUTE, value)
    except (OSError, AttributeError):
        with _table:
            _remembered[status.st_dev, status.st_ino] = value
            if len(_remembered) > MOST_REMEMBERED:
                _remembered.popitem(last=False)


def forget_digest(fd: int) -> None:
    """
    Keep no digest with the open file *fd* any more: its bytes are about to change.

    Its time does not tell that for ever. Clients set times (MFMT), also back to the one that the digest belongs to.
    """
    with suppress(OSError, AttributeError):  # none kept, or a system without attributes
        os.removexattr(fd, ATTRIBUTE)
    status = os.fstat(fd)
    with _table:
        _remembered.pop((status.st_dev, status.st_ino), None)


class StreamDigest:
    """The SHA-256 of a file that is read or written from its beginning, piece by piece."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()

    def update(self, data: memoryview | bytes) -> None:
        """Take the next piece."""
        self._sha256.update(data)

    def hex(self) -> str:
        """Return the digest of all so far."""
        return self._sha256.hexdigest()


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
