"""
Checksums: HASH, OPTS HASH and RANG (draft-bryan-ftpext-hash and -ftp-range), and the X forms of older servers.

A checksum needs the permission to read. The SHA-256 that is kept with an unchanged file is answered without reading;
everything else is read in a worker piece by piece, so that a huge file holds no worker for long and is left alone as
soon as its client has gone. HASH and RANG count ranges with their last byte, as their drafts do; the X forms count
them without, as ProFTPD does.
"""

from __future__ import annotations

from collections.abc import Sequence

from ftpsd.control.state.session import Session
from ftpsd.control.table import Family, Needs
from ftpsd.storage.base import Kind, StorageError
from ftpsd.storage.pieces.checksum import ALGORITHMS, Reading, Wanted, open_reading
from ftpsd.wire.quoting import Word, words
from ftpsd.wire.reply import Reply, ReplyError

# Offsets beyond are longer than any file, and need not be read.
MOST_DIGITS = 18

family = Family("checksums")


def _hash_feature(session: Session) -> str:
    chosen = session.parameters.hash_algorithm
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
    start, end = session.parameters.take_range()
    wanted = [Wanted(name, path, start, end) for name, path, *numbers in _meant(session, argument) if not any(numbers)]
    algorithm = session.parameters.hash_algorithm
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
    session.parameters.hash_algorithm = wanted or session.parameters.hash_algorithm
    return Reply(200, session.parameters.hash_algorithm)


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
    """Return the possible meanings of *argument*, the likeliest first: quotes may be around a name, or part of it."""
    meant = [Wanted(argument, session.resolve(argument))]
    name, *numbers = words(argument) or [Word("", is_quoted=False)]
    if name.is_quoted and len(numbers) <= 2 and all(map(_is_offset, numbers)):
        start, end = [*(int(number.text) for number in numbers), None, None][:2]
        meant.insert(0, Wanted(name.text, session.resolve(name.text), start or 0, end))
    return meant


def _is_offset(word: Word) -> bool:
    text = word.text
    return not word.is_quoted and text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS


async def _read(session: Session, algorithm: str, meant: Sequence[Wanted]) -> Reading:
    """Return the reading of *meant*, read to its end and closed."""
    work = session.at(*(wanted.path for wanted in meant))
    reading = await work.run(open_reading, session.storage, meant, algorithm)
    try:
        if reading.value is None:
            await work.in_pieces(reading.step)
    finally:
        await work.close(reading.close)
    return reading
