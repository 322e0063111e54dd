"""
File transfers: RETR, STOR, APPE, STOU, ABOR.

A download that can be answered at all is opened before its 150, so a missing file costs no data connection. An upload
is checked before its 150, and nothing of it is stored under its name before all of it has arrived.
"""

from __future__ import annotations

from dataclasses import replace

from ftpsd.audit.events import Event, FileSent, FileStored
from ftpsd.control.datatransfer import SMALL, Account, MakeEvent, in_mode, receive, send
from ftpsd.control.state.session import Session
from ftpsd.control.table import Family, Interrupts, Needs
from ftpsd.control.work import Work
from ftpsd.data.carry.quantum import Sending, SendingFile, Transfer, file_pieces, whole
from ftpsd.storage.base import Kind, Sink, Source, Storage, StorageError, Terms
from ftpsd.storage.pieces.range import open_ranged
from ftpsd.values.direction import Direction, Result
from ftpsd.values.entry import EntryType
from ftpsd.values.path import VirtualPath
from ftpsd.wire.ascii import ToNetwork
from ftpsd.wire.reply import Reply, ReplyError

family = Family("transfer")


@family.command("RETR <SP> <pathname>", needs=Needs.LOGIN | Needs.DATA_PORT, rfc="959")
async def retr(session: Session, argument: str) -> Reply:
    """Download a file."""
    path = session.resolve(argument)
    offset, end = session.parameters.take_range()
    work = session.at(path)
    cached = session.storage.read_cached(path, SMALL) if offset == 0 and end is None else None
    source: Source
    content: bytes | None
    if cached is not None:
        source, content = cached, cached.content
    else:
        source, content = await work.run(_open, session.storage, path, offset, end)
    try:
        transfer = _sending(session, source, content)
        # ftplib and curl read the size from this form; ange-ftp and wu-ftpd made it.
        size = None if session.parameters.is_ascii or session.parameters.is_deflated else max(0, source.size - offset)
        mode, length = ("ASCII", "") if session.parameters.is_ascii else ("BINARY", f" ({source.size} bytes)")
        account = Account(Direction.DOWNLOAD, work, path, _sent_event(session, path, offset, source))
        opening = f"Opening {mode} mode data connection{length}."
        inline = content is not None and not session.parameters.is_deflated
        await send(session, account, transfer, opening=opening, size=size, inline=inline)
    except StorageError as error:
        error.path = error.path or path  # a descriptor sent by the kernel has no name
        raise
    finally:
        await work.close(source.close)
    return Reply(226, "Transfer complete.")


@family.command("STOR <SP> <pathname>", needs=Needs.LOGIN | Needs.DATA_PORT, rfc="959")
async def stor(session: Session, argument: str) -> Reply:
    """Upload a file."""
    path = session.resolve(argument)
    offset, end = session.parameters.take_range()
    if end is None:
        return await _store(session, path, Terms(offset=offset, may_hide=True))
    if not session.storage.traits(path).is_atomic:
        raise ReplyError(504, "RANG is for RETR and HASH where uploads are not atomic.")
    work = session.at(path)
    sink = await work.when_counted(open_ranged, session.storage, path, offset, end)
    return await _receive(session, work, sink)


@family.command("APPE <SP> <pathname>", needs=Needs.LOGIN | Needs.DATA_PORT, rfc="959")
async def appe(session: Session, argument: str) -> Reply:
    """Upload to the end of a file."""
    path = session.resolve(argument)
    # REST before APPE has no meaning; clients that send it mean the end of the file.
    _refuse_range(session)
    return await _store(session, path, Terms(append=True))


@family.command("STOU [<SP> <pathname>]", needs=Needs.LOGIN | Needs.DATA_PORT, rfc="959")
async def stou(session: Session, argument: str) -> Reply:
    """Upload a file under a name the server makes unique."""
    _refuse_range(session)
    path = session.resolve(argument) if argument.strip() else session.parameters.directory / "upload"
    return await _store(session, path, Terms(unique=True, may_hide=True))


