"""
Audit events of retention and legal holds. The rules of `events.py` hold.
"""

from __future__ import annotations

from dataclasses import dataclass

from ftpsd.audit.events import Event


@dataclass(frozen=True, slots=True)
class FileArchived(Event):
    """A file was moved to *target* in an archive; *reason* is `retention`, *rule* its place among the rules."""

    event = "file-archived"
    path: str
    target: str
    bytes: int
    reason: str
    rule: str


@dataclass(frozen=True, slots=True)
class RetentionStopped(Event):
    """*overdue* of *files* would have gone at once under *rule*, which is too many: nothing went."""

    event = "retention-stopped"
    rule: str
    files: int
    overdue: int


@dataclass(frozen=True, slots=True)
class RetentionFailed(Event):
    """Something of a sweep could not be done. *reason* is free text for the operator; no metric carries it."""

    event = "retention-failed"
    reason: str


@dataclass(frozen=True, slots=True)
class HoldAdded(Event):
    """A legal hold begins."""

    event = "hold-added"
    hold: str
    reason: str
    by: str
    paths: str
    users: str


@dataclass(frozen=True, slots=True)
class HoldRemoved(Event):
    """A legal hold ends."""

    event = "hold-removed"
    hold: str
    reason: str
    by: str


# Those of no session. One process of a server has the duty, and publishes them.
RetentionEvent = RetentionStopped | RetentionFailed | HoldAdded | HoldRemoved
