"""
Recording: what a client is told of success is on record first, where the operator wants a record of it.

    intended = await intend(session, event, trace)    nothing has been done yet; 451 when it cannot be written down
    ...                                               the file is published, renamed, deleted
    await publish_kept(session, event, intended)      what was done is on record; then 226 or 250

An intent that does not come to its record is settled by a look at the disk (`AuditBus.settle`), after a crash at the
next start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred

from ftpsd.audit.events import Event
from ftpsd.audit.keeping import NotKept
from ftpsd.control.state.session import Session
from ftpsd.control.work import Work
from ftpsd.storage.base import StorageError
from ftpsd.values.trace import Trace
from ftpsd.wire.reply import ReplyError

# Seconds that a reply waits for the keeper. WinSCP gives up after 15 s without a reply.
KEEPER_PATIENCE = 10.0
NOT_INTENDED = "Nothing was done: the server cannot keep a record of it now. Try again later."

T = TypeVar("T")


async def intend(session: Session, event: Event, trace: Trace) -> str:
    """
    Write down that *event* is about to be true of the file *trace*; return the id that it then has.

    Raises:
        ReplyError: 451, it could not be written down, so it must not be done.
    """
    try:
        return await _bounded(session, session.runtime.shared.bus.intend(event, trace))
    except NotKept:
        raise ReplyError(451, NOT_INTENDED, "the intent was not kept") from None


async def publish_kept(session: Session, event: Event, intended: str | None = None) -> None:
    """
    Publish *event*, which has happened, and wait until it is kept: the last step before 226 or 250.

    The wait goes on when the session ends meanwhile. Nothing is taken back when it is in vain.

    Raises:
        ReplyError: 451, the event was not kept.
    """
    bus = session.runtime.shared.bus
    if not bus.keeps(event):
        bus.publish(event)
        return
    try:
        await _bounded(session, bus.publish_kept(event, intended))
    except NotKept:
        text = "Stored, but the record of it could not be kept; the operator has been told."
        raise ReplyError(451, text, "the event was not kept") from None


async def change(
    session: Session, work: Work, event: Event, trace: Callable[[], Trace], function: Callable[[], object]
) -> None:
    """
    Call *function* in a worker of *work*, and publish *event* about it; *trace* is that of the file, before.

    Raises:
        ReplyError: 451, *event* is one to be kept, and was not.
    """
    bus = session.runtime.shared.bus
    if not bus.keeps(event):
        await work.run(function)
        bus.publish(event)
        return
    try:
        traced = await work.run(trace)
    except StorageError:
        # Most likely *function* fails for the same reason, and its error is the one that the rights of the user allow.
        await work.run(function)
        intended = None
    else:
        intended = await intend(session, event, traced)
        try:
            await work.run(function)
        except BaseException:
            bus.settle(intended)
            raise
    await publish_kept(session, event, intended)


async def _bounded(session: Session, kept: Deferred[T]) -> T:
    # Three quarters of the 10 us that a keeper without anything to keep would cost are the timer's.
    if not kept.called or kept.paused:
        kept.addTimeout(KEEPER_PATIENCE, session.runtime.shared.clock)
    return await kept
