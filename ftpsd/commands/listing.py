"""
Listings: LIST, NLST, MLSD, MLST, STAT.

A directory is read, rendered and sent piece by piece, so a million entries need no more memory than a hundred; on the
control connection too, where the next piece waits until the client has taken the last one. A listing is whole, or it is
no success: clients that mirror delete what it leaves out. Wild cards are matched in the last component only and by a
matcher that cannot explode.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from ftpsd.audit.events import DirectoryListed, Event
from ftpsd.control.datatransfer import SMALL, Account, MakeEvent, in_mode, send
from ftpsd.control.state.phase import After
from ftpsd.control.state.session import Session
from ftpsd.control.table import Family, Interrupts, Needs
from ftpsd.control.work import BUSY_PAUSE, Work
from ftpsd.data.carry.quantum import Sending, whole
from ftpsd.storage.base import Kind, Listing, Storage, StorageError
from ftpsd.values.direction import Direction, Result
from ftpsd.values.entry import Entry, EntryType, listable
from ftpsd.values.path import VirtualPath
from ftpsd.wire.charset import Charset
from ftpsd.wire.list_lines import ALL_FACTS, facts, glob_match, list_lines, mlsd_lines
from ftpsd.wire.reply import Reply, ReplyError, ReplyPart
from ftpsd.workers import PoolBusy

# Entries rendered in one go: about 16 KiB of text, one TLS record.
BATCH = 200
# `ls` options that clients send before the name or instead of one (WinSCP tries "-a" first).
OPTIONS = re.compile(r"(-[A-Za-z0-9]*(\s+|$))+")

# Signs that make a name a pattern.
PATTERN = "*?["

family = Family("listing")

# Makes the lines of a batch; those of one entry after the other would take twice as long.
Render = Callable[[list[Entry]], list[str]]


@dataclass(frozen=True, slots=True)
class Query:
    """
    The subject of a listing: *path*, or with *pattern* the matching entries of it.

    *prefix* goes before each name of an NLST; where no file is welcome, *path* must be a directory.
    """

    path: VirtualPath
    pattern: str | None = None
    prefix: str = ""
    is_file_welcome: bool = True


@family.command("LIST [<SP> <pathname>]", needs=Needs.LOGIN | Needs.DATA_PORT, rfc="959")
async def list_(session: Session, argument: str) -> Reply:
    """List a directory as `ls -l` does, times in UTC."""
    now_ns = time.time_ns()
    return await _list(session, argument, lambda _: partial(list_lines, now_ns=now_ns))


@family.command("NLST [<SP> <pathname>]", needs=Needs.LOGIN | Needs.DATA_PORT, rfc="959")
async def nlst(session: Session, argument: str) -> Reply:
    """List names only."""
    return await _list(
        session, argument, lambda query: lambda entries: [query.prefix + entry.name for entry in entries]
    )


@family.command("MLSD [<SP> <pathname>]", needs=Needs.LOGIN | Needs.DATA_PORT, rfc="3659")
async def mlsd(session: Session, argument: str) -> Reply:
    """List a directory for programs."""
    path = session.resolve(argument) if argument else session.parameters.directory
    query = Query(path, is_file_welcome=False)
    try:
        return await _send(
            session, session.at(path), session.storage, query, partial(mlsd_lines, wanted=session.parameters.facts)
        )
    except StorageError as error:
        if error.kind is Kind.NOT_A_DIRECTORY:
            raise ReplyError(501, "Not a directory; MLST describes a file.") from None
        raise


def _mlst_feature(session: Session) -> str:
    """RFC 3659, 7.8: all the facts there are, and which of them the session gets."""
    chosen = session.parameters.facts
    return "MLST " + "".join(f"{fact}{'*' if fact in chosen else ''};" for fact in ALL_FACTS)


@family.command("MLST [<SP> <pathname>]", needs=Needs.LOGIN, rfc="3659", features=(_mlst_feature,))
async def mlst(session: Session, argument: str) -> Reply:
    """Describe one file or directory."""
    path = session.resolve(argument) if argument else session.parameters.directory
    entry = await session.at(path).run(session.storage.stat, path)
    return Reply(250, "Listing:", (f"{facts(entry, session.parameters.facts)} {path}",), "End.")


@family.command("STAT [<SP> <pathname>]", needs=Needs.NOTHING, rfc="959", interrupts=Interrupts.ANSWERS)
async def stat(session: Session, argument: str) -> Reply:
    """Tell the state of the session or transfer, or list a path over the control connection."""
    if not argument.strip():
        return Reply(211, "Status:", _status(session), "End.")
    if session.avatar is None:
        raise ReplyError(530, "Log in with USER and PASS first.")
    storage = session.storage
    work = session.at(*_meant(session, argument))
    query = await work.run(_interpret, storage, session, argument)
    lines = Lines(_Opened(storage, query), partial(list_lines, now_ns=time.time_ns()))
    try:
        return await _say(session, work, f"Status of {query.path}:", lines)
    finally:
        await _close(work, lines)


async def _say(session: Session, work: Work, title: str, lines: Lines) -> Reply:
    """Send the listing on the control connection; return its last line, or all of it where it is short."""
    first = await work.run(lines.first)
    code = 213 if lines.is_of_file else 212
    if lines.is_complete:
        return Reply(code, title, tuple(first), "End.")
    try:
        await session.say(ReplyPart(tuple(first), code, title))
        while more := await _next(session, work, lines):
            await session.say(ReplyPart(tuple(more)))
    except BaseException:
        # Only the end of the connection can signal to the client that the listing is incomplete.
        session.after_reply(After.CLOSE, "listing-failed")
        raise
    return Reply(code, "End.")


async def _next(session: Session, work: Work, lines: Lines) -> list[str]:
    while True:
        try:
            return await work.run(lines.read)
        except PoolBusy:
            await session.sleep(BUSY_PAUSE)


def _status(session: Session) -> tuple[str, ...]:
    transfer, parameters = session.transfer, session.parameters
    lines = [
        f"Logged in as {session.avatar.user.name}" if session.avatar is not None else "Not logged in",
        f"TYPE {'A' if parameters.is_ascii else 'I'}; STRU F; MODE {'Z' if parameters.is_deflated else 'S'}",
        f"Control connection {'under TLS' if session.is_secure else 'in clear'}",
        f"Data connections {'under TLS' if session.dtp.is_protected else 'in clear'}",
    ]
    if transfer is not None:
        of_all = "" if transfer.size is None else f" of {transfer.size}"
        lines.append(f"Transferring: {transfer.moved}{of_all} bytes")
    return tuple(lines)


async def _list(session: Session, argument: str, rendering: Callable[[Query], Render]) -> Reply:
    storage = session.storage  # the session has none any more when its client leaves meanwhile
    work = session.at(*_meant(session, argument))
    query = await work.run(_interpret, storage, session, argument)
    return await _send(session, work, storage, query, rendering(query))


async def _send(session: Session, work: Work, storage: Storage, query: Query, render: Render) -> Reply:
    """Send the listing *query* asks for over the data connection."""
    session.parameters.take_restart_offset()
    pieces = Pieces(Lines(_Opened(storage, query), render), session.parameters.charset)
    first = await work.run(pieces.first)
    try:
        account = Account(Direction.LISTING, work, query.path, _event(session, query.path, pieces))
        transfer = Sending(in_mode(session, whole(first) if pieces.lines.is_complete else pieces))
        opening = "Here comes the directory listing."
        inline = pieces.lines.is_complete and not session.parameters.is_deflated
        await send(session, account, transfer, opening=opening, size=None, inline=inline)
    finally:
        await _close(work, pieces.lines)
    return Reply(226, "Listing complete.")


async def _close(work: Work, lines: Lines) -> None:
    if not lines.is_complete:
        await work.clean_up(lines.close)


def _event(session: Session, path: VirtualPath, pieces: Pieces) -> MakeEvent:
    def event(account: Account, seconds: float, result: Result, reason: str | None) -> Event:
        return DirectoryListed(
            session.who, str(path), account.bytes, seconds, result, pieces.lines.count, reason, account.tls
        )

    return event


class Lines:
    """A listing as lines; every call blocks and belongs in a worker."""

    def __init__(self, opened: _Opened, render: Render) -> None:
        self.is_complete = False
        self.count = 0
        self._opened = opened
        self._render = render

    @property
    def is_of_file(self) -> bool:
        """Whether the query is about the file that the path names."""
        return self._opened.is_file

    def first(self) -> list[str]:
        """Return the lines of at least 64 KiB, or all."""
        found: list[str] = []
        length = 0
        try:
            while length < SMALL and (more := self.read()):
                found += more
                length += sum(map(len, more))
        except BaseException:
            self.close()
            raise
        return found

    def read(self) -> list[str]:
        """Return the next batch, empty only at the end: a batch without a single name to show is passed over."""
        while entries := self._opened.read(BATCH):
            if lines := self._render(listable(entries)):
                self.count += len(lines)
                return lines
        self.is_complete = True
        self.close()
        return []

    def close(self) -> None:
        """Let the directory go."""
        self._opened.close()


class Pieces:
    """The same as pieces of text."""

    def __init__(self, lines: Lines, charset: Charset) -> None:
        self.lines = lines
        self._charset = charset
        self._first = b""

    def first(self) -> bytes:
        """Return about 64 KiB or all, kept for the first piece when it is not all."""
        text = self._text(self.lines.first())
        if not self.lines.is_complete:
            self._first = text
        return text

    def __call__(self) -> memoryview:
        """Return the next piece, empty at the end."""
        first, self._first = self._first, b""
        return memoryview(first or self._text(self.lines.read()))

    def _text(self, lines: list[str]) -> bytes:
        return self._charset.encode("\r\n".join((*lines, ""))) if lines else b""


class _Opened:
    """The entries of a query as a `Listing`: a directory's, the matching ones of it, or the one file it names."""

    def __init__(self, storage: Storage, query: Query) -> None:
        self._storage = storage
        self._query = query
        self._listing: Listing | None = None
        self.is_file = False

    def read(self, count: int) -> list[Entry]:
        """See `Listing.read`."""
        if self.is_file:
            return []
        if self._listing is None:
            try:
                self._listing = self._storage.list(self._query.path)
            except StorageError as error:
                takes_file = self._query.is_file_welcome and self._query.pattern is None
                if error.kind is not Kind.NOT_A_DIRECTORY or not takes_file:
                    raise
                entry = self._storage.stat(self._query.path)
                self.is_file = True
                return [entry._replace(name=self._query.path.name)]
        pattern = self._query.pattern
        while entries := self._listing.read(count):
            if pattern is not None:
                entries = [entry for entry in entries if glob_match(entry.name, pattern)]
            if entries:
                return entries
        return []

    def close(self) -> None:
        """See `Listing.close`."""
        if self._listing is not None:
            self._listing.close()


