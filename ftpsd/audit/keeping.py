"""
Keeping events: a reply that says an upload is there leaves only when the event about it is safe.

Other sinks may lose events (a full disk, a crash), which the audit log then says. A keeper may not: what is to happen
behind an upload, such as a message to another system, must happen once the client has read of success.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from twisted.internet.defer import Deferred, succeed

from ftpsd.audit.events import Event
from ftpsd.values.trace import Trace


@dataclass(frozen=True, slots=True)
class Occurrence:
    """An *event* at the Unix time *seconds*; no other has its *id*, also in other processes and after a restart."""

    id: str
    seconds: float
    event: Event


class NotKept(Exception):
    """An event that could not be kept; the bus has logged why."""


class Keeper(Protocol):
    """
    Keeps events, so that none is lost once its Deferred has fired.

    It is called on the reactor thread and returns at once. Occurrences of one bus come in the order of their ids'
    numbers; several may be under way. A caller that cancels waits no longer; the event may be kept all the same.
    """

    @property
    def is_keeping(self) -> bool:
        """Whether there is any event that it keeps."""

    def keeps(self, event: Event, /) -> bool:
        """Return whether *event* must not be lost; what it tells of a file is then intended first."""

    def intend(self, occurrence: Occurrence, trace: Trace, /) -> Deferred[None]:
        """
        Fire when it is safe that *occurrence* is about to be true of the file *trace*; fail when that cannot be kept.

        `keep` with the same id, or `settle`, ends it.
        """

    def keep(self, occurrence: Occurrence, /) -> Deferred[None]:
        """Fire when *occurrence* is safe; fail when it cannot be kept."""

    def settle(self, intended: str, /) -> None:
        """Find out whether what was intended under this id has been done, and keep it if so."""


class KeepsNothing:
    """The keeper of a server where nothing must happen behind an upload."""

    is_keeping = False

    def keeps(self, event: Event, /) -> bool:
        """Return False."""
        return False

    def intend(self, occurrence: Occurrence, trace: Trace, /) -> Deferred[None]:
        """Fire at once."""
        return succeed(None)

    def keep(self, occurrence: Occurrence, /) -> Deferred[None]:
        """Fire at once."""
        return succeed(None)

    def settle(self, intended: str, /) -> None:
        """Nothing was intended."""


KEEPS_NOTHING: Final = KeepsNothing()
