"""
The course of a data command: 150, the data connection, the bytes, the end of the connection, and its event.

    outgoing = Outgoing(...)     what is sent: a producer or a file, its size when known
    await send(session, outgoing)        -> bytes sent; the command answers 226
    await receive(session, incoming)     -> bytes received and committed, the event kept; the command answers 226

Errors rise as `DataError`, `Lost` or `StorageError`; the event has been published by then, with the result and the
reason. A reply about a fault of the data connection goes out before that connection is cut: clients that see the cut
first never read the text.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, ParamSpec, Protocol, TypeVar

from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater

from ftpsd.audit.events import (
    DataConnectionOpened,
    DataConnectionRefused,
    DataSessionShared,
    Event,
    TLSEstablished,
    TransferStarted,
)
from ftpsd.control.recording import intend, publish_kept
from ftpsd.control.state.session import Session
from ftpsd.control.state.status import TransferStatus
from ftpsd.control.work import BUSY_PAUSE, Work
from ftpsd.data.carry.deflate import Inflating, deflated
from ftpsd.data.carry.quantum import Receiving, ReceivingSmall, Transfer
from ftpsd.data.connection import DataConnection
from ftpsd.data.trouble import Cause, DataError, Lost, Trouble, aborted
from ftpsd.storage.base import NotYet, Sink, StorageError
from ftpsd.tls.resumption import describe
from ftpsd.values.direction import Direction, Result
from ftpsd.values.handshake import TLSFacts
from ftpsd.values.path import VirtualPath
from ftpsd.values.trace import Trace
from ftpsd.wire.ascii import FromNetwork
from ftpsd.wire.reply import Reply, ReplyError
from ftpsd.workers import PoolBusy

# Files up to this size are read together with their open, and sent from the reactor thread: a second hand-over between
# threads costs more than encrypting 64 KiB (0.03 ms).
SMALL = 64 * 1024
# In active mode without TLS curl fails with (8) when 226 overtakes a data connection it has not accepted yet.
WAIT_FOR_ACCEPT = 1.0

P = ParamSpec("P")
M = TypeVar("M", bound="Made")

MakeEvent = Callable[["Account", float, Result, str | None], Event]

RESULTS = {Trouble.ABORTED: Result.ABORTED}


@dataclass(slots=True)
class Account:
    """The contents of a transfer's audit event, filled in while it runs; *event* makes it."""

    direction: Direction
    work: Work
    path: VirtualPath
    event: MakeEvent
    bytes: int = 0
    tls: TLSFacts | None = None
    ended_by_fin: bool = False


async def send(
    session: Session,
    account: Account,
    transfer: Transfer,
    *,
    opening: str,
    size: int | None,
    inline: bool,
) -> None:
    """Send *transfer* over the data connection; *opening* is the text of the 150, *size* its bytes where known."""
    async with _Running(session, account, opening, size) as running:
        connection = await running.connect()
        await running.carry(connection, transfer, inline=inline)
        is_unseen = session.dtp.mode == "active" and not connection.is_secure
        patience = session.config.limits.stall_timeout
        await connection.finish(patience, wait_for_peer=WAIT_FOR_ACCEPT if is_unseen else 0.0)
        session.dtp.let_go(connection)


def in_mode(session: Session, produce: Callable[[], memoryview]) -> Callable[[], memoryview]:
    """Return *produce* in the transfer mode of the session: as it is, or deflated."""
    return deflated(produce, session.parameters.deflate_level) if session.parameters.is_deflated else produce


async def receive(session: Session, account: Account, sink: Sink, *, opening: str) -> None:
    """Receive a file into *sink* and commit it; after any failure the sink is aborted and nothing is published."""
    decoder = FromNetwork() if session.parameters.is_ascii else None
    is_deflated = session.parameters.is_deflated
    small = ReceivingSmall(SMALL)
    # A small deflate stream may inflate to a large file: a worker inflates it, at the session's rate.
    small.is_full = is_deflated
    is_committed = False
    try:
        async with _Running(session, account, opening, None) as running:
            connection = await running.connect()
            if not is_deflated:
                await running.carry(connection, small, inline=True)
            if small.is_full:
                rest = Inflating(sink, decoder) if is_deflated else Receiving(sink, decoder, small.data)
                await running.carry(connection, rest, inline=False)
            account.ended_by_fin = connection.ended_by_fin
            await connection.finish(session.config.limits.stall_timeout)
            session.dtp.let_go(connection)
            # From here the client's part is done: losing the control connection changes nothing any more.
            first = None if small.is_full else partial(_store_small, sink, small.data, decoder)
            session.is_publishing = True
            in_pieces = partial(_in_pieces, session, account.work)
            running.intended = await publish(session, in_pieces, sink, running.completed, first)
            is_committed = True
    finally:
        if not is_committed:
            unwritten = bytearray() if small.is_full or decoder is not None else small.data
            await account.work.clean_up(_give_up, sink, unwritten)