@family.command("ABOR", needs=Needs.LOGIN, rfc="959", interrupts=Interrupts.ABORTS)
async def abor(session: Session, argument: str) -> Reply:
    """End the transfer under way, or a checksum, a copy or COMB."""
    # Runs after the transfer it ended has answered 426, or when there is none.
    session.dtp.forget()
    return Reply(226, "Nothing is being transferred now.")


async def _store(session: Session, path: VirtualPath, terms: Terms) -> Reply:
    work = session.at(path)
    sink = await work.when_counted(session.storage.open_sink, path, terms)
    return await _receive(session, work, sink, unique=terms.unique)


async def _receive(session: Session, work: Work, sink: Sink, *, unique: bool = False) -> Reply:
    account = Account(Direction.UPLOAD, work, sink.path, _stored_event(session, sink))
    # RFC 1123, 4.1.2.9 fixes this form for STOU: clients read the name from it.
    opening = f"FILE: {sink.path.name}" if unique else "Ready to receive."
    await receive(session, account, sink, opening=opening)
    is_renamed = unique or sink.conversion is not None
    return Reply(226, f"Transfer complete, stored as {sink.path.name}." if is_renamed else "Transfer complete.")


def _refuse_range(session: Session) -> None:
    """Forget REST. Raises: 504 for RANG, where the end of a file, or a new name, is meant (the draft, 4.3)."""
    if session.parameters.take_range()[1] is not None:
        raise ReplyError(504, "RANG is for RETR, STOR and HASH.")


class _Range:
    """A source that ends before byte *end*."""

    def __init__(self, source: Source, end: int) -> None:
        self.sha256: str | None = None
        self.digests = False
        self.size = min(end, source.size)
        self.offset = source.offset
        self._source = source

    def read_into(self, buffer: memoryview) -> int:
        """See `Source.read_into`."""
        count = self._source.read_into(buffer[: max(0, self.size - self.offset)])
        self.offset += count
        return count

    def fileno(self) -> int | None:
        """None: sendfile would send all of the file."""
        return None

    def close(self) -> None:
        """See `Source.close`."""
        self._source.close()


def _open(storage: Storage, path: VirtualPath, offset: int, end: int | None) -> tuple[Source, bytes | None]:
    """Open a file, and read it too when it is small. Runs in a worker."""
    source = storage.open_source(path, offset) if end is None else _open_range(storage, path, offset, end)
    length = source.size - source.offset
    if length > SMALL:
        return source, None
    buffer = bytearray(length)
    view = memoryview(buffer)
    held = 0
    try:
        while held < length and (count := source.read_into(view[held:])):
            held += count
    finally:
        source.close()
    if held < length:
        # It was cut between the two calls. The client would get a file that is neither the old one nor the new one.
        raise StorageError(Kind.BUSY, path)
    return source, bytes(view)


def _open_range(storage: Storage, path: VirtualPath, offset: int, end: int) -> Source:
    """Open a range; behind the end of the file it is empty (draft-bryan-ftp-range, 4.3)."""
    try:
        return _Range(storage.open_source(path, offset), end)
    except StorageError as error:
        if error.kind is not Kind.BAD_OFFSET:
            raise
    return _Range(storage.open_source(path), 0)


def _sending(session: Session, source: Source, content: bytes | None) -> Transfer:
    encoder = ToNetwork() if session.parameters.is_ascii else None
    if content is not None:
        return Sending(in_mode(session, whole(content if encoder is None else encoder.feed(content))))
    descriptor = source.fileno()
    as_it_is = encoder is None and not session.parameters.is_deflated and not session.dtp.is_protected
    if as_it_is and descriptor is not None:
        return SendingFile(source, descriptor)
    return Sending(in_mode(session, file_pieces(source, encoder)))


