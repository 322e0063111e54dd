"""The work of HASH and its older forms: a file read in pieces."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from ftpsd.storage.base import Kind, Storage, StorageError
from ftpsd.storage.pieces.piece import read_piece
from ftpsd.values.path import VirtualPath


class Checksum(Protocol):
    """The interface of hashlib's objects."""

    def update(self, data: memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


class CRC32:
    """The cyclic redundancy check of ISO 3309, in the form of hashlib."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: memoryview, /) -> None:
        """Take the next piece."""
        self._value = zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        """Return the check value of all so far: eight digits."""
        return f"{self._value:08x}"


# By the names of IANA's registry of hash functions, the order of FEAT. SHA-1 and MD5 find damage, not forgery, and are
# known to older clients.
ALGORITHMS: dict[str, Callable[[], Checksum]] = {
    "SHA-256": hashlib.sha256,
    "SHA-512": hashlib.sha512,
    "SHA-1": partial(hashlib.sha1, usedforsecurity=False),
    "MD5": partial(hashlib.md5, usedforsecurity=False),
    "CRC32": CRC32,
}


class Wanted(NamedTuple):
    """The bytes to read: *path* from *start* on, to before *end* (None: its end); *name* as the client wrote it."""

    name: str
    path: VirtualPath
    start: int = 0
    end: int | None = None


class Reading:
    """
    A file on its way into a checksum: *value* is there when all of it has been read.

    Every call but `close` blocks and belongs in a worker.
    """

    def __init__(self, storage: Storage, wanted: Wanted, algorithm: str) -> None:
        self.name, self._path, self.start, end = wanted
        self._source = storage.open_source(self._path, self.start)
        size = self._source.size
        self.end = size if end is None else max(self.start, min(end, size))
        is_whole_sha256 = algorithm == "SHA-256" and (self.start, self.end) == (0, size)
        self.value = self._source.sha256 if is_whole_sha256 else None
        # Where the storage computes it while it reads, to keep it with the file, once is enough.
        self._checksum = None if is_whole_sha256 and size and self._source.digests else ALGORITHMS[algorithm]()
        self._left = self.end - self.start

    def step(self) -> bool:
        """Read the next piece; True at the end."""
        if self.value is None:
            self._read()
        return self.value is not None

    def close(self) -> None:
        """Let the file go."""
        self._source.close()

    def _read(self) -> None:
        self._left -= read_piece(self._source, self._path, self._left, self._take)
        if self._left == 0:
            self.value = self._source.sha256 if self._checksum is None else self._checksum.hexdigest()
            if self.value is None:
                # It changed while it was read: read again.
                raise StorageError(Kind.BUSY, self._path)

    def _take(self, data: memoryview) -> None:
        if self._checksum is not None:
            self._checksum.update(data)


def open_reading(storage: Storage, meant: Sequence[Wanted], algorithm: str) -> Reading:
    """Open the first of *meant* that is there, and read its first piece. Runs in a worker."""
    *others, last = meant
    reading: Reading | None = None
    for wanted in others:
        try:
            reading = Reading(storage, wanted, algorithm)
            break
        except StorageError as error:
            if error.kind is not Kind.NOT_FOUND:
                raise
    reading = reading or Reading(storage, last, algorithm)
    try:
        reading.step()
    except BaseException:
        reading.close()
        raise
    return reading
