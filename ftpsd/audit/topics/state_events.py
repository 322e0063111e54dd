"""
Audit events of the state file. The rules of `events.py` hold.
"""

from __future__ import annotations

from dataclasses import dataclass

from ftpsd.audit.events import Event


@dataclass(frozen=True, slots=True)
class StateFailed(Event):
    """The state file cannot be used. *reason* is free text for the operator, with the remedy; no metric carries it."""

    event = "state-failed"
    reason: str


@dataclass(frozen=True, slots=True)
class StateRestored(Event):
    """The state file can be used again."""

    event = "state-restored"