class Published(Protocol):
    """An upload to be published when all of its bytes have come in, a `Sink` or more; see there."""

    def prepare(self) -> bool: ...
    def trace(self) -> Trace: ...
    def commit(self) -> None: ...


async def publish(
    session: Session,
    in_pieces: Callable[[Callable[[], bool]], Awaitable[None]],
    upload: Published,
    event: Callable[[], Event],
    first: Callable[[], None] | None = None,
) -> str | None:
    """
    Accept and publish *upload*: the one way from the last byte of any upload, copy or join to its 226 or 250.

    *first* stores the rest of the bytes, in the same call to a worker. *in_pieces* makes the calls, and decides what
    may end them before all is published. Where *event*, which tells of it as complete, is to be kept, the intent is
    written down before; return its id, for `publish_kept`.

    Raises:
        StorageError: REFUSED for bytes that a watcher does not take.
        ReplyError: 451, nothing is published because the intent could not be written down.
    """
    bus = session.runtime.shared.bus
    trace: Trace | None = None

    def prepare() -> bool:
        nonlocal first, trace
        if first is not None:
            first()
            first = None
        if not upload.prepare():
            return False
        if bus.is_keeping:
            trace = upload.trace()
        return True

    def step() -> bool:
        if not prepare():
            return False
        upload.commit()
        return True

    if not bus.is_keeping or not bus.keeps(told := event()):
        await in_pieces(step)
        return None
    await in_pieces(prepare)
    assert trace is not None
    intended = await intend(session, replace(told, sha256=trace.sha256), trace)  # type: ignore[call-arg]
    try:
        await in_pieces(step)
    except BaseException:
        bus.settle(intended)
        raise
    return intended


class Made(Published, Protocol):
    """A file that is made on the server of others, in pieces. Every call blocks and belongs in a worker."""

    def step(self) -> bool:
        """Make the next piece; True when all of it has been made."""

    def close(self) -> None:
        """Let all files go; one that is not published is given up."""


@dataclass(frozen=True, slots=True)
class Making(Generic[M]):
    """The file that was *made*, the *seconds* it took, and the id of the intent before it (see `publish`)."""

    made: M
    seconds: float
    intended: str | None


async def make(
    session: Session,
    work: Work,
    event: Callable[[M, float], Event],
    begin: Callable[P, M],
    *args: P.args,
    **kwargs: P.kwargs,
) -> Making[M]:
    """Begin a file with *begin* and its arguments, make and publish it by *work*; it is closed. *event* tells of it."""
    clock = session.clock
    started = clock.seconds()
    made = await work.when_counted(begin, *args, **kwargs)
    try:
        await work.in_pieces(made.step)
        session.is_publishing = True
        told = lambda: event(made, clock.seconds() - started)  # noqa: E731
        intended = await publish(session, work.in_pieces, made, told)
    finally:
        await work.clean_up(made.close)
    return Making(made, clock.seconds() - started, intended)


def _store_small(sink: Sink, data: bytearray, decoder: FromNetwork | None) -> None:
    """Write *data*, which is empty then."""
    if decoder is not None:
        data = bytearray(decoder.feed(bytes(data)) + decoder.finish())
    if data:
        with memoryview(data) as view:
            sink.write(view)
        data.clear()


async def _in_pieces(session: Session, work: Work, step: Callable[[], bool]) -> None:
    """
    Call *step* in a worker, as soon as one can take it, until it returns True or ABOR comes.

    It waits for as long as the pool is full, also when the session has ended meanwhile: the upload is here, whole.
    """
    is_done = False
    while not is_done:
        if session.is_abort_wanted:
            is_ended = session.is_gone or session.end_cause is not Cause.CLIENT_GONE
            raise Lost(session.end_cause if is_ended else Cause.ABOR, is_abort=True)
        try:
            is_done = await work.run(step)
        except PoolBusy:
            await deferLater(session.clock, BUSY_PAUSE)
        except NotYet as wait:
            await deferLater(session.clock, wait.seconds)


