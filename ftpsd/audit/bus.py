"""
The audit bus: one event in, every sink called with it, in the order they subscribed.

Publishing happens on the reactor thread. A sink returns at once: what may wait (a disk, a webhook) queues the event
and does its work elsewhere. A sink that raises is logged, at most once a minute, and counted; the sinks behind it and
the publisher never notice.

An event that must not be lost (`publish_kept`) goes to the keeper as well, and its publisher waits until it is safe.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from secrets import token_hex
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd.audit.events import Event
from ftpsd.audit.keeping import KEEPS_NOTHING, Keeper, NotKept, Occurrence
from ftpsd.values.trace import Trace

# A broken sink fails for every event, thousands of times a second: the first failure is logged with its cause, the rest
# as a count.
SECONDS_BETWEEN_COMPLAINTS = 60.0
# Events that are being kept while nobody waits for them, such as logins that were refused: a flood of these must not
# fill the queue that uploads wait in.
MOST_LOOSE = 1000

Sink = Callable[[Event, float], None]


class AuditBus:
    """
    The carrier of events to sinks.

    *seconds* returns the Unix time (`reactor.seconds`); *failed* is called with 1 for every event that a sink did not
    take or the *keeper* did not keep.
    """

    _log = Logger()

    def __init__(
        self,
        seconds: Callable[[], float] = time.time,
        failed: Callable[[int], None] = lambda _count: None,
        keeper: Keeper = KEEPS_NOTHING,
    ) -> None:
        self.failures = 0
        self._seconds = seconds
        self._failed = failed
        self._keeper = keeper
        self._name = token_hex(8)
        self._numbers = count(1)
        self._loose = 0
        # Each with the kinds of events that it wants.
        self._sinks: tuple[tuple[Sink, tuple[type[Event], ...]], ...] = ()
        # What `_sinks` comes to for the kinds of events that were published.
        self._sinks_for: dict[type[Event], tuple[Sink, ...]] = {}
        self._complaints: dict[object, _Complaint] = {}

    def subscribe(self, sink: Sink, *kinds: type[Event]) -> None:
        """Call *sink* with every event of *kinds*, or of any, from now on, after the sinks that are already there."""
        self._sinks = (*self._sinks, (sink, kinds or (Event,)))
        self._sinks_for = {}

    def unsubscribe(self, sink: Sink) -> None:
        """Call *sink* no more; an unknown sink is no error."""
        self._sinks = tuple(known for known in self._sinks if known[0] != sink)
        self._sinks_for = {}
        self._complaints.pop(sink, None)

    @property
    def is_keeping(self) -> bool:
        """Whether there is any event that must not be lost."""
        return self._keeper.is_keeping

    def keeps(self, event: Event) -> bool:
        """Return whether *event* must not be lost: it is intended first, then goes to `publish_kept`."""
        return self._keeper.keeps(event)

    def publish(self, event: Event) -> None:
        """Call every sink with *event*, which happened now; the keeper, too, where it keeps it, behind the caller."""
        now = self._seconds()
        self._call(event, now)
        if self._keeper.is_keeping and self._keeper.keeps(event):
            if self._loose >= MOST_LOOSE:
                self._complain(self._keeper, event, now, Failure(NotKept("too many wait")))
                return
            self._loose += 1
            self._keep(event, now, None).addBoth(self._kept_behind)

    def publish_kept(self, event: Event, intended: str | None = None) -> Deferred[None]:
        """
        Call every sink with *event*, which happened now, and return what fires when it is safe with the keeper.

        *intended* is the id that `intend` has given. Fails with `NotKept`, which has been logged.
        """
        now = self._seconds()
        self._call(event, now)
        return self._keep(event, now, intended)

    def intend(self, event: Event, trace: Trace) -> Deferred[str]:
        """
        Return what fires, with an id, when it is safe with the keeper that *event* is about to be true of *trace*.

        Fails with `NotKept`, which has been logged: then it must not be done.
        """
        now = self._seconds()
        occurrence = Occurrence(self._new_id(), now, event)
        intended = maybeDeferred(self._keeper.intend, occurrence, trace)
        return intended.addErrback(self._not_kept, event, now).addCallback(lambda _: occurrence.id)

    def settle(self, intended: str) -> None:
        """Have the keeper find out whether what was *intended* has been done: nobody here can tell."""
        self._keeper.settle(intended)

    def _keep(self, event: Event, now: float, intended: str | None) -> Deferred[None]:
        kept = maybeDeferred(self._keeper.keep, Occurrence(intended or self._new_id(), now, event))
        return kept.addErrback(self._not_kept, event, now)

    def _new_id(self) -> str:
        return f"{self._name}-{next(self._numbers)}"

    def _kept_behind(self, _: object) -> None:
        self._loose -= 1

    def _not_kept(self, failure: Failure, event: Event, now: float) -> None:
        self._complain(self._keeper, event, now, failure)
        raise NotKept

    def _call(self, event: Event, now: float) -> None:
        kind = type(event)
        sinks = self._sinks_for.get(kind)
        if sinks is None:
            sinks = self._sinks_for[kind] = tuple(sink for sink, kinds in self._sinks if issubclass(kind, kinds))
        for sink in sinks:
            try:
                sink(event, now)
            except Exception:
                self._complain(sink, event, now)

    def _complain(self, sink: object, event: Event, now: float, failure: Failure | None = None) -> None:
        self.failures += 1
        self._failed(1)
        complaint = self._complaints.setdefault(sink, _Complaint())
        complaint.unsaid += 1
        if complaint.is_due(now):
            # The event's name only: its fields may hold what a client typed.
            fields: Any = {"event": event.event, "count": complaint.unsaid}
            if failure is not None and failure.check(NotKept):
                text = "{event} was not kept: {why}; {count} time(s) since this was last said."
                self._log.error(text, why=str(failure.value), **fields)
            else:
                text = "Audit sink {sink} failed on {event}, {count} time(s) since this was last said."
                self._log.failure(text, failure, sink=sink, **fields)
            complaint.unsaid, complaint.said_at = 0, now


class _Complaint:
    """The time of the last logged failure of a sink, and the number of failures since."""

    def __init__(self) -> None:
        self.unsaid = 0
        self.said_at: float | None = None

    def is_due(self, now: float) -> bool:
        # A clock set back must not silence the complaint until it has caught up.
        return self.said_at is None or not 0 <= now - self.said_at < SECONDS_BETWEEN_COMPLAINTS
