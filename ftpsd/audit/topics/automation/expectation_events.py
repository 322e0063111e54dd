"""
Audit events of expectations. The rules of `events.py` hold. `expectation` is a configured name, the user the one that
is expected to send.
"""

from __future__ import annotations

from dataclasses import dataclass

from ftpsd.audit.events import Event


@dataclass(frozen=True, slots=True)
class ExpectationEvent(Event):
    """
    An outcome of the expectation *expectation* on *day*, whose deadline is *due* (RFC 3339, with the offset of its
    zone).

    *came* of *count* files came that are as they shall be. *reason* is a fixed word: what is wrong with the others.
    *path* is the pattern, or the last file that came; *id* is that of the event in the ledger.
    """

    expectation: str
    id: str
    day: str
    due: str
    came: int
    count: int
    reason: str | None
    path: str


class ExpectationOnTime(ExpectationEvent):
    """Everything was there by the deadline."""

    __slots__ = ()
    event = "expectation-on-time"


class ExpectationLate(ExpectationEvent):
    """Everything was there, behind the deadline."""

    __slots__ = ()
    event = "expectation-late"


class ExpectationInvalid(ExpectationEvent):
    """Deadline and grace are over, and what came is not as it shall be."""

    __slots__ = ()
    event = "expectation-invalid"


class ExpectationMissing(ExpectationEvent):
    """Deadline and grace are over, and nothing, or too little, came."""

    __slots__ = ()
    event = "expectation-missing"


class ExpectationWarning(ExpectationEvent):
    """The deadline is near, or something came that is not as it shall be."""

    __slots__ = ()
    event = "expectation-warning"


OUTCOMES: dict[str, type[ExpectationEvent]] = {
    "on-time": ExpectationOnTime,
    "late": ExpectationLate,
    "invalid": ExpectationInvalid,
    "missing": ExpectationMissing,
    "warning": ExpectationWarning,
}
