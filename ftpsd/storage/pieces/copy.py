"""SITE CPTO's work: one file copied, in pieces."""

from __future__ import annotations

from contextlib import suppress

from ftpsd.storage.base import Storage, StorageError, Terms
from ftpsd.storage.pieces.piece import read_piece
from ftpsd.values.path import VirtualPath
from ftpsd.values.trace import Trace
from ftpsd.wire.reply import ReplyError


class Copy:
    """A file being copied, then published as any upload is. Every call blocks and belongs in a worker."""

    def __init__(self, storage: Storage, old: VirtualPath, new: VirtualPath) -> None:
        self.bytes = 0
        self.sha256: str | None = None
        if _are_same(storage, old, new):
            raise ReplyError(553, "A file cannot be copied onto itself.")
        self._path = old
        self._source = storage.open_source(old)
        try:
            # The bytes of an unfinished copy must not be taken for the beginning of an upload.
            self._sink = storage.open_sink(new, Terms(resumable=False))
        except BaseException:
            self._source.close()
            raise

    def step(self) -> bool:
        """Copy the next piece; True when all of it has been copied."""
        source = self._source
        self.bytes += read_piece(source, self._path, source.size - self.bytes, self._sink.write)
        return self.bytes == source.size

    def prepare(self) -> bool:
        """See `Sink.prepare`."""
        return self._sink.prepare()

    def trace(self) -> Trace:
        """See `Sink.trace`."""
        return self._sink.trace()

    def commit(self) -> None:
        """Publish the copy."""
        self._sink.commit()
        self.sha256 = self._sink.sha256

    def close(self) -> None:
        """Let both files go; a copy that is not published is given up."""
        self._source.close()
        self._sink.abort()


def _are_same(storage: Storage, old: VirtualPath, new: VirtualPath) -> bool:
    """Return whether both names lead to one file, which an upload in place would cut before it is read."""
    there = None
    with suppress(StorageError):
        there = storage.stat(new)
    if old == new or there is None:
        return old == new
    return bool(there.unique) and there.unique == storage.stat(old).unique
