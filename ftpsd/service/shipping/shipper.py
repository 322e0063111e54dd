"""
The shipper: sends the lines of the audit log to one receiver, every one of them at least once.

    read a batch from the log -> send it -> … -> end the connection, which confirms it -> keep the cursor

The log itself is the queue, so an outage costs no memory, and no client notices it. A line not confirmed when a
connection or this process ended is sent again: a line may come twice, and a chained one then has the same `seq`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from random import uniform
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as OutOfPatience
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.logger import Logger

from ftpsd.audit.evidence.link import read_line
from ftpsd.audit.shipping.syslog import Form, framed, own_host
from ftpsd.audit.shipping.tail import Batch, Cursor, Tail
from ftpsd.durable import facts
from ftpsd.durable.store import Store
from ftpsd.outward.connecting import why_lost
from ftpsd.service.shipping.line_out import LineOut, TCPEnd
from ftpsd.workers import Workers

KIND: Final = "audit-ship"
# Seconds between two looks for new lines.
LOOK: Final = 0.5
# A connection is ended, and so confirmed, after so many seconds, lines or bytes.
CONFIRM_SECONDS: Final = 5.0
CONFIRM_LINES: Final = 10_000
CONFIRM_BYTES: Final = 8 * 1024 * 1024
# Seconds that a receiver has to read on, or to confirm; and to connect.
PATIENCE: Final = 60.0
CONNECT_TIMEOUT: Final = 20.0
# Seconds before the next attempt: the first and the last of a row that doubles.
FIRST_PAUSE, LAST_PAUSE = 1.0, 60.0

log = Logger()


@dataclass(frozen=True, slots=True)
class Way:
    """A way to a receiver: *endpoint*, what is known of the *end* of its connection, and what severs that."""

    endpoint: IStreamClientEndpoint
    end: TCPEnd
    sever: Callable[[], None]


class Shipper:
    """
    The shipper to the receiver *name*, reached by *line*, which makes a `Way`.

    Where *is_fin_enough* the end of TCP confirms, without the receiver's close_notify.

    *work* runs calls that block, *store* keeps the cursor.
    """

    def __init__(
        self,
        name: str,
        form: Form,
        tail: Tail,
        line: Callable[[], Way],
        work: Workers,
        store: Store,
        clock: Any,
        *,
        is_fin_enough: bool,
    ) -> None:
        self.name = name
        self.confirmed = 0
        """Lines that the receiver has read."""
        self.failures = 0
        """Attempts that ended without a confirmation."""
        self._form = form
        self._is_fin_enough = is_fin_enough
        self._tail = tail
        self._line = line
        self._work = work
        self._store = store
        self._clock = clock
        self._host = own_host()
        self._oldest: float | None = None
        self._trouble = ""
        self._running: Deferred[None] | None = None

    @property
    def lag(self) -> float:
        """The age in seconds of the oldest line that the receiver has not confirmed; 0 when there is none."""
        return 0.0 if self._oldest is None else max(0.0, self._clock.seconds() - self._oldest)

    def start(self) -> None:
        """Begin to send."""
        self._running = Deferred.fromCoroutine(self._run())
        self._running.addErrback(self._ended)

    def stop(self) -> None:
        """Send nothing more; what is not confirmed is sent after the next start."""
        if self._running is not None:
            self._running.cancel()

    def _ended(self, failure: Any) -> None:
        if not failure.check(CancelledError):
            log.failure("the audit log is not sent to {name} any more", failure, name=self.name)

    async def _run(self) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                await self._one_connection()
            except CancelledError:
                raise
            except Exception as error:
                self.failures += 1
                silent = "it does not answer, read on or confirm"
                self._tell(silent if isinstance(error, OutOfPatience) else why_lost(error))
                # Not all servers of a site at the same moment.
                await deferLater(self._clock, pause * uniform(0.8, 1.2))
                pause = min(2 * pause, LAST_PAUSE)
            else:
                pause = FIRST_PAUSE
                self._tell("")

    async def _one_connection(self) -> None:
        """Send lines over one connection until they are confirmed."""
        kept = await self._store.run(facts.get, KIND, self.name, 0.0)
        cursor = None if kept is None else Cursor.from_text(kept)
        gone = self._tail.gone
        await self._work.run(self._tail.go_to, cursor)
        if self._tail.gone > gone:
            log.error("ship {name}: lines are lost: the file of the log was deleted before it was sent", name=self.name)
        batch = await self._next()
        while not batch.lines:
            self._oldest = None
            await deferLater(self._clock, LOOK)
            batch = await self._next()
        self._oldest = _time_of(batch.lines[0])
        assert batch.behind is not None
        if cursor is None:
            # Kept before anything is sent: the file may be rotated away before the first confirmation.
            await self._keep(Cursor(batch.behind.first, 0, batch.behind.order))
        way = self._line()
        connection = LineOut(way.end, is_fin_enough=self._is_fin_enough)
        connected: Any = way.endpoint.connect(_Once(connection))
        try:
            await connected.addTimeout(PATIENCE, self._clock)
            await self._send(connection, batch)
        except BaseException:
            connection.abort()
            raise
        finally:
            way.sever()

    async def _send(self, connection: LineOut, batch: Batch) -> None:
        lines, size, begun = 0, 0, self._clock.seconds()
        while True:
            data, behind = await self._work.run(self._framed, batch.lines), batch.behind
            await connection.write(data).addTimeout(PATIENCE, self._clock)
            lines, size = lines + len(batch.lines), size + len(data)
            while True:
                is_old = self._clock.seconds() - begun >= CONFIRM_SECONDS
                if is_old or lines >= CONFIRM_LINES or size >= CONFIRM_BYTES:
                    await connection.finish().addTimeout(PATIENCE, self._clock)
                    assert behind is not None
                    await self._keep(behind)
                    self.confirmed += lines
                    return
                batch = await self._next()
                if batch.lines:
                    break
                await deferLater(self._clock, LOOK)

    def _keep(self, cursor: Cursor) -> Deferred[None]:
        return self._store.run(facts.put, KIND, self.name, cursor.to_text())

    def _next(self) -> Deferred[Batch]:
        return self._work.run(self._tail.read)

    def _framed(self, lines: list[bytes]) -> bytes:
        return b"".join(framed(line, self._form, self._host) for line in lines)

    def _tell(self, trouble: str) -> None:
        """Log a change: the first of like failures, and the end of all."""
        if trouble and trouble != self._trouble:
            log.warn("ship {name}: {why}; the audit log waits", name=self.name, why=trouble)
        elif self._trouble and not trouble:
            log.info("ship {name}: the audit log is sent again", name=self.name)
        self._trouble = trouble


class _Once(Factory):
    """A factory of one connection."""

    noisy = False

    def __init__(self, connection: LineOut) -> None:
        self._connection = connection

    def buildProtocol(self, addr: object) -> LineOut:
        return self._connection


def _time_of(line: bytes) -> float:
    """Return the Unix time of a line of the log; that of now where it has none."""
    try:
        return datetime.fromisoformat(str((read_line(line) or {}).get("time"))).timestamp()
    except ValueError:
        return time.time()
