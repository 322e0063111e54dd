"""
Copies made on the server: SITE CPFR and SITE CPTO (ProFTPD's mod_copy).

A copy is a download and an upload that meet here, so it needs the permissions of both, is counted against the quota,
and is published as a whole or not at all. It is made in a worker piece by piece.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ftpsd.audit.events import FileCopied
from ftpsd.control.table import Family, Needs
from ftpsd.storage.base import Kind, Storage, StorageError, Terms
from ftpsd.wire.listing import EntryType
from ftpsd.wire.path import VirtualPath
from ftpsd.wire.reply import Reply, ReplyError

if TYPE_CHECKING:
    from ftpsd.control.session import Session

# Bytes copied by one call to a worker: about 10 ms in the page cache, 0.2 s on a slow disk.
PIECE = 8 << 20
CHUNK = 256 * 1024

family = Family("copying")


@family.command("CPFR <SP> <pathname>", under="SITE", needs=Needs.LOGIN, rfc="959", features=("SITE COPY",))
async def site_cpfr(session: Session, argument: str) -> Reply:
    """Name the file to copy."""
    path = session.resolve(argument)
    session.copy_from = None
    entry = await session.in_files(session.storage.stat, path)
    if entry.type is not EntryType.FILE:
        raise ReplyError(550, "Not a plain file; directories are not copied.")
    session.copy_from = path
    return Reply(350, "Send SITE CPTO with the name of the copy.")


@family.command("CPTO <SP> <pathname>", under="SITE", needs=Needs.LOGIN, rfc="959", is_long=True)
async def site_cpto(session: Session, argument: str) -> Reply:
    """Copy the file named by SITE CPFR."""
    old, session.copy_from = session.copy_from, None
    if old is None:
        raise ReplyError(503, "Send SITE CPFR first.")
    new = session.resolve(argument)
    clock = session.runtime.shared.clock
    started = clock.seconds()
    copy = await session.when_counted(Copy, session.storage, old, new)
    try:
        await session.in_pieces(copy.step)
    finally:
        await session.clean_up(copy.close)
    seconds = clock.seconds() - started
    session.publish(FileCopied(session.who, str(old), str(new), copy.bytes, seconds, copy.sha256))
    return Reply(250, "Copied.")


class Copy:
    """A file being copied. Every call blocks and belongs in a worker."""

    def __init__(self, storage: Storage, old: VirtualPath, new: VirtualPath) -> None:
        self.bytes = 0
        self.sha256: str | None = None
        if _are_same(storage, old, new):
            raise ReplyError(553, "A file cannot be copied onto itself.")
        self._path = old
        self._source = storage.open_source(old)
        try:
            # What is there of a copy that was not finished must not be taken for the beginning of an upload.
            self._sink = storage.open_sink(new, Terms(resumable=False))
        except BaseException:
            self._source.close()
            raise

    def step(self) -> bool:
        """Copy the next piece; True when all of it has been copied and published."""
        source, sink = self._source, self._sink
        count = min(PIECE, source.size - self.bytes)
        buffer = memoryview(bytearray(min(CHUNK, count)))
        while count > 0:
            got = source.read_into(buffer[:count])
            if got == 0:
                # It was cut meanwhile: neither the old file nor the new one.
                raise StorageError(Kind.BUSY, self._path)
            sink.write(buffer[:got])
            self.bytes += got
            count -= got
        if self.bytes < source.size:
            return False
        if not sink.prepare():
            return False
        sink.commit()
        self.sha256 = sink.sha256
        return True

    def close(self) -> None:
        """Let both files go; a copy that is not published is given up."""
        self._source.close()
        self._sink.abort()


def _are_same(storage: Storage, old: VirtualPath, new: VirtualPath) -> bool:
    """Tell whether both names lead to one file, which an upload in place would cut before it is read."""
    there = None
    with suppress(StorageError):
        there = storage.stat(new)
    if old == new or there is None:
        return old == new
    return bool(there.unique) and there.unique == storage.stat(old).unique
