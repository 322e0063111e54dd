"""
All sinks of a server: one process of it makes the deliveries, whichever has recorded an event.

A reload changes the sinks that have changed and leaves the others alone. A sink that is no longer configured keeps its
cursor; when it comes back it goes on from there, as far as the events are still in the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd.audit.events import DAEMON, Event
from ftpsd.audit.topics.ledger_events import EventsRemoved
from ftpsd.config.automation.event_sinks import Events, EventSink
from ftpsd.config.automation.sink_files import SinkFiles
from ftpsd.durable.state_trouble import StateTrouble
from ftpsd.durable.store import Store
from ftpsd.events import progress_tables as tables
from ftpsd.events.delivery import Delivery, Receiver
from ftpsd.events.json_lines import JSONLines
from ftpsd.events.program_sink import Program
from ftpsd.events.record_tables import last_number
from ftpsd.workers import PoolBusy, Workers

# Seconds until an event of another process, or an order of the command line, is seen.
POLL: Final = 1.0
# Calls that wait for the state file, beyond which no look is taken.
BUSY: Final = 100
# Polls between two looks for events that may go.
POLLS_TO_PRUNE: Final = 60

log = Logger()


class Deliveries:
    """
    The sinks, out of *store*; *names* looks names up.

    *tell* is called with events for the audit log, *count* with a sink and "taken", "failed" or "given-up".
    """

    def __init__(
        self,
        store: Store,
        reactor: Any,
        names: Workers,
        tell: Callable[[Event], object],
        count: Callable[[str, str], object],
    ) -> None:
        self._store = store
        self._reactor = reactor
        self._names = names
        self._tell = tell
        self._count = count
        self._settings: Events | None = None
        self._files: Mapping[str, SinkFiles] = {}
        self._each: dict[str, Delivery] = {}
        self._is_started = False
        self._poll: IDelayedCall | None = None
        self._polls = 0
        self._seen = ""
        self._last = 0

    def use(self, settings: Events | None, files: Mapping[str, SinkFiles]) -> None:
        """Follow *settings* from now on; *files* are those that its sinks name."""
        before, self._settings = self._files, settings
        self._files = dict(files)
        if not self._is_started:
            return
        wanted = {sink.name: sink for sink in settings.sinks} if settings is not None else {}
        for name, delivery in list(self._each.items()):
            if wanted.get(name) != delivery.settings or before.get(name) != files.get(name):
                del self._each[name]
                delivery.stop()
        for name, sink in wanted.items():
            if name not in self._each:
                receiver = self._receiver(sink, self._files.get(name, SinkFiles()))
                delivery = Delivery(sink, receiver, self._store, self._reactor, self._tell, self._count)
                self._each[name] = delivery
        if settings is not None and self._poll is None:
            self._look()
        self.poke()

    def start(self) -> None:
        """Begin to deliver."""
        self._is_started = True
        self.use(self._settings, self._files)

    def stop(self) -> None:
        """End; what is under way comes again at the next start."""
        self._is_started = False
        if self._poll is not None:
            self._poll.cancel()
            self._poll = None
        for delivery in self._each.values():
            delivery.stop()
        self._each.clear()

    def poke(self) -> None:
        """Look for new events at once."""
        for delivery in self._each.values():
            delivery.poke()

    # --- what others read

    def lengths(self) -> dict[str, float]:
        """Return how many events each sink has not taken, dead letters not among them."""
        return {name: each.waiting + max(0, self._last - each.fetched) for name, each in self._each.items()}

    def ages(self) -> dict[str, float]:
        """Return how many seconds ago the oldest event was that each sink has not taken."""
        now = self._reactor.seconds()
        return {name: 0.0 if each.oldest is None else max(0.0, now - each.oldest) for name, each in self._each.items()}

    def dead(self) -> dict[str, float]:
        """Return how many dead letters each sink has."""
        return {name: each.dead for name, each in self._each.items()}

    def status(self) -> str:
        """Return one line for the status page."""
        if not self._each:
            return "none" if self._settings is not None else "off"
        lengths, dead = self.lengths(), self.dead()
        return "; ".join(
            f"{name}: {lengths[name]:.0f} waiting, {dead[name]:.0f} given up"
            + ("" if each.trouble is None else f", failing ({each.trouble})")
            for name, each in self._each.items()
        )

    # --- by the clock

    def _look(self) -> None:
        """Look for events of other processes, and for what the command line has changed."""
        self._poll = self._reactor.callLater(POLL, self._look) if self._settings is not None else None
        if self._settings is None or self._store.queued > BUSY:
            return
        self._store.run(_seen, self._reactor.seconds()).addCallbacks(self._saw, _told)
        self._polls += 1
        if self._polls % POLLS_TO_PRUNE == 1:
            self._prune()

    def _saw(self, found: tuple[str, int]) -> None:
        changed, last = found
        if changed != self._seen and self._seen:
            for delivery in self._each.values():
                delivery.reload()
        self._seen = changed or "0"
        self._last = last
        for delivery in self._each.values():
            if delivery.fetched < last:
                delivery.poke()

    def _prune(self) -> None:
        settings = self._settings
        if settings is None:
            return
        before = self._reactor.seconds() - settings.keep
        sinks = [sink.name for sink in settings.sinks]

        def pruned(found: tuple[int, int]) -> Deferred[None] | None:
            count, lost = found
            if lost:
                self._tell(EventsRemoved(DAEMON, lost))
            if count >= tables.MOST_PRUNED:
                self._prune()
            return None

        self._store.run(tables.prune, sinks, before, settings.most).addCallback(pruned).addErrback(_told)

    def _receiver(self, sink: EventSink, files: SinkFiles) -> Receiver:
        call = self._reactor.callFromThread
        if sink.program is not None:
            return Program(sink, call)
        if sink.file is not None:
            return JSONLines(sink.name, sink.file, call)
        # Imported where it is wanted: its package is an extra.
        from ftpsd.events.webhook import Webhook

        return Webhook(sink, files, self._reactor, self._names)


def _seen(connection: Any, now: float) -> tuple[str, int]:
    return tables.changes(connection, now), last_number(connection)


def _told(failure: Failure) -> None:
    """Take a failure of the file for told: the store's listener has told it."""
    if not failure.check(StateTrouble, PoolBusy):
        log.failure("the ledger of events could not be looked at", failure)
