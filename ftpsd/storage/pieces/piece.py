"""
The size of a piece of long work, and the one loop that reads it.
"""

from __future__ import annotations

from collections.abc import Callable

from ftpsd.storage.base import Kind, Source, StorageError
from ftpsd.values.path import VirtualPath

# Bytes read by one call to a worker: about 10 ms in the page cache, 0.2 s on a slow disk.
PIECE = 8 << 20
CHUNK = 256 * 1024


def read_piece(source: Source, path: VirtualPath, left: int, take: Callable[[memoryview], object]) -> int:
    """
    Give *take* the next bytes of *source*, of *left* that are still to be read, and return how many they were.

    Raises:
        StorageError: BUSY, the file *path* ends before that: it was cut meanwhile.
    """
    wanted = count = min(PIECE, left)
    buffer = memoryview(bytearray(min(CHUNK, count)))
    while count > 0:
        got = source.read_into(buffer[:count])
        if got == 0:
            raise StorageError(Kind.BUSY, path)
        take(buffer[:got])
        count -= got
    return wanted
