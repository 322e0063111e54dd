"""
Uploads into a range of a file: RANG and STOR (draft-bryan-ftp-range, 4.3).

Nothing outside the range changes, and nothing at all unless exactly as many bytes come as the range has. The upload is
a copy of the file with other bytes in the middle, published as a whole; when the file has changed meanwhile, as by
another such upload, the later one is refused. So this needs atomic uploads, and the permission to read. The bytes
behind the range are copied piece by piece when the upload has come in.
"""

from __future__ import annotations

from ftpsd.storage.base import Kind, NotYet, Sink, Source, Storage, StorageError, Terms
from ftpsd.storage.pieces.piece import read_piece
from ftpsd.values.entry import Entry
from ftpsd.values.path import VirtualPath
from ftpsd.values.trace import Trace

State = tuple[str, int, int]


def open_ranged(storage: Storage, path: VirtualPath, start: int, end: int) -> Sink:
    """Open an upload of the bytes from *start* to before *end*. Raises: BAD_OFFSET behind the end of the file."""
    before = _stat_or_none(storage, path)  # first, so that it is older than all that is read
    rest = _open_rest(storage, path, end, before)
    if rest is None:
        return RangedSink(storage.open_sink(path, Terms(offset=start, may_replace=False)), end - start, None)
    try:
        # Around the range are published bytes, not those its owner left unfinished, and nothing in it is a beginning.
        sink = storage.open_sink(path, Terms(offset=start, resumable=False, may_create=False, over_same=True))
        return RangedSink(sink, end - start, rest)
    except BaseException:
        rest.close()
        raise


class Rest:
    """The rest of a file, which was opened behind a range of it, and the file's state before that."""

    def __init__(self, storage: Storage, path: VirtualPath, old: Source, before: Entry) -> None:
        self._storage = storage
        self._path = path
        self._old = old
        self._before = _state_of(before)
        self._left = old.size - old.offset

    def require_unchanged(self) -> None:
        """Raises: BUSY when the file is no longer the one that was opened, be it before the sink was."""
        now = _stat_or_none(self._storage, self._path)
        if now is None or _state_of(now) != self._before:
            raise StorageError(Kind.BUSY, self._path)

    def copy(self, sink: Sink) -> bool:
        """Write the next piece of it to *sink*; True when all has been written."""
        self._left -= read_piece(self._old, self._path, self._left, sink.write)
        return not self._left

    def close(self) -> None:
        """Let the old file go."""
        self._old.close()


class RangedSink:
    """An upload of exactly *length* bytes, behind which *rest* is put when all of them have come."""

    def __init__(self, inner: Sink, length: int, rest: Rest | None) -> None:
        self.path = inner.path
        self.offset = inner.offset
        self.sha256: str | None = None
        self.conversion = inner.conversion
        self.is_hidden = inner.is_hidden
        self._inner = inner
        self._missing = length
        self._rest = rest

    @property
    def verdict(self) -> str | None:
        """The word of those who have judged it."""
        return self._inner.verdict

    def write(self, data: memoryview) -> bool | None:
        """See `Sink.write`. Raises: BAD_RANGE for more than was announced."""
        if len(data) > self._missing:
            raise StorageError(Kind.BAD_RANGE, self.path)
        is_behind = self._inner.write(data)
        self._missing -= len(data)
        return is_behind

    def prepare(self) -> bool:
        """Write a piece of the bytes behind the range. Raises: BAD_RANGE for less than was announced, BUSY."""
        try:
            if self._missing:
                raise StorageError(Kind.BAD_RANGE, self.path)
            return (self._rest is None or self._rest.copy(self._inner)) and self._inner.prepare()
        except NotYet:
            raise
        except BaseException:
            self.abort()
            raise

    def trace(self) -> Trace:
        """See `Sink.trace`."""
        return self._inner.trace()

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


def _open_rest(storage: Storage, path: VirtualPath, end: int, before: Entry | None) -> Rest | None:
    """Open the bytes behind *end* in the file that was *before*, None where none is published. Raises: BUSY."""
    try:
        old = storage.open_source(path, 0 if before is None else min(before.size, end))
    except StorageError as error:
        if error.kind is Kind.NOT_FOUND:
            return None
        if error.kind is Kind.BAD_OFFSET:  # shorter than just now
            raise StorageError(Kind.BUSY, path) from error
        raise
    if before is None:  # published just now
        old.close()
        raise StorageError(Kind.BUSY, path)
    return Rest(storage, path, old, before)


def _stat_or_none(storage: Storage, path: VirtualPath) -> Entry | None:
    try:
        return storage.stat(path)
    except StorageError as error:
        if error.kind is not Kind.NOT_FOUND:
            raise
        return None


def _state_of(entry: Entry) -> State:
    """Return the identity of a file, which differs from that of others, and of itself when it has been changed."""
    return entry.unique, entry.size, entry.modified_ns
