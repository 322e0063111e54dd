"""
Small files that the kernel holds in memory, read without waiting.

Handing a small download to a worker and back wakes two threads, a fifth of the cost of the download. A file in the page
cache needs no worker: openat2 with RESOLVE_CACHED and preadv2 with RWF_NOWAIT answer at once or not at all. Anything
unusual, errors too, is left to the ordinary way, which then raises the error.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat

from ftpsd.storage.base import StorageError
from ftpsd.storage.cached_file import CachedFile
from ftpsd.storage.disk.names import encode_name, is_reserved
from ftpsd.storage.disk.openat2 import open_below
from ftpsd.storage.disk.source import READ_FILE
from ftpsd.values.path import VirtualPath


def read_cached(root: int, path: VirtualPath, limit: int, *, digests: bool) -> CachedFile | None:
    """Return the regular file *path* below the directory *root*, if it has up to *limit* bytes, all of them cached."""
    try:
        if any(is_reserved(name) for name in path.parts):
            return None
        name = b"/".join([encode_name(name) for name in path.parts])
    except StorageError:
        return None
    fd = open_below(root, name, READ_FILE)
    if fd is None:
        return None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
            return None
        # One byte more, to see that it has not grown since.
        buffer = bytearray(status.st_size + 1)
        if _read(fd, buffer) != status.st_size:
            return None
    except OSError:
        return None
    finally:
        os.close(fd)
    content = bytes(memoryview(buffer)[:-1])
    return CachedFile(path, content, len(content), hashlib.sha256(content).hexdigest() if digests else None)


def _read(fd: int, buffer: bytearray) -> int:
    try:
        return os.preadv(fd, (buffer,), 0, os.RWF_NOWAIT)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
    # tmpfs knows no RWF_NOWAIT and has no disk. It may be swapped out, as any of our own variables may.
    return os.preadv(fd, (buffer,), 0)
