"""
The lookout: expectations in the daemon. The one process looks that delivers events.

It works when an event has come into the ledger, and when the next moment of any expectation is there, by the clock of
the machine. A clock that is set forward decides deadlines that it passes; one that is set back takes nothing back, and
nothing is told a second time.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd.audit.bus import AuditBus
from ftpsd.config.automation.expectation_sections import Expectation
from ftpsd.durable.state_trouble import StateTrouble
from ftpsd.durable.store import Store
from ftpsd.events.awaited import waiting_tables as tables
from ftpsd.events.awaited.waiting_tables import Advance
from ftpsd.events.record_tables import last_number
from ftpsd.workers import PoolBusy

# Seconds until an event is seen, also of another process.
INTERVAL: Final = 1.0
# Calls that wait for the state file, beyond which no look is taken.
BUSY: Final = 100

log = Logger()


class Lookout:
    """The expectations out of *store*; outcomes go to *bus*."""

    def __init__(self, store: Store, clock: IReactorTime, bus: AuditBus) -> None:
        self._store = store
        self._clock = clock
        self._bus = bus
        self._expectations: tuple[Expectation, ...] = ()
        self._next = 0.0
        self._last = -1
        self._states: dict[str, int] = {}
        # Those that the audit log has, whatever the state file says of it.
        self._told: set[str] = set()

    def use(self, expectations: tuple[Expectation, ...]) -> None:
        """Follow *expectations* from now on."""
        self._expectations, self._next = expectations, 0.0
        if not expectations:
            self._states = {}

    @property
    def reader(self) -> tuple[str, ...]:
        """The name of the cursor before which no event may go."""
        return (tables.READER,) if self._expectations else ()

    def states(self) -> dict[str, float]:
        """Return how many windows wait, or were told to be invalid or missing and could still be late."""
        return {state: float(count) for state, count in self._states.items()}

    def status(self) -> str:
        """Return one line for the status page."""
        told = ", ".join(f"{count} {state}" for state, count in self._states.items())
        return told or ("none" if not self._expectations else "not looked at yet")

    def look(self) -> Deferred[None] | None:
        """Tell what is to be told now."""
        if not self._expectations or self._store.queued > BUSY:
            return None
        if self._clock.seconds() < self._next:
            return self._store.run(last_number).addCallbacks(self._saw, _told)
        return self._advance()

    def _saw(self, last: int) -> Deferred[None] | None:
        return self._advance() if last != self._last else None

    def _advance(self) -> Deferred[None]:
        followed = self._expectations

        async def advance() -> None:
            found = await self._store.run(tables.advance, followed, self._clock.seconds())
            # A reload came in between: the next look is by the new ones.
            self._next = found.next if followed is self._expectations and not found.more else 0.0
            self._last, self._states = found.last, found.states
            self._publish(found)
            if found.untold:
                await self._store.run(tables.told, [event.id for event in found.untold])

        return Deferred.fromCoroutine(advance()).addErrback(_told)

    def _publish(self, found: Advance) -> None:
        for event in found.untold:
            if event.id not in self._told:
                self._told.add(event.id)
                self._bus.publish(event)
        if not found.untold:
            self._told.clear()


def _told(failure: Failure) -> None:
    """Take a failure of the file for told: the store's listener has told it."""
    if not failure.check(StateTrouble, PoolBusy):
        log.failure("expectations could not be looked at", failure)
