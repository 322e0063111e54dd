"""
Audit events of the ledger and its sinks. The rules of `events.py` hold. `sink` is a configured name.
"""

from __future__ import annotations

from dataclasses import dataclass

from ftpsd.audit.events import Event


@dataclass(frozen=True, slots=True)
class SinkFailing(Event):
    """A sink has not taken what it was sent several times in a row. *reason* is free text; no metric carries it."""

    event = "sink-failing"
    sink: str
    reason: str


@dataclass(frozen=True, slots=True)
class SinkRestored(Event):
    """A sink takes events again."""

    event = "sink-restored"
    sink: str


@dataclass(frozen=True, slots=True)
class EventGivenUp(Event):
    """The event *id* was given up for *sink* after so many *attempts*; *reason* is free text, of the last of them."""

    event = "event-given-up"
    sink: str
    id: str
    about: str
    attempts: int
    reason: str


@dataclass(frozen=True, slots=True)
class EventsRemoved(Event):
    """So many events were removed from a full ledger (`events.most`) before every sink had taken them."""

    event = "events-removed"
    count: int