def _sent_event(session: Session, path: VirtualPath, offset: int, source: Source) -> MakeEvent:
    def event(account: Account, seconds: float, result: Result, reason: str | None) -> Event:
        sha256 = source.sha256 if result is Result.COMPLETE else None
        return FileSent(session.who, str(path), account.bytes, seconds, offset, result, reason, sha256, account.tls)

    return event


def _stored_event(session: Session, sink: Sink) -> MakeEvent:
    def event(account: Account, seconds: float, result: Result, reason: str | None) -> Event:
        is_complete = result is Result.COMPLETE
        stored = FileStored(
            session.who,
            str(sink.path),
            account.bytes,
            seconds,
            sink.offset,
            result,
            reason,
            sha256=sink.sha256 if is_complete else None,
            tls=account.tls,
            hidden=(is_complete and sink.is_hidden) or None,
            without_close_notify=(is_complete and account.ended_by_fin) or None,
            verdict=sink.verdict if is_complete else None,
        )
        if (sent := sink.conversion) is None:
            return stored
        return replace(stored, sent_path=str(sent.sent_as), sent_sha256=sent.sha256, signed_by=sent.signer)

    return event


# The entry does not distinguish the two.
_NOT_GIVEN = "rules or file system do not give the right"


# Not in FEAT: lftp sends it before every file where it is listed, and a mirror of small files takes a fifth longer.
@family.command("PRET <SP> <command-name> [<SP> <pathname>]", needs=Needs.LOGIN, rfc="none")
async def pret(session: Session, argument: str) -> Reply:
    """Announce the next transfer: 200, or the error it would have."""
    verb, _, name = argument.partition(" ")
    command = session.table.find(verb.upper())
    if command is None or Needs.DATA_PORT not in command.needs:
        raise ReplyError(501, "PRET takes a transfer command: RETR, STOR, APPE, STOU, LIST, NLST or MLSD.")
    match command.verb:
        case "RETR":
            path = session.resolve(name)
            await session.at(path).run(_check_download, session.storage, path)
        case "STOR" | "APPE":
            letter = "w" if command.verb == "STOR" else "a"
            path = session.resolve(name)
            await session.at(path).run(_check_upload, session.storage, path, letter)
        case "MLSD":
            path = session.resolve(name) if name else session.parameters.directory
            entry = await session.at(path).run(session.storage.stat, path)
            if entry.type is not EntryType.DIRECTORY:
                raise ReplyError(501, "Not a directory; MLST describes a file.")
        case _:
            pass  # options, wild cards, a name of the server's own: only the command itself can tell
    return Reply(200, f"Ready for {command.verb}, send PASV or EPSV.")


def _check_download(storage: Storage, path: VirtualPath) -> None:
    """Raises: the errors of opening the file for a download. Runs in a worker."""
    storage.open_source(path).close()


def _check_upload(storage: Storage, path: VirtualPath, letter: str) -> None:
    """
    Raises: the plain errors of an upload; *letter* is the one that the file's perm fact must hold.

    The upload is not opened to try: that would begin anew a partial the client is about to resume. A user who may not
    look may upload all the same, so a missing file proves nothing. Runs in a worker.
    """
    try:
        entry = storage.stat(path)
    except StorageError as error:
        if error.kind is not Kind.NOT_FOUND:
            raise
    else:
        if entry.type is EntryType.DIRECTORY:
            raise StorageError(Kind.IS_A_DIRECTORY, path)
        if letter not in entry.perm:
            raise StorageError(Kind.DENIED, path, why=_NOT_GIVEN)
        return
    try:
        above = storage.stat(path.parent)
    except StorageError as error:
        if error.kind is not Kind.NOT_FOUND:
            raise
        return
    if above.type is not EntryType.DIRECTORY:
        raise StorageError(Kind.NOT_A_DIRECTORY, path)
    if "c" not in above.perm:
        raise StorageError(Kind.DENIED, path, why=_NOT_GIVEN)
