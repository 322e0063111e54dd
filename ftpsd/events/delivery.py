"""
The delivery of events to one sink: in order for each path, again and again, until it is taken or given up.

* The cursor in the state file moves behind every event that was taken, or that has failed and got a row of its own
  (progress_tables.py). After a crash those under way come again, with the same ids: at least once.
* Events that share a key (a path of this machine) are delivered one after the other, in the order of the ledger. One
  that waits for another attempt holds up those behind it with its keys, and no others. `MOST_BEHIND` of them may wait;
  then the sink takes nothing new until some are taken or given up.
* The pause before the next attempt doubles, up to `longest_pause`, with jitter. After `FAILURES_IN_A_ROW` the sink as a
  whole is left alone in the same way, and one event at a time tries it: a receiver that is down is not flooded, and its
  events are not used up.
* After `attempts` an event is a dead letter: it stays in the state file, `ftpsd events replay` delivers it again.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from sqlite3 import Connection
from typing import Final

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd.audit.events import DAEMON, Event
from ftpsd.audit.topics.automation.ledger_events import EventGivenUp, SinkFailing, SinkRestored
from ftpsd.config.automation.event_sinks import Pacing
from ftpsd.durable.state_trouble import StateTrouble
from ftpsd.durable.store import Store
from ftpsd.events import progress_tables as tables
from ftpsd.events.progress_tables import Progress, Row, State
from ftpsd.events.record_tables import Record, fetch
from ftpsd.events.sinks.receiver import GivenUp, NotTaken, Receiver
from ftpsd.events.window import Item, Window
from ftpsd.workers import PoolBusy

# Events that wait for another attempt, or behind one that does.
MOST_BEHIND: Final = 2000
FETCHED: Final = 200
FIRST_PAUSE: Final = 1.0
FAILURES_IN_A_ROW: Final = 3

log = Logger()


class Delivery:
    """
    The delivery to the sink of *settings*, through *receiver*, out of *store*. Reactor thread only.

    *tell* is called with events for the audit log, *counted* with "taken", "failed" or "given-up". Events that it does
    not *want* are passed by. *is_one_system*: behind the receiver is one system that can be down as a whole; else what
    fails says nothing about the events behind it.
    """

    def __init__(
        self,
        settings: Pacing,
        receiver: Receiver,
        store: Store,
        clock: IReactorTime,
        tell: Callable[[Event], object],
        counted: Callable[[str, str], object],
        random: Random | None = None,
        *,
        wants: Callable[[Record], bool] = lambda _: True,
        is_one_system: bool = True,
    ) -> None:
        self.settings = settings
        self.dead = 0
        self.trouble: str | None = None
        """Why the last attempts have failed, None while they do not."""
        self._receiver = receiver
        self._store = store
        self._clock = clock
        self._tell = tell
        self._counted = counted
        self._random = random or Random()
        self._wants = wants
        self._is_one_system = is_one_system
        self._window = Window()
        # Rows of events above the cursor, which come out of the ledger later.
        self._early: dict[int, Row] = {}
        self._dropped: frozenset[int] = frozenset()
        self._fetched = 0
        self._is_loaded = self._is_loading = self._is_fetching = self._is_saving = False
        self._is_at_end = self._is_stopped = self._is_stale = self._is_starting = self._has_more = False
        self._running = 0
        self._failures = 0
        self._closed_until = 0.0
        self._wake: IDelayedCall | None = None
        self._changed: dict[int, Row] = {}
        self._gone: set[int] = set()
        self._saved = -1
        # The file that numbers and cursor are of.
        self._generation = 0

    # --- the outside

    @property
    def waiting(self) -> int:
        """How many events have come out of the ledger and are not taken."""
        return len(self._window)

    @property
    def fetched(self) -> int:
        """The number of the last event that has come out of the ledger."""
        return self._fetched

    @property
    def oldest(self) -> float | None:
        """The Unix time of the oldest event that is not taken."""
        return min((item.record.seconds for item in self._window), default=None)

    @property
    def untaken(self) -> list[Record]:
        """Those that have come out of the ledger and are not taken."""
        return [item.record for item in self._window]

    def poke(self) -> None:
        """Look for new events: there are some, or could be."""
        self._is_at_end = False
        self._go_on()

    def reload(self) -> None:
        """Read all anew: the command line has changed what is to be delivered."""
        self._is_stale = True
        self._go_on()

    def stop(self) -> None:
        """End; what is under way comes again at the next start."""
        self._is_stopped = True
        self._save()
        if self._wake is not None and self._wake.active():
            self._wake.cancel()
        self._receiver.stop()

    # --- out of the ledger

    def _go_on(self) -> None:
        if self._is_stopped:
            return
        if self._has_more and not self._window:
            self._is_stale = True
        if self._is_stale or not self._is_loaded:
            self._load()
        # While all is read anew, what is fetched would be behind events that are forgotten then.
        elif not (self._is_loading or self._is_at_end or self._is_fetching) and len(self._window) < MOST_BEHIND:
            self._fetch()
        self._start()

    def _load(self) -> None:
        # Calls under way would come back to other items than those they were made for.
        if self._is_loading or self._running or self._is_saving or self._is_fetching:
            return
        self._is_loading, self._is_stale = True, False

        def load(connection: Connection) -> tuple[int, Progress]:
            return self._store.generation, tables.load(connection, self.settings.name, MOST_BEHIND)

        def done(found: tuple[int, Progress] | None) -> None:
            self._is_loading = False
            if found is not None:
                self._generation, progress = found
                self._begin(progress)
                self._go_on()

        self._store.run(load).addErrback(_told).addCallback(done)

    def _begin(self, progress: Progress) -> None:
        records = {record.number: record for record in progress.records}
        self._window.clear()
        self._changed.clear()
        self._early = {row.number: row for row in progress.rows if row.number > progress.cursor}
        # A record may have been removed from a full ledger.
        rows = [row for row in progress.rows if row.number <= progress.cursor]
        self._gone = {row.number for row in rows if row.number not in records}
        for row in rows:
            if row.number in records:
                self._window.add(records[row.number], row)
        self._has_more = len(progress.rows) >= MOST_BEHIND
        self._dropped = progress.dropped
        self._fetched = self._saved = progress.cursor
        self.dead = progress.dead
        self._is_loaded, self._is_at_end = True, False

    def _fetch(self) -> None:
        self._is_fetching = True

        def fetched(records: list[Record]) -> bool:
            self._is_at_end = len(records) < FETCHED
            for record in records:
                self._fetched = record.number
                if record.number in self._dropped:
                    continue
                if self._wants(record):
                    self._window.add(record, self._early.pop(record.number, None))
            return True

        def done(has_come: bool) -> None:
            self._is_fetching = False
            self._save()
            if has_come:
                self._go_on()

        fetching = self._store.run_of(self._generation, fetch, self._fetched, FETCHED)
        fetching.addCallbacks(fetched, self._not_fetched).addCallback(done)

    def _not_fetched(self, failure: Failure) -> bool:
        self._is_at_end = True  # until the next poke
        _told(failure)
        return False

    # --- to the receiver

    def _start(self) -> None:
        """Send what may be sent now, and wake up when more may be."""
        now = self._clock.seconds()
        # A receiver may answer at once: then what follows is done here, in turn, and not inside of one another.
        if not self._is_loaded or self._is_stale or self._is_loading or self._is_starting:
            return
        self._is_starting = True
        try:
            while self._running < self._at_once() and now >= self._closed_until:
                items = self._window.ready(now, self._receiver.most)
                if not items:
                    break
                self._send(items)
        finally:
            self._is_starting = False
        self._wake_at(now)

    def _at_once(self) -> int:
        is_trying = self._failures >= FAILURES_IN_A_ROW
        return 1 if is_trying or self._receiver.most > 1 else self.settings.at_once

    def _send(self, items: list[Item]) -> None:
        self._running += 1
        for item in items:
            item.is_busy = True
        sending = maybeDeferred(self._receiver.send, [item.record for item in items])
        sending.addCallbacks(lambda _: self._taken(items), lambda failure: self._failed(items, failure))
        sending.addErrback(lambda failure: log.failure("a delivery broke", failure)).addBoth(self._sent)

    def _sent(self, _: object) -> None:
        self._running -= 1
        self._save()
        self._go_on()

    def _taken(self, items: list[Item]) -> None:
        for item in items:
            self._counted(self.settings.name, "taken")
            self._forget(item)
        if self.trouble is not None:
            self.trouble = None
        if self._failures >= FAILURES_IN_A_ROW:
            self._tell(SinkRestored(DAEMON, self.settings.name))
        self._failures, self._closed_until = 0, 0.0

    def _failed(self, items: list[Item], failure: Failure) -> None:
        if self._is_stopped:
            return
        if failure.check(NotTaken):
            reason = str(failure.value)
        else:
            log.failure("the sink {sink} broke", failure, sink=self.settings.name)
            reason = "internal error, see the log"
        now = self._clock.seconds()
        for item in items:
            self._counted(self.settings.name, "failed")
            item.is_busy = False
            item.attempts += 1
            item.reason = reason
            if item.attempts >= self.settings.attempts or failure.check(GivenUp):
                self._give_up(item)
            else:
                item.due = now + self._pause(item.attempts)
                self._note(item, State.WAITING)
        if not self._is_one_system:
            self.trouble = reason
            return
        self._failures += 1
        behind = self._failures - FAILURES_IN_A_ROW
        if behind >= 0:
            if self.trouble is None:
                self._tell(SinkFailing(DAEMON, self.settings.name, reason))
            self.trouble = reason
            self._closed_until = now + self._pause(behind + 1)
            # The pause of the sink is that of its events, too: one of them is to try it then.
            first = min(items, key=lambda item: item.record.number)
            first.due = min(first.due, self._closed_until)

    def _give_up(self, item: Item) -> None:
        self._counted(self.settings.name, "given-up")
        self._note(item, State.DEAD)
        self._window.remove(item)
        self.dead += 1
        name, record = self.settings.name, item.record
        self._tell(EventGivenUp(DAEMON, name, record.id, record.event, item.attempts, item.reason))

    def _pause(self, attempts: int) -> float:
        longest = min(self.settings.longest_pause, FIRST_PAUSE * 2.0 ** min(attempts - 1, 40))
        return longest * self._random.uniform(0.5, 1.0)

    def _wake_at(self, now: float) -> None:
        if self._wake is not None and self._wake.active():
            self._wake.cancel()
        self._wake = None
        moment = self._closed_until
        if moment <= now:
            moment = self._window.next_due(now)
        if self._window and moment > now:
            self._wake = self._clock.callLater(moment - now, self._go_on)

    # --- into the state file

    def _note(self, item: Item, state: State) -> None:
        number = item.record.number
        self._window.give_row(item)
        row = Row(number, state, item.attempts, item.due, item.reason, is_new=not item.is_stored)
        self._changed[number] = row

    def _forget(self, item: Item) -> None:
        number = item.record.number
        self._window.remove(item)
        self._changed.pop(number, None)
        if item.has_row:
            self._gone.add(number)

    def _save(self) -> None:
        """Write what has changed since, in one call at a time."""
        if self._is_saving or not self._is_loaded:
            return
        for item in self._window.behind():
            self._note(item, State.WAITING)
        cursor = max(self._window.cursor(self._fetched), self._saved)
        if cursor == self._saved and not self._changed and not self._gone:
            return
        changed, gone = self._changed, self._gone
        self._changed, self._gone = {}, set()
        over = {number for number in self._dropped if number <= cursor}
        self._is_saving = True

        def saved(_: None) -> None:
            self._saved = cursor
            self._dropped -= over
            for number in changed:
                self._window.stored(number)

        def failed(failure: Failure) -> None:
            self._changed = {**changed, **self._changed}
            self._gone |= gone
            self._is_at_end = True
            _told(failure)

        def done(_: object) -> None:
            self._is_saving = False
            if self._saved == cursor:
                self._save()
            if self._is_stale:
                self._go_on()

        rows, over_and_gone = [*changed.values()], [*gone, *over]
        saving = self._store.run_of(self._generation, tables.save, self.settings.name, cursor, rows, over_and_gone)
        saving.addCallbacks(saved, failed).addBoth(done)


def _told(failure: Failure) -> None:
    """Take a failure of the file for told: the store's listener has told it."""
    if not failure.check(StateTrouble, PoolBusy):
        log.failure("deliveries could not be kept", failure)
