"""
One file to another server: under a temporary name, resumed where an earlier attempt has ended, then renamed.

* The temporary name tells which bytes are in it: a file that has changed since begins anew, under another name.
* `before_rename` is awaited when all bytes are there. A caller that keeps what it says knows, after a crash, that a
  file of that size under the final name is ours (*may_be_done*), and pushes nothing twice.
* Where the server keeps something of the final name and does not let a rename replace it, that is deleted first. A
  crash in between leaves the whole file under its temporary name, which the next attempt renames.
* A size that is not ours behind the upload is a failure, and nothing is renamed. A file that has changed here while it
  was read is one, too: what lies there is perhaps half of it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from ftpsd.partners.contact import Fault, PartnerError
from ftpsd.partners.partner_session import PartnerSession
from ftpsd.storage.base import Kind, Source, Storage, StorageError
from ftpsd.values.entry import Entry
from ftpsd.values.path import VirtualPath
from ftpsd.workers import Workers

# Bytes of one read, and of one frame to the child.
PIECE: Final = 256 * 1024
# Bytes of a name that most file systems take, less our own part of it.
LONGEST_NAME: Final = 230


class Reader(Protocol):
    """An open file, read in order."""

    async def read(self) -> bytes:
        """Return the next piece, b"" at the end."""

    async def close(self) -> None:
        """Let it go."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """
    A file on its way: its *size*, its *mark*, which is another one when the bytes are, and its opening at an offset.

    *modified_ns* is its time, None where the far end is to have its own.
    *is_same* tells whether the mark is still that.
    """

    size: int
    mark: str
    open: Callable[[int], Awaitable[Reader]]
    modified_ns: int | None = None
    is_same: Callable[[], Awaitable[bool]] | None = None


@dataclass(frozen=True, slots=True)
class Pushed:
    """How many *bytes* went over the wire behind *offset*; *was_done* by an attempt before."""

    bytes: int
    offset: int
    was_done: bool = False


async def _nothing() -> None:
    """Keep nothing."""


async def push(
    session: PartnerSession,
    outgoing: Outgoing,
    target: str,
    *,
    is_atomic: bool = True,
    may_be_done: bool = False,
    may_replace: bool = True,
    before_rename: Callable[[], Awaitable[object]] = _nothing,
    moved: Callable[[int], object] = bool,
) -> Pushed:
    """
    Store *outgoing* as the path *target* of the server that *session* is with; *moved* hears of bytes that have gone.

    Without *may_replace* a file that is there by then stays, and that is a failure.

    Raises: PartnerError, and what opening or reading the file raises.
    """
    if not is_atomic:
        sent = await _send(session, outgoing, target, 0, moved)
        await _check(session, outgoing, target)
        await _require_same(session, outgoing, None)
        await _date(session, outgoing, target)
        return Pushed(sent, 0)
    temporary = temporary_name(target, outgoing.mark)
    there = await session.facts(temporary)
    if there is None and may_be_done:
        final = await session.facts(target)
        if final is not None and final.size == outgoing.size:
            return Pushed(0, outgoing.size, was_done=True)
    offset = 0 if there is None or there.size > outgoing.size else there.size
    sent = 0
    if there is None or offset < outgoing.size:
        try:
            sent = await _send(session, outgoing, temporary, offset, moved)
        except PartnerError as error:
            if not offset or error.fault not in (Fault.REFUSED, Fault.LATER):
                raise
            # It resumes nothing: REST or what follows it was refused. ProFTPD says 451, for good.
            offset = 0
            with suppress(PartnerError):
                await session.delete(temporary)
            sent = await _send(session, outgoing, temporary, 0, moved)
        await _check(session, outgoing, temporary)
    await _require_same(session, outgoing, temporary)
    await _date(session, outgoing, temporary)
    if not may_replace and await session.facts(target) is not None:
        raise PartnerError(Fault.REFUSED, f"there is a file {target} already, and overwrite is off")
    await before_rename()
    await _rename(session, temporary, target, may_replace=may_replace)
    return Pushed(sent, offset)


def temporary_name(target: str, mark: str) -> str:
    """Return the name beside *target* for the bytes of *mark*, as servers and clients know temporary ones."""
    folder, separator, name = target.rpartition("/")
    token = hashlib.sha256(mark.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    short = name.encode("utf-8", "surrogateescape")[:LONGEST_NAME].decode("utf-8", "ignore")
    return f"{folder}{separator}.{short}.{token}.part"


async def _send(
    session: PartnerSession, outgoing: Outgoing, path: str, offset: int, moved: Callable[[int], object]
) -> int:
    reader = await outgoing.open(offset)
    left = outgoing.size - offset

    async def give() -> bytes:
        nonlocal left
        # Bytes that were appended meanwhile are not part of it.
        piece = (await reader.read())[:left]
        left -= len(piece)
        moved(len(piece))
        return piece

    try:
        sent = await session.put(path, offset, give)
    finally:
        await reader.close()
    if left:
        raise PartnerError(Fault.CHANGED, "the file has become shorter while it was read")
    return sent


async def _check(session: PartnerSession, outgoing: Outgoing, path: str) -> None:
    there = await session.facts(path)
    if there is not None and there.size != outgoing.size:
        await session.delete(path)
        raise PartnerError(Fault.BROKEN, f"{there.size} bytes are there, of {outgoing.size}; they were deleted")


async def _require_same(session: PartnerSession, outgoing: Outgoing, temporary: str | None) -> None:
    """Raises: PartnerError where the file here has changed; what lies at *temporary* goes then."""
    if outgoing.is_same is None or await outgoing.is_same():
        return
    if temporary is not None:
        # The next attempt, with another mark, would not find it.
        with suppress(PartnerError):
            await session.delete(temporary)
    raise PartnerError(Fault.CHANGED, "the file has changed while it was read")


async def _date(session: PartnerSession, outgoing: Outgoing, path: str) -> None:
    if outgoing.modified_ns is not None:
        moment = time.strftime("%Y%m%d%H%M%S", time.gmtime(outgoing.modified_ns // 1_000_000_000))
        await session.set_modified(path, moment)


async def _rename(session: PartnerSession, temporary: str, target: str, *, may_replace: bool) -> None:
    try:
        await session.rename(temporary, target)
    except PartnerError as error:
        if not may_replace or error.fault is not Fault.REFUSED or await session.facts(target) is None:
            raise
        await session.delete(target)
        await session.rename(temporary, target)


class StoredReader:
    """A file of a storage, read in the workers of *pool*."""

    def __init__(self, pool: Workers, source: Source) -> None:
        self._pool = pool
        self._source = source

    async def read(self) -> bytes:
        """Return the next piece."""
        return await self._pool.run(_read, self._source)

    async def close(self) -> None:
        """Let the file go."""
        await self._pool.run(self._source.close)


def _read(source: Source) -> bytes:
    buffer = bytearray(PIECE)
    with memoryview(buffer) as view:
        count = source.read_into(view)
    return bytes(buffer[:count])


async def stored_file(pool: Workers, storage: Storage, path: VirtualPath, *, keeps_time: bool = True) -> Outgoing:
    """Return the file *path* of *storage*, to be pushed; *pool* makes the calls. Raises: StorageError."""
    entry = await pool.run(storage.stat, path)

    async def opened(offset: int) -> Reader:
        return StoredReader(pool, await pool.run(storage.open_source, path, offset))

    async def is_same() -> bool:
        try:
            return _mark(await pool.run(storage.stat, path)) == mark
        except StorageError as error:
            if error.kind is Kind.NOT_FOUND:
                return False
            raise

    mark = _mark(entry)
    return Outgoing(entry.size, mark, opened, entry.modified_ns if keeps_time else None, is_same)


def _mark(entry: Entry) -> str:
    return f"{entry.size}:{entry.modified_ns}:{entry.unique}"
