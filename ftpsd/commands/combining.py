"""
COMB: parts that were uploaded at once, by several connections, become one file (Globalscape's EFT, CuteFTP).

The target grows hidden and is published whole, behind what it held before; only then are the parts deleted. Whatever
goes wrong before that leaves target and parts as they were. A part that changed meanwhile stays: its new bytes are
nowhere else. Between publishing and the last deletion the parts can survive a power cut, never get lost by it: the
target is on the disk before the first goes, also where uploads are not (`uploads.durable: false`). The parts may be
there for long.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ftpsd.audit.events import FileDeleted, FilesCombined
from ftpsd.control.table import Family, Needs
from ftpsd.storage.base import Kind, Sink, Source, Storage, StorageError, Terms
from ftpsd.wire.listing import Entry, EntryType
from ftpsd.wire.path import VirtualPath
from ftpsd.wire.reply import Reply, ReplyError

if TYPE_CHECKING:
    from ftpsd.control.session import Session

# Bytes copied by one call to a worker: about 10 ms in the page cache, 0.2 s on a slow disk.
PIECE = 8 << 20
CHUNK = 256 * 1024
# CuteFTP splits a file into a handful of parts.
MOST_PARTS = 200

# A name in quotes, its own quotes doubled, or a word.
NAME = re.compile(r'\s*(?:"((?:[^"]|"")+)"|([^\s"]+))(?=\s|$)')

family = Family("combining")


@family.command(
    "COMB <SP> <pathname> <SP> <pathnames>",
    needs=Needs.LOGIN,
    rfc="none",
    features=("COMB target;source_list",),
    is_long=True,
)
async def comb(session: Session, argument: str) -> Reply:
    """Join files into one, behind what it holds, and delete the parts; names are in quotes."""
    target, *parts = [session.resolve(name) for name in _names(argument)]
    clock = session.runtime.shared.clock
    started = clock.seconds()
    joining = await session.when_counted(Joining, session.storage, target, parts)
    try:
        await session.in_pieces(joining.step)
    finally:
        await session.clean_up(joining.close)
    seconds = clock.seconds() - started
    session.publish(
        FilesCombined(session.who, str(target), len(parts), joining.bytes, seconds, joining.sha256, joining.kept)
    )
    for path in joining.deleted:
        session.publish(FileDeleted(session.who, str(path)))
    kept = f" {joining.kept} of the parts could not be deleted." if joining.kept else ""
    return Reply(250, f"Combined.{kept}")


def _names(argument: str) -> list[str]:
    """Return the names in *argument*. Raises: 501."""
    names: list[str] = []
    rest = argument
    while rest.strip():
        match = NAME.match(rest)
        if match is None:
            raise ReplyError(501, 'COMB takes names in quotes: COMB "target" "part" "part".')
        names.append((match[1] or "").replace('""', '"') or match[2])
        rest = rest[match.end() :]
    if not 2 <= len(names) <= MOST_PARTS + 1:
        raise ReplyError(501, f"COMB takes a target and 1 to {MOST_PARTS} parts.")
    return names


class Joining:
    """Files being joined. Every call blocks and belongs in a worker."""

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
        """Join the next piece; True when all is published and the parts are deleted."""
        if self._next == len(self._parts):
            if not self._sink.prepare():
                return False
            self._sink.commit()
            self.sha256 = self._sink.sha256
            for path, entry in self._parts:
                self._delete(path, entry)
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
        return False

    def close(self) -> None:
        """Let all files go; a target that is not published is given up."""
        if self._source is not None:
            self._source.close()
        self._sink.abort()

    def _copy(self, source: Source, path: VirtualPath) -> None:
        count = min(PIECE, source.size - source.offset)
        buffer = memoryview(bytearray(min(CHUNK, count)))
        while count > 0:
            got = source.read_into(buffer[:count])
            if got == 0:
                # It was cut meanwhile: neither the old file nor the new one.
                raise StorageError(Kind.BUSY, path)
            self._sink.write(buffer[:got])
            self.bytes += got
            count -= got

    def _delete(self, path: VirtualPath, entry: Entry) -> None:
        """Delete a part that still is what was joined. All is done already, so nothing can fail here any more."""
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
    """Describe *path*, None for nothing and for what may not be seen."""
    try:
        return storage.stat(path)
    except StorageError:
        return None


def _open_target(storage: Storage, path: VirtualPath) -> Sink:
    """Open what the parts go into, behind what it holds."""
    try:
        return storage.open_sink(path, Terms(append=True, may_create=False, durable=True))
    except StorageError as error:
        if error.kind not in (Kind.NOT_FOUND, Kind.DENIED):
            raise
    # It is new. An append to what is not there would go on with an upload that its owner left unfinished; and what is
    # there of joined parts that were not published must not be taken for the beginning of an upload.
    return storage.open_sink(path, Terms(resumable=False, may_replace=False, durable=True))


def _refuse_twice(files: Sequence[tuple[VirtualPath, Entry | None]]) -> None:
    """Raises: 553 when two of *files* are one: it would be deleted with what it should become."""
    paths = [path for path, _ in files]
    tokens = [entry.unique for _, entry in files if entry is not None and entry.unique]
    if len(set(paths)) < len(paths) or len(set(tokens)) < len(tokens):
        raise ReplyError(553, "Each file can be named only once.")