def _meant(session: Session, argument: str) -> Iterator[VirtualPath]:
    """Return all paths that the argument of LIST, NLST or STAT may mean; which it means, `_interpret` finds out."""
    options = OPTIONS.match(argument)
    for text in (argument,) if options is None else (argument, argument[options.end() :]):
        if not text.strip():
            yield session.parameters.directory
            continue
        yield session.resolve(text)
        head, slash, last = text.rpartition("/")
        if any(sign in last for sign in PATTERN):
            yield session.resolve(head + slash) if slash else session.parameters.directory


def _interpret(storage: Storage, session: Session, argument: str) -> Query:
    """Turn the argument of LIST, NLST or STAT into a query. Runs in a worker."""
    text = argument
    options = OPTIONS.match(text)
    if options is not None and not _exists(storage, session.resolve(text)):
        text = text[options.end() :]
    if not text.strip():
        return Query(session.parameters.directory)
    path = session.resolve(text)
    head, slash, last = text.rpartition("/")
    if any(sign in last for sign in PATTERN) and not _exists(storage, path):
        return Query(session.resolve(head + slash) if slash else session.parameters.directory, last, head + slash)
    if storage.stat(path).type is EntryType.DIRECTORY:
        # Clients send names of NLST back in RETR as they are (RFC 1123, 4.1.2.7), so each name starts with the
        # argument.
        return Query(path, None, "" if text == "." else text if text.endswith("/") else f"{text}/")
    return Query(path, None, head + slash)


def _exists(storage: Storage, path: VirtualPath) -> bool:
    try:
        storage.stat(path)
    except StorageError:
        return False
    return True
