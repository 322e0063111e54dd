"""
Uploads into a range of a file: RANG and STOR (draft-bryan-ftp-range, 4.3).

Nothing outside the range changes, and nothing at all unless exactly as many bytes come as the range has. The upload is
a copy of the file with other bytes in the middle, published as a whole; when the file has changed meanwhile, which
two such uploads at once do to each other, the later one is refused. So this needs atomic uploads, and the permission
to read. What is behind the range is copied piece by piece when the upload has come in.
"""

from __future__ import annotations

from ftpsd.storage.base import Kind, Sink, Source, Storage, StorageError, Terms
from ftpsd.wire.path import VirtualPath

# Bytes copied by one call to a worker: about 10 ms in the page cache, 0.2 s on a slow disk.
PIECE = 8 << 20
CHUNK = 256 * 1024

State = tuple[str, int, int]


def open_ranged(storage: Storage, path: VirtualPath, start: int, end: int) -> Sink:
    """Open an upload of the bytes from *start* to before *end*. Raises: BAD_OFFSET behind the end of the file."""
    before = _state_of(storage, path)  # first, so that it is older than all that is read
    try:
        old = storage.open_source(path)
    except StorageError as error:
        if error.kind is not Kind.NOT_FOUND:
            raise
        return RangedSink(storage.open_sink(path, Terms(offset=start, may_replace=False)), end - start, None)
    try:
        if before is None:  # published just now
            raise StorageError(Kind.BUSY, path)
        rest = Rest(storage, path, old, end, before)
        # Around the range is what is published, not what its owner left unfinished, and nothing in it is a beginning.
        sink = storage.open_sink(path, Terms(offset=start, resumable=False, may_create=False, over_same=True))
        return RangedSink(sink, end - start, rest)
    except BaseException:
        old.close()
        raise


class Rest:
    """What a file holds behind a range, and how it looked when it was opened."""

    def __init__(self, storage: Storage, path: VirtualPath, old: Source, end: int, before: State) -> None:
        self._storage = storage
        self._path = path
        self._old = old
        self._before = before
        self._left = max(0, old.size - end)
        old.offset = min(old.size, end)

    def require_unchanged(self) -> None:
        """Raises: BUSY when the file is not any more what was opened, be it before the sink was."""
        if _state_of(self._storage, self._path) != self._before:
            raise StorageError(Kind.BUSY, self._path)

    def copy(self, sink: Sink) -> bool:
        """Write the next piece of it to *sink*; True when all has been written."""
        wanted = min(PIECE, self._left)
        self._left -= wanted
        buffer = memoryview(bytearray(min(CHUNK, wanted)))
        while wanted:
            count = self._old.read_into(buffer[:wanted])
            if count == 0:
                raise StorageError(Kind.BUSY, self._path)
            sink.write(buffer[:count])
            wanted -= count
        return not self._left

    def close(self) -> None:
        """Let the old file go."""
        self._old.close()


class RangedSink:
    """An upload of exactly *length* bytes, behind which *rest* is put when all of them have come."""

    def __init__(self, inner: Sink, length: int, rest: Rest | None) -> None:
        self.path = inner.path
        self.offset = inner.offset
        self.replaces = inner.replaces
        self.sha256: str | None = None
        self._inner = inner
        self._missing = length
        self._rest = rest

    def write(self, data: memoryview) -> None:
        """See `Sink.write`. Raises: BAD_RANGE for more than was announced."""
        if len(data) > self._missing:
            raise StorageError(Kind.BAD_RANGE, self.path)
        self._inner.write(data)
        self._missing -= len(data)

    def prepare(self) -> bool:
        """Write a piece of what is behind the range. Raises: BAD_RANGE for less than was announced, BUSY."""
        try:
            if self._missing:
                raise StorageError(Kind.BAD_RANGE, self.path)
            return (self._rest is None or self._rest.copy(self._inner)) and self._inner.prepare()
        except BaseException:
            self.abort()
            raise

    def commit(self) -> None:
        """See `Sink.commit`. Raises: BAD_RANGE for less than was announced, BUSY."""
        while not self.prepare():
            pass
        rest = self._rest
        try:
            if rest is not None:
                rest.require_unchanged()  # the sink looks for itself, at what it began with, when it replaces the file
            self._inner.commit()
            self.sha256 = self._inner.sha256
        finally:
            self.abort()

    def abort(self) -> None:
        """See `Sink.abort`."""
        self._inner.abort()
        if self._rest is not None:
            self._rest.close()


def _state_of(storage: Storage, path: VirtualPath) -> State | None:
    """Return what tells a file from another, and from itself when it has been changed; None for none."""
    try:
        entry = storage.stat(path)
    except StorageError as error:
        if error.kind is not Kind.NOT_FOUND:
            raise
        return None
    return entry.unique, entry.size, entry.modified_ns
