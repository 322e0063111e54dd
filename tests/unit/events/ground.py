"""A delivery on a fake clock, out of a ledger in memory, to a receiver that does as the test says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from ftpsd.audit.events import Event
from ftpsd.config.automation.event_sinks import EventSink
from ftpsd.events import record_tables
from ftpsd.events.delivery import Delivery
from ftpsd.events.record_tables import Draft, Record
from ftpsd.events.sinks.receiver import NotTaken
from ftpsd.values.trace import Trace
from tests.state import InlineStore


class HeldReceiver:
    """Takes at once what it gets, or fails, or *holds*; *got* are the ids of every attempt."""

    most = 1

    def __init__(self) -> None:
        self.got: list[str] = []
        self.refuses: Callable[[Record], bool] = lambda _: False
        self.holds = False
        self.held: list[tuple[str, Deferred[None]]] = []
        self.is_stopped = False

    def send(self, records: Sequence[Record]) -> Deferred[None]:
        """Note *records*."""
        self.got += [record.id for record in records]
        if self.holds:
            answer: Deferred[None] = Deferred()
            self.held.append((records[0].id, answer))
            return answer
        return fail(NotTaken("no")) if any(map(self.refuses, records)) else succeed(None)

    def stop(self) -> None:
        """Note it."""
        self.is_stopped = True


class Ground:
    """A ledger, and one sink."""

    def __init__(self, **settings: Any) -> None:
        self.store = InlineStore()
        self.clock = Clock()
        self.told: list[Event] = []
        self.counts: list[str] = []
        self.settings = EventSink.model_validate({"name": "a", "file": "/f", "attempts": 3, **settings})
        only = self.settings.only
        self.wants = lambda record: only is None or record.event in only
        self.receiver = HeldReceiver()
        self.delivery = self.started()

    def started(self) -> Delivery:
        """Return a delivery of another process, which has loaded what is there."""
        store, clock = self.store, self.clock
        count = lambda _, result: self.counts.append(result)  # noqa: E731
        delivery = Delivery(
            self.settings, self.receiver, store, clock, self.told.append, count, Random(1), wants=self.wants
        )
        delivery.poke()
        return delivery

    def record(self, id: str, place: str = "", event: str = "file-stored") -> None:
        """Have an event come into the ledger, about a file at *place*."""
        trace = Trace((place or f"/{id}").encode(), 1, 1, 1, 1)
        data = f'{{"time":"now","event":"{event}","path":"/{id}"}}'
        self.store.run(record_tables.record, Draft(id, event, self.clock.seconds(), data), trace)
        self.delivery.poke()

    def run(self, seconds: float) -> None:
        """Let the time pass, as the reactor does: in small steps."""
        for _ in range(int(seconds * 4)):
            self.clock.advance(0.25)
