"""
SHA-256 of whole files: computed while they stream, kept with the file, and valid while the file is unchanged.

It is kept in an extended attribute beside the size and modification time it belongs to; a file with another size or
time has no digest until all of it is read or written again. Where the file system has no such attributes a bounded
table in memory serves until the daemon ends.

Size and time are no proof: clients set times (MFMT), also back to the one that a digest belongs to. So a writer in
place puts a mark where the digest was, and keeps its own only where that mark has stayed.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections import OrderedDict
from contextlib import suppress
from threading import Lock

from ftpsd.storage.disk.content import PLAIN, Content

ATTRIBUTE = "user.ftpsd.sha256"
# Bytes read in one piece: about 10 ms from the page cache, 0.1 s from a slow disk.
PIECE = 8 << 20
# Bytes of the earlier part that are read for each one that comes in. So an upload as long as a third of the file it
# goes on from has read all of that when it ends; of a shorter one the rest is read then.
CATCH_UP = 4
# About 2 MiB.
MOST_REMEMBERED = 10_000
CHUNK = 1 << 20
_VALUE = re.compile(rb"([0-9a-f]{64}) ([0-9]+) (-?[0-9]+)")

_remembered: OrderedDict[tuple[int, int], bytes] = OrderedDict()
_table = Lock()


def stored_digest(fd: int, status: os.stat_result, content: Content = PLAIN) -> str | None:
    """Return the SHA-256 kept with the open file *fd*, in hex, if it still belongs to the file of *status*."""
    kept = _kept(fd, status)
    match = _VALUE.fullmatch(content.reveal(fd, kept)) if kept else None
    if match is None or (int(match[2]), int(match[3])) != (status.st_size, status.st_mtime_ns):
        return None
    return match[1].decode()


def keep_digest(
    fd: int, digest: str, status: os.stat_result, *, only_again: bool = False, content: Content = PLAIN
) -> None:
    """
    Keep *digest* (hex) with the open file *fd*, which is *status*. A digest that cannot be kept is computed again.

    With *only_again* it takes the place of the one there is, and is not kept where that has gone.
    """
    value = content.conceal(fd, f"{digest} {status.st_size} {status.st_mtime_ns}".encode())
    _keep(fd, value, status, only_again=only_again)


def begin_to_write(fd: int) -> bytes:
    """Take the digest away from the open file *fd*, whose bytes are about to change; return the mark left instead."""
    mark = b"being written " + secrets.token_hex(16).encode()
    _keep(fd, mark, os.fstat(fd))
    return mark


def end_to_write(fd: int, mark: bytes, digest: str | None) -> bool:
    """
    Keep *digest* (hex) of all that was written in the open file *fd*; None: it is of other bytes.

    False where it was not kept, because another process has written in it since it got *mark*.
    """
    status = os.fstat(fd)
    if digest is None or _kept(fd, status) != mark:
        _forget(fd, status)
        return False
    keep_digest(fd, digest, status)
    return True


def _kept(fd: int, status: os.stat_result) -> bytes:
    try:
        return os.getxattr(fd, ATTRIBUTE)
    except (OSError, AttributeError):  # none kept, or a system without attributes
        with _table:
            return _remembered.get((status.st_dev, status.st_ino), b"")


def _keep(fd: int, value: bytes, status: os.stat_result, *, only_again: bool = False) -> None:
    try:
        os.setxattr(fd, ATTRIBUTE, value, os.XATTR_REPLACE if only_again else 0)
    except (OSError, AttributeError):
        file = status.st_dev, status.st_ino
        with _table:
            if only_again and file not in _remembered:
                return
            _remembered[file] = value
            if len(_remembered) > MOST_REMEMBERED:
                _remembered.popitem(last=False)


def _forget(fd: int, status: os.stat_result) -> None:
    with suppress(OSError, AttributeError):  # none kept, or a system without attributes
        os.removexattr(fd, ATTRIBUTE)
    with _table:
        _remembered.pop((status.st_dev, status.st_ino), None)


class StreamDigest:
    """The SHA-256 of a file that is read or written from its beginning, piece by piece; a `Watcher` of uploads."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()

    def update(self, data: memoryview | bytes, /) -> None:
        """Take the next piece."""
        self._sha256.update(data)

    def finish(self) -> bool:
        """True: it refuses nothing, and nothing is left to do."""
        return True

    def close(self) -> None:
        """Nothing is open."""

    def hex(self) -> str:
        """Return the digest of all so far."""
        return self._sha256.hexdigest()
