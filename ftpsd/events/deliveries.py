"""
All sinks of a server: one process of it makes the deliveries, whichever has recorded an event.

A reload changes the sinks that have changed and leaves the others alone. A sink that is no longer configured keeps its
cursor; when it comes back it goes on from there, as far as the events are still in the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd.audit.events import DAEMON, Event
from ftpsd.audit.topics.automation.ledger_events import EventsRemoved
from ftpsd.config.automation.event_sinks import Events, EventSink, Pacing
from ftpsd.config.automation.sink_files import SinkFiles
from ftpsd.config.receipts.receipt_files import SigningFiles
from ftpsd.durable.sole_turn import SoleTurn
from ftpsd.durable.state_trouble import StateTrouble
from ftpsd.durable.store import Store
from ftpsd.events import progress_tables as tables
from ftpsd.events.delivery import Delivery
from ftpsd.events.receipts import receipt_giving
from ftpsd.events.receipts.receipt_giving import Homes
from ftpsd.events.record_tables import Record, last_number
from ftpsd.events.sinks.broker_sink import BrokerSink
from ftpsd.events.sinks.json_lines import JSONLines
from ftpsd.events.sinks.program_sink import Program
from ftpsd.events.sinks.receiver import Receiver
from ftpsd.events.workflows import runs
from ftpsd.events.workflows.user_trees import Trees
from ftpsd.events.workflows.workflow_making import Means, Workflows, files_of, make_workflow
from ftpsd.events.workflows.workflow_run import Conditions, Pace
from ftpsd.workers import PoolBusy, Workers

# Seconds until an event of another process, or an order of the command line, is seen.
POLL: Final = 1.0
# Seconds between two looks whether the last step is at its end.
ENDING: Final = 0.05
# Seconds for what is under way when another process takes over; a receiver that is slower gets it again.
HANDING_OVER: Final = 5.0
# Calls that wait for the state file, beyond which no look is taken.
BUSY: Final = 100
# Polls between two looks for events that may go.
POLLS_TO_PRUNE: Final = 60

NO_WORKFLOWS: Final = Workflows()

log = Logger()


@dataclass(frozen=True, slots=True)
class Course:
    """A sink or workflow: made anew by *make* where *made_of* is another than before."""

    pacing: Pacing
    made_of: object
    make: Callable[[], Receiver]
    wants: Callable[[Record], bool]
    is_one_system: bool = True


class Deliveries:
    """
    The sinks and workflows, out of *store*; *names* looks names up.

    *tell* is called with events for the audit log, *count* with a sink and "taken", "failed" or "given-up", *stepped*
    with a workflow, an action and "done" or "failed".
    """

    def __init__(
        self,
        store: Store,
        reactor: Any,
        names: Workers,
        tell: Callable[[Event], object],
        count: Callable[[str, str], object],
        stepped: Callable[[str, str, str], object],
    ) -> None:
        self._store = store
        self._reactor = reactor
        self._names = names
        self._tell = tell
        self._count = count
        self._means = Means(store, reactor, names, tell, stepped)
        self.readers: Callable[[], tuple[str, ...]] = tuple
        """Returns the names of others that have a cursor, before which no event may go."""
        self._settings: Events | None = None
        self._workflows = Workflows()
        self._receipts: tuple[SigningFiles, Homes] | None = None
        self._courses: dict[str, Course] = {}
        self._each: dict[str, Delivery] = {}
        self._turn = SoleTurn(store.path)
        self._is_started = self._has_turn = self._is_asking = False
        self._waiting: IDelayedCall | None = None
        self._poll: IDelayedCall | None = None
        self._polls = 0
        self._seen = ""
        self._last = 0
        self._generation = store.generation

    def use(
        self,
        settings: Events | None,
        files: Mapping[str, SinkFiles],
        workflows: Workflows = NO_WORKFLOWS,
        receipts: tuple[SigningFiles, Homes] | None = None,
    ) -> None:
        """
        Follow *settings* and *workflows* from now on; *files* are those that they name.

        *receipts* are signed with the first and put into the second; None: there are none.
        """
        before, self._settings, self._workflows = self._courses, settings, workflows
        self._receipts = receipts
        self._courses = {} if settings is None else {each.pacing.name: each for each in self._planned(files)}
        if self._has_turn:
            self._follow(before)
        else:
            self._want_turn()

    def _follow(self, before: Mapping[str, Course]) -> None:
        for name, delivery in list(self._each.items()):
            is_same = name in before and name in self._courses
            if not is_same or before[name].made_of != self._courses[name].made_of:
                del self._each[name]
                delivery.stop()
        for name, course in self._courses.items():
            if name not in self._each:
                self._each[name] = Delivery(
                    course.pacing,
                    course.make(),
                    self._store,
                    self._reactor,
                    self._tell,
                    self._count,
                    wants=course.wants,
                    is_one_system=course.is_one_system,
                )
        if self._settings is not None and self._poll is None:
            self._look()
        self.poke()

    def _planned(self, files: Mapping[str, SinkFiles]) -> Iterator[Course]:
        """Yield the course of each sink and workflow."""
        for sink in self._settings.sinks if self._settings is not None else ():
            own = files.get(sink.name, SinkFiles())
            yield Course(sink, (sink, own), partial(self._receiver, sink, own), partial(_is_wanted, sink))
        workflows = self._workflows
        for workflow in workflows.each:
            made_of = workflow, workflows.mail, workflows.key_home, workflows.partners, files_of(workflow, files)
            make = partial(make_workflow, workflow, workflows, files, self._means, self._trees)
            yield Course(Pace.of(workflow), made_of, make, Conditions(workflow), is_one_system=False)
        if self._receipts is not None:
            files_of_receipts, wants = self._receipts[0], receipt_giving.is_transfer
            yield Course(receipt_giving.Pace(), files_of_receipts, self._receipts_made, wants, is_one_system=False)

    def _trees(self) -> Trees:
        """Return the trees of users as they are configured now."""
        assert self._workflows.trees is not None, "who has workflows has trees"
        return self._workflows.trees

    def start(self) -> None:
        """Begin to deliver, as soon as no other process does."""
        self._is_started = True
        self._want_turn()

    @property
    def has_turn(self) -> bool:
        """Whether this process delivers, and its sinks have begun: what is recorded now is seen by all of them."""
        return self._has_turn and self._is_started

    def _want_turn(self) -> None:
        """Take the turn if there is anything to deliver."""
        if not self._is_started or self._settings is None or self._is_asking or self._waiting is not None:
            return
        if self._store.is_configured:
            self._take_turn()
        else:
            self._has_turn = True
            self._follow({})

    def _take_turn(self) -> None:
        self._waiting = None
        self._is_asking = True

        def taken(is_ours: bool) -> None:
            self._is_asking = False
            if not self._is_started:
                self._turn.give_back()
            elif is_ours:
                self._has_turn = True
                self._follow({})
            else:
                self._waiting = self._reactor.callLater(POLL, self._take_turn)

        def failed(failure: Failure) -> bool:
            if failure.check(OSError):
                log.error("events: no turn can be taken beside the state file: {why}", why=failure.getErrorMessage())
            else:
                _told(failure)
            return False

        self._store.run(lambda _: self._turn.take()).addErrback(failed).addCallback(taken)

    def _give_turn_back(self) -> None:
        """Let another process deliver, when the last step of a workflow is at its end."""
        if self._means.under_way:
            self._reactor.callLater(ENDING, self._give_turn_back)
        elif not self._is_started:
            self._has_turn = False
            self._turn.give_back()

    async def hand_over(self) -> None:
        """End as `stop` does, but behind what is under way: another process goes on, and delivers nothing twice."""
        self._is_started = False
        for delivery in self._each.values():
            delivery.pause()
        until = self._reactor.seconds() + HANDING_OVER
        while self._reactor.seconds() < until and not all(each.is_still for each in self._each.values()):
            await deferLater(self._reactor, ENDING)
        self.stop()

    def stop(self) -> None:
        """End; what is under way comes again at the next start."""
        self._is_started = False
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        if self._poll is not None:
            self._poll.cancel()
            self._poll = None
        for delivery in self._each.values():
            delivery.stop()
        self._each.clear()
        self._give_turn_back()

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
        if self._store.generation != self._generation:
            self._begin_again()
        self._store.run(_seen, self._reactor.seconds()).addCallbacks(self._saw, _told)
        self._polls += 1
        if self._polls % POLLS_TO_PRUNE == 1:
            self._prune()

    def _begin_again(self) -> None:
        """Go on in the place of a ledger that was lost: with what was read of it, and all that was recorded since."""
        generation, each = self._store.generation, list(self._each.values())
        records = {record.id: record for delivery in each for record in delivery.untaken}

        def done(_: None) -> None:
            self._generation = generation
            for delivery in each:
                delivery.reload()

        names = [delivery.settings.name for delivery in each]
        again = self._store.run_of(generation, tables.begin_again, names, list(records.values()))
        again.addCallbacks(done, _told)

    def _saw(self, found: tuple[str, int]) -> None:
        changed, last = found[0] or "0", found[1]
        if changed != self._seen and self._seen:
            for delivery in self._each.values():
                delivery.reload()
        self._seen = changed
        self._last = last
        for delivery in self._each.values():
            if delivery.fetched < last:
                delivery.poke()

    def _prune(self) -> None:
        settings = self._settings
        if settings is None:
            return
        before = self._reactor.seconds() - settings.keep
        sinks = [*self._courses, *self.readers()]

        def pruned(found: tuple[int, int]) -> Deferred[None] | None:
            count, lost = found
            if lost:
                self._tell(EventsRemoved(DAEMON, lost))
            if count >= tables.MOST_PRUNED:
                self._prune()
            return None

        self._store.run(tables.prune, sinks, before, settings.most).addCallback(pruned).addErrback(_told)
        self._store.run(runs.prune, before, tables.MOST_PRUNED).addErrback(_told)

    def _receipts_made(self) -> Receiver:
        assert self._receipts is not None, "planned where they are signed alone"
        call = self._reactor.callFromThread
        return receipt_giving.Receipts(self._receipts[0], self._homes, self._reactor, call)

    def _homes(self) -> Homes:
        """Return the homes of users as they are configured now."""
        assert self._receipts is not None, "a sink without signer is stopped"
        return self._receipts[1]

    def _receiver(self, sink: EventSink, files: SinkFiles) -> Receiver:
        call = self._reactor.callFromThread
        if sink.program is not None:
            return Program(sink, call)
        if sink.file is not None:
            return JSONLines(sink.name, sink.file, call)
        if sink.broker is not None:
            return BrokerSink(sink, files, self._reactor)
        # Imported where it is wanted: its package is an extra.
        from ftpsd.events.sinks.webhook import Webhook

        return Webhook(sink, files, self._reactor, self._names)


def _is_wanted(sink: EventSink, record: Record) -> bool:
    return sink.only is None or record.event in sink.only


def _seen(connection: Any, now: float) -> tuple[str, int]:
    return tables.changes(connection, now), last_number(connection)


def _told(failure: Failure) -> None:
    """Take a failure of the file for told: the store's listener has told it."""
    if not failure.check(StateTrouble, PoolBusy):
        log.failure("the ledger of events could not be looked at", failure)
