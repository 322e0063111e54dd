"""
Checksums: HASH, OPTS HASH and RANG (draft-bryan-ftpext-hash and -ftp-range), and the X forms of older servers.

A checksum needs the permission to read. The SHA-256 that is kept with an unchanged file is told without reading;
everything else is read in a worker piece by piece, so that a huge file holds no worker for long and is left alone as
soon as its client has gone. HASH and RANG count ranges with their last byte, as their drafts do; the X forms count
them without, as ProFTPD does.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ftpsd.control.table import Family, Needs
from ftpsd.storage.base import Kind, Storage, StorageError
from ftpsd.wire.path import VirtualPath
from ftpsd.wire.reply import Reply, ReplyError

if TYPE_CHECKING:
    from ftpsd.control.session import Session

# Bytes read by one call to a worker: about 10 ms from the page cache, 0.1 s from a slow disk.
PIECE = 8 << 20
CHUNK = 256 * 1024
# The largest offset a 64-bit file knows.
MAX_OFFSET = 2**63 - 1

# A name in quotes, its own quotes doubled (WinSCP, Serv-U), and behind it where to start and where to stop.
QUOTED = re.compile(r'\s*"((?:[^"]|"")+)"(?:\s+([0-9]{1,18}))?(?:\s+([0-9]{1,18}))?\s*')
RANGE = re.compile(r"\s*([0-9]{1,19})\s+([0-9]{1,19})\s*")

family = Family("checksums")


class Checksum(Protocol):
    """What hashlib's objects do."""

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
# what older clients know.
ALGORITHMS: dict[str, Callable[[], Checksum]] = {
    "SHA-256": hashlib.sha256,
    "SHA-512": hashlib.sha512,
    "SHA-1": partial(hashlib.sha1, usedforsecurity=False),
    "MD5": partial(hashlib.md5, usedforsecurity=False),
    "CRC32": CRC32,
}


class Wanted(NamedTuple):
    """What to read: *path* from *start* on, to before *end* (None: its end); *name* as the client wrote it."""

    name: str
    path: VirtualPath
    start: int = 0
    end: int | None = None


def _hash_feature(session: Session) -> str:
    chosen = session.hash_algorithm
    return "HASH " + ";".join(f"{name}*" if name == chosen else name for name in ALGORITHMS)


@family.command(
    "HASH <SP> <pathname>",
    needs=Needs.LOGIN,
    rfc="draft-bryan-ftpext-hash",
    features=(_hash_feature,),
    is_long=True,
)
async def hash_(session: Session, argument: str) -> Reply:
    """Return the checksum of a file, or of the range named by RANG, by the algorithm of OPTS HASH."""
    start, end = session.take_range()
    wanted = [Wanted(name, path, start, end) for name, path, *numbers in _meant(session, argument) if not any(numbers)]
    algorithm = session.hash_algorithm
    try:
        reading = await _read(session, algorithm, wanted)
    except StorageError as error:
        if error.kind is Kind.IS_A_DIRECTORY:
            raise ReplyError(553, "Is a directory, and directories have no checksum.") from None
        raise
    last = max(reading.start, reading.end - 1)
    return Reply(213, f"{algorithm} {reading.start}-{last} {reading.value} {reading.name}")


@family.command("HASH [<SP> <hash-name>]", under="OPTS", needs=Needs.NOTHING, rfc="draft-bryan-ftpext-hash")
async def opts_hash(session: Session, argument: str) -> Reply:
    """Show or choose the algorithm of HASH."""
    wanted = argument.strip().upper()
    if wanted and wanted not in ALGORITHMS:
        raise ReplyError(501, f"Unknown algorithm, use one of {', '.join(ALGORITHMS)}.")
    session.hash_algorithm = wanted or session.hash_algorithm
    return Reply(200, session.hash_algorithm)


@family.command(
    "RANG <SP> <start-point> <SP> <end-point>",
    needs=Needs.LOGIN,
    rfc="draft-bryan-ftp-range",
    features=("RANG STREAM",),
)
async def rang(session: Session, argument: str) -> Reply:
    """Let the next RETR, STOR or HASH be about a range of bytes, the last one included; RANG 1 0 takes it back."""
    session.restart_at(0)
    match = RANGE.fullmatch(argument)
    start, last = (int(match[1]), int(match[2])) if match is not None else (1, -1)
    if (start, last) == (1, 0):
        return Reply(350, "The whole file.")
    if start > last or last > MAX_OFFSET:
        raise ReplyError(501, "RANG takes the first and the last byte of a range.")
    if session.is_ascii:
        raise ReplyError(504, "RANG needs TYPE I: offsets of converted text are ambiguous.")
    session.restart_at(start, last + 1)
    return Reply(350, f"Restarting at {start}, ending behind {last}. Send RETR, STOR or HASH.")


def _x_form(verb: str, algorithm: str) -> None:
    @family.command(
        f"{verb} <SP> <pathname> [<SP> <start> [<SP> <end>]]",
        needs=Needs.LOGIN,
        rfc="none",
        features=(verb,),
        is_long=True,
    )
    async def checksum(session: Session, argument: str) -> Reply:
        reading = await _read(session, algorithm, _meant(session, argument))
        return Reply(250, str(reading.value))

    checksum.__doc__ = f"Return the {algorithm} of a file; with its name in quotes also of a range, *end* excluded."


for _verb, _algorithm in {
    "XCRC": "CRC32",
    "XMD5": "MD5",
    "XSHA": "SHA-1",
    "XSHA1": "SHA-1",
    "XSHA256": "SHA-256",
    "XSHA512": "SHA-512",
}.items():
    _x_form(_verb, _algorithm)


def _meant(session: Session, argument: str) -> list[Wanted]:
    """Return what *argument* can mean, the likeliest first: quotes may be around a name, or part of it."""
    meant = [Wanted(argument, session.resolve(argument))]
    match = QUOTED.fullmatch(argument)
    if match is not None:
        name = match[1].replace('""', '"')
        end = None if match[3] is None else int(match[3])
        meant.insert(0, Wanted(name, session.resolve(name), int(match[2] or 0), end))
    return meant


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
            self._read(min(PIECE, self._left))
        return self.value is not None

    def close(self) -> None:
        """Let the file go."""
        self._source.close()

    def _read(self, count: int) -> None:
        buffer = memoryview(bytearray(min(CHUNK, count)))
        while count > 0:
            got = self._source.read_into(buffer[:count])
            if got == 0:
                # It was cut meanwhile: this would be the checksum of neither the old file nor the new one.
                raise StorageError(Kind.BUSY, self._path)
            if self._checksum is not None:
                self._checksum.update(buffer[:got])
            self._left -= got
            count -= got
        if self._left == 0:
            self.value = self._source.sha256 if self._checksum is None else self._checksum.hexdigest()
            if self.value is None:
                # It changed while it was read: the same again.
                raise StorageError(Kind.BUSY, self._path)


def _open(storage: Storage, meant: Sequence[Wanted], algorithm: str) -> Reading:
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


async def _read(session: Session, algorithm: str, meant: Sequence[Wanted]) -> Reading:
    """Return the reading of what is meant, read to its end and closed."""
    reading = await session.in_files(_open, session.storage, meant, algorithm)
    try:
        if reading.value is None:
            await session.in_pieces(reading.step)
    finally:
        reading.close()
    return reading
