"""COMB's work: several files become one, in pieces."""

from __future__ import annotations

from collections.abc import Sequence

from ftpsd.storage.base import Kind, Sink, Source, Storage, StorageError, Terms
from ftpsd.storage.pieces.piece import read_piece
from ftpsd.values.entry import Entry, EntryType
from ftpsd.values.path import VirtualPath
from ftpsd.values.trace import Trace
from ftpsd.wire.reply import ReplyError


class Joining:
    """A join of files, then published as any upload is. Every call blocks and belongs in a worker."""

    def __init__(self, storage: Storage, target: VirtualPath, parts: Sequence[VirtualPath]) -> None:
        self.bytes = 0
        self.sha256: str | None = None
        self.deleted: list[VirtualPath] = []
        self.kept = 0
        self._storage = storage
        self._parts = [(path, _part(storage, path)) for path in parts]
        _refuse_twice([(target, _stat_or_none(storage, target)), *self._parts])
        self._next = 0
        self._source: Source | None = None
        self._sink = _open_target(storage, target)

    def step(self) -> bool:
        """Join the next piece; True when all parts have been joined."""
        if self._next == len(self._parts):
            return True
        path, entry = self._parts[self._next]
        source = self._source = self._source or self._storage.open_source(path)
        if source.size != entry.size:
            raise StorageError(Kind.BUSY, path)
        self._copy(source, path)
        if source.offset == source.size:
            source.close()
            self._source = None
            self._next += 1
        return self._next == len(self._parts)

    def prepare(self) -> bool:
        """See `Sink.prepare`."""
        return self._sink.prepare()

    def trace(self) -> Trace:
        """See `Sink.trace`."""
        return self._sink.trace()

    def commit(self) -> None:
        """Publish the joined file, then delete the parts."""
        self._sink.commit()
        self.sha256 = self._sink.sha256
        for path, entry in self._parts:
            self._delete(path, entry)

    def close(self) -> None:
        """Let all files go; a target that is not published is given up."""
        if self._source is not None:
            self._source.close()
        self._sink.abort()

    def _copy(self, source: Source, path: VirtualPath) -> None:
        self.bytes += read_piece(source, path, source.size - source.offset, self._sink.write)

    def _delete(self, path: VirtualPath, entry: Entry) -> None:
        """Delete a part that still is the joined one. All is done already, so nothing can fail here any more."""
        try:
            if self._storage.stat(path) == entry:
                self._storage.remove_file(path)
                self.deleted.append(path)
                return
        except StorageError:
            pass  # the client is told how many stayed
        self.kept += 1


def _part(storage: Storage, path: VirtualPath) -> Entry:
    """Describe a part. Raises: StorageError when it cannot be read or deleted."""
    entry = storage.stat(path)
    if entry.type is EntryType.DIRECTORY:
        raise StorageError(Kind.IS_A_DIRECTORY, path)
    if entry.type is not EntryType.FILE:
        raise StorageError(Kind.NOT_REGULAR, path)
    if not {"r", "d"} <= set(entry.perm):
        raise StorageError(Kind.DENIED, path, why="rules or file system do not give read and delete")
    return entry


def _stat_or_none(storage: Storage, path: VirtualPath) -> Entry | None:
    """Describe *path*, None where there is nothing or the user may not see it."""
    try:
        return storage.stat(path)
    except StorageError:
        return None


def _open_target(storage: Storage, path: VirtualPath) -> Sink:
    """Open the target of the parts, behind the bytes it holds."""
    try:
        return storage.open_sink(path, Terms(append=True, may_create=False, durable=True))
    except StorageError as error:
        if error.kind not in (Kind.NOT_FOUND, Kind.DENIED):
            raise
    # It is new. An append to a missing file would go on with an upload that its owner left unfinished; and the bytes of
    # joined parts that were not published must not be taken for the beginning of an upload.
    return storage.open_sink(path, Terms(resumable=False, may_replace=False, durable=True))


def _refuse_twice(files: Sequence[tuple[VirtualPath, Entry | None]]) -> None:
    """Raises: 553 when two of *files* are one: it would be deleted with what it should become."""
    paths = [path for path, _ in files]
    tokens = [entry.unique for _, entry in files if entry is not None and entry.unique]
    if len(set(paths)) < len(paths) or len(set(tokens)) < len(tokens):
        raise ReplyError(553, "Each file can be named only once.")