def _give_up(sink: Sink, rest: bytearray) -> None:
    """End an upload that did not come to its end; *rest* are received bytes that are not with the sink yet."""
    try:
        if rest:
            sink.write(memoryview(rest))
    except StorageError:
        pass  # the client gets the reason why the upload failed, and resumes behind the kept bytes
    finally:
        sink.abort()


class _Running:
    """One transfer from 150 to its audit event, as a context that publishes the event however the transfer ends."""

    def __init__(self, session: Session, account: Account, opening: str, size: int | None) -> None:
        self._session = session
        self._account = account
        self._opening = opening
        self._clock = session.clock
        self._started = self._clock.seconds()
        self.intended: str | None = None
        self._status = TransferStatus(opening, size, account.direction, str(account.path), self._started)

    async def __aenter__(self) -> _Running:
        session = self._session
        session.transfer = self._status
        session.publish(TransferStarted(session.who, self._account.direction))
        session.reply(Reply(150, self._opening))
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        session = self._session
        session.transfer = None
        result, reason = Result.COMPLETE, None
        if error is not None:
            result, reason = _judge(error, session.end_cause)
            # After the reply, see above. The part that was sent of a file must have no proper end: it would pass for
            # the whole.
            is_whole = self._account.direction is Direction.UPLOAD or isinstance(error, DataError)
            session.dtp.dismiss_after_reply(is_whole=is_whole)
        if isinstance(error, DataError) and not error.is_logged:
            session.publish(DataConnectionRefused(session.who, error.trouble.label, session.dtp.mode, error.reason))
        if result is Result.COMPLETE:
            await publish_kept(session, self.completed(), self.intended)
        else:
            session.publish(self._told(result, reason))

    def completed(self) -> Event:
        """Return the event of a transfer that is complete."""
        return self._told(Result.COMPLETE, None)

    def _told(self, result: Result, reason: str | None) -> Event:
        return self._account.event(self._account, self._clock.seconds() - self._started, result, reason)

    async def connect(self) -> DataConnection:
        """Return the data connection, checked and secured."""
        session = self._session
        if session.is_gone:
            raise aborted(session.end_cause)
        if session.is_abort_wanted:
            raise aborted(Cause.ABOR)
        started = self._clock.seconds()
        connection = await session.dtp.open(for_upload=self._account.direction is Direction.UPLOAD)
        session.publish(DataConnectionOpened(session.who, session.dtp.mode))
        resumed = session.dtp.resumed
        if resumed is not None and resumed != session.who.session:
            session.publish(DataSessionShared(session.who, resumed))
        if connection.tls is not None:
            facts = describe(connection.tls)
            self._account.tls = facts
            seconds = self._clock.seconds() - started
            known = facts.version, facts.cipher, facts.resumed
            session.publish(TLSEstablished(session.who, "data", *known, seconds, facts.group))
        return connection

    async def carry(self, connection: DataConnection, transfer: Transfer, *, inline: bool) -> None:
        """Run *transfer* over *connection*, at the session's rate."""
        session = self._session
        limits = session.config.limits
        parameters = session.parameters
        pace = parameters.upload_pace if self._account.direction is Direction.UPLOAD else parameters.download_pace
        if self._account.work.is_remote:
            connection.workers = self._account.work.workers  # its quanta wait for what is behind the storage
        await connection.carry(transfer, pace, limits.stall_timeout, progress=self._progress, inline=inline)

    def _progress(self, count: int) -> None:
        session = self._session
        self._status.moved += count
        self._account.bytes += count
        session.runtime.shared.metrics.bytes_moved(self._account.direction, count)
        if self._account.direction is Direction.UPLOAD:
            session.bytes_received += count
        else:
            session.bytes_sent += count


def _judge(error: BaseException, end: Cause = Cause.CLIENT_GONE) -> tuple[Result, str]:
    """Return the result and the reason in the audit log for *error*; *end* is that of the session."""
    if isinstance(error, DataError):
        return RESULTS.get(error.trouble, Result.REFUSED), error.reason
    if isinstance(error, Lost):
        text = str(error)
        return (Result.ABORTED if error.is_abort else Result.TRUNCATED), text
    if isinstance(error, StorageError):
        return Result.FAILED, str(error)
    if isinstance(error, PoolBusy):
        return Result.FAILED, "busy"
    if isinstance(error, CancelledError):
        return Result.ABORTED, end
    if isinstance(error, ReplyError) and error.reply.reason is not None:
        return Result.FAILED, error.reply.reason
    return Result.FAILED, "internal error"
