"""
The parts of the process that outlive a reload: worker pools, audit, metrics, counts and the passive ports.
"""

from __future__ import annotations

import os
import resource
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd import __version__
from ftpsd.audit.bus import AuditBus, Sink
from ftpsd.audit.events import DAEMON, Banned, Event
from ftpsd.audit.metrics import Metrics
from ftpsd.audit.topics.accept_events import QuarantinePurged, QuarantineReleased, Rescanned
from ftpsd.audit.topics.automation.job_events import JobEvent
from ftpsd.audit.topics.automation.ledger_events import EventGivenUp, EventsRemoved, SinkFailing, SinkRestored
from ftpsd.audit.topics.encryption_events import FileDamaged
from ftpsd.audit.topics.retention_events import RetentionEvent
from ftpsd.audit.topics.state_events import StateFailed, StateRestored
from ftpsd.auth.certified.enrolment import NO_ENROLMENTS, Enrolments, StoredEnrolments
from ftpsd.auth.factors import SecondFactors
from ftpsd.auth.hashing.queue import LoginQueue
from ftpsd.config.default_path import DEFAULT_CONFIG
from ftpsd.config.evidence.evidence_files import EvidenceFiles
from ftpsd.config.model import Config
from ftpsd.control.gate.eviction import evict
from ftpsd.control.gate.lasting_bans import LastingBans
from ftpsd.control.gate.penalties import NOTED
from ftpsd.control.pi import ServerPI
from ftpsd.control.preflight.sightings import NOTED as NOTED_OF_CLIENTS
from ftpsd.control.preflight.sightings import Sightings
from ftpsd.control.state.hosts import account_of
from ftpsd.control.state.presence import counted
from ftpsd.control.state.runtime import Shared
from ftpsd.data.ports import PassivePorts
from ftpsd.durable.state_trouble import StateTrouble
from ftpsd.durable.store import LOST
from ftpsd.events.awaited.lookout import Lookout
from ftpsd.events.deliveries import Deliveries
from ftpsd.events.event_ledger import Ledger
from ftpsd.jobs.job_runner import JobRunner
from ftpsd.service.building.trees_of_users import TreesOfUsers
from ftpsd.service.changing.rehashing import Rehashing
from ftpsd.service.listeners import PassiveListeners
from ftpsd.service.outside.log_set import LogSet
from ftpsd.service.outside.outputs import chain_of
from ftpsd.service.retaining.holds_in_force import Holdings
from ftpsd.service.share import Duty, Share
from ftpsd.storage.pgp.key_home import sweep_views
from ftpsd.storage.sealing.damage import Damage
from ftpsd.tls.live import LiveSessions
from ftpsd.tls.tickets import TicketContexts
from ftpsd.workers import PoolBusy, WorkerLanes, WorkerPool

# Calls that may wait for a worker.
FILES_QUEUE = 10_000
TRANSFER_QUEUE = 10_000
# Walks through whole trees take long and must not keep others waiting: one thread counts all homes, one sweeps partials
# from all of them, and the others count the homes of users who log in before their turn has come.
UPKEEP_THREADS = 4
UPKEEP_QUEUE = 10_000
# Names of the servers that sources of users name: DNS that is silent holds up those alone.
LOOKUP_THREADS = 4
LOOKUP_QUEUE = 200


# Events of no session that the process tells whom they happen to.
OF_ONE_PROCESS = (
    StateFailed
    | StateRestored
    | SinkFailing
    | SinkRestored
    | EventGivenUp
    | EventsRemoved
    | QuarantineReleased
    | QuarantinePurged
    | Rescanned
    | RetentionEvent
    | JobEvent
)

log = Logger()


class Parts:
    """
    The parts made once for the process, from the configuration it started with, on Twisted's *reactor*.

    *path* is the file of that, for the processes that parts start.
    """

    def __init__(
        self,
        config: Config,
        reactor: Any,
        share: Share,
        evidence: EvidenceFiles | None = None,
        path: Path = DEFAULT_CONFIG,
    ) -> None:
        call = reactor.callFromThread
        self.reactor = reactor
        self.path = path
        self.duties = share.duties
        # Logins wait in front of their pool, for a fair turn.
        self.login = WorkerPool("login", config.workers.login, config.workers.login, call)
        self.logins = LoginQueue(self.login, config.workers.login)
        self.files = WorkerPool("files", config.workers.files, FILES_QUEUE, call)
        threads = transfer_threads(config, share.processes)
        self.transfer = WorkerPool("transfer", threads, TRANSFER_QUEUE, call)
        self.lanes = WorkerLanes(config.workers.files, FILES_QUEUE, call)
        self.lookup = WorkerPool("lookup", LOOKUP_THREADS, LOOKUP_QUEUE, call)
        self.upkeep = WorkerPool("upkeep", UPKEEP_THREADS, UPKEEP_QUEUE, call)
        self.rehashing = Rehashing(self.upkeep, reactor)
        self.accounts = share.accounts
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry, __version__)
        self.state = share.state
        self.turns = share.turns
        self.penalty_tables = share.penalty_tables
        self.holdings = Holdings(share.state.path)
        self.ledger = Ledger(self.state, self.files, reactor)
        self.bus = AuditBus(failed=self.metrics.audit_write_failed, keeper=self.ledger)
        self.deliveries = Deliveries(
            self.state, reactor, self.lookup, self.bus.publish, self.metrics.delivered, self.metrics.stepped
        )
        self.ledger.recorded = self.deliveries.poke
        self.trees: TreesOfUsers | None = None
        self.lookout = Lookout(self.state, reactor, self.bus)
        self.deliveries.readers = lambda: self.lookout.reader
        self.jobs = JobRunner(self.state, self.bus, self.files, reactor)
        failed, chain = self.metrics.audit_write_failed, chain_of(config, evidence)
        self.logs = LogSet(config, failed, share.audit_turn, chain)
        marked = (lambda sink: sink) if Duty.TELL in share.duties else _of_sessions
        self.bus.subscribe(marked(self.metrics))
        self.logs.subscribe(self.bus, marked)
        self.penalties = share.penalties
        self.penalties.publish = self.bus.publish
        self.logins.is_known = self.penalties.is_known
        self.bus.subscribe(self.penalties.note, *NOTED)
        self.bus.subscribe(self._evict_behind, Banned)
        self.counts = share.counts
        self.sessions: set[ServerPI] = set()
        self.resolved: dict[str, str] = {}
        self.verified = share.verified
        self.state.listener = self._state_changed
        self._generation = self.state.generation
        self.factors = SecondFactors(self.state, reactor)
        self.lasting_bans = LastingBans(self.penalties, self.state, reactor)
        self.passive_listeners = PassiveListeners(config, self.bus, reactor)
        ports = share.ports
        self.ports = PassivePorts(
            ports.first, ports.last, self.passive_listeners.listen, reactor, config.limits.data_connect_timeout
        )
        self.passive_listeners.accept = self.ports.take
        self.tickets = TicketContexts(reactor, config.tls.ticket_lifetime)
        live = LiveSessions(reactor)
        self.sightings = Sightings(self.bus.publish)
        self.bus.subscribe(self.sightings.note, *NOTED_OF_CLIENTS)
        penalties = share.penalties
        self.shared = Shared(
            reactor,
            self.bus,
            self.metrics,
            self.files,
            self.counts,
            share.rates,
            live,
            self.factors,
            penalties,
            self.sightings,
            self.lanes,
        )
        self._watch()

    @property
    def pools(self) -> tuple[WorkerPool, ...]:
        """The worker pools that are there from the start."""
        return self.login, self.files, self.transfer, self.lookup, self.upkeep

    def start(self) -> None:
        """Start the workers, with room for as many open files as the system allows."""
        raise_file_limit()
        sweep_views()
        for pool in self.pools:
            pool.start()
        self.state.start()
        # From the first moment on, so that they outlive a state file that is lost.
        self.files.run(self.holdings.in_force.now).addErrback(lambda _: None)

    def take_duties(self) -> None:
        """Begin with what one process does for the whole server."""
        if Duty.DELIVER in self.duties:
            self.deliveries.start()
            self.jobs.start()

    def give_up_duties(self) -> Deferred[None]:
        """End that; the Deferred fires when another process may begin."""
        return Deferred.fromCoroutine(self._hand_over()).addErrback(_told)

    async def _hand_over(self) -> None:
        # Nothing is begun any more, in either, from this moment on.
        ended = Deferred.fromCoroutine(self.jobs.hand_over())
        await self.deliveries.hand_over()
        await ended

    def stop(self) -> None:
        """Stop the workers, then write what the audit log still holds. Blocks for some seconds at worst."""
        self.accounts.stop()
        self.jobs.stop()
        self.deliveries.stop()
        for pool in self.pools:
            pool.stop()
        self.lanes.stop()
        # Before the state's own, for the last connection that can write tidies up behind itself.
        self.holdings.in_force.close()
        self.state.stop()
        self.logs.stop()

    def _evict_behind(self, _banned: Event, _seconds: float) -> None:
        """End what a ban that was pronounced here ends, as soon as the turn that has led to it is over."""
        self.reactor.callLater(0, evict, self.sessions, self.penalties)

    def enrolments(self, host: str) -> Enrolments:
        """Return the enrolments of the users of *host*, "" for the default one."""
        if not self.state.is_configured:
            return NO_ENROLMENTS
        return StoredEnrolments(self.state, partial(account_of, host), self.reactor.seconds)

    def damaged(self, damage: Damage) -> None:
        """Tell of a file of an encrypted tree that could not be opened; called from any thread."""
        self.reactor.callFromThread(self._damaged, damage)

    def _damaged(self, damage: Damage) -> None:
        text = "{path} cannot be decrypted ({reason}{detail}); no changed byte of it was given out"
        detail = f", {damage.detail}" if damage.detail else ""
        log.error(text, path=damage.path, reason=str(damage.reason), detail=detail)
        self.bus.publish(FileDamaged(DAEMON, str(damage.reason), damage.path, damage.detail))

    def _state_changed(self, trouble: str | None) -> None:
        """Tell that the state file cannot be used any more, or can be again."""
        path = str(self.state.path)
        if trouble is None:
            if self.state.generation != self._generation:
                self._generation = self.state.generation
                log.error("state: {path}: another file is used now. Of the one before: {lost}", path=path, lost=LOST)
                self.state.run(self.holdings.in_force.carry).addErrback(lambda _: None)
            log.info("state: {path} can be used again", path=path)
            self.bus.publish(StateRestored(DAEMON))
        else:
            log.error("state: {path} cannot be used: {trouble}", path=path, trouble=trouble)
            self.bus.publish(StateFailed(DAEMON, trouble))

    def _watch(self) -> None:
        """Give the metrics their gauges, which are read and not counted."""

        def sessions() -> tuple[dict[str, float], ...]:
            transferring, by_tls, by_host = counted(self.sessions)
            logged_in = self.counts.logged_in
            by_state: dict[str, float] = {
                "login": len(self.sessions) - logged_in,
                "idle": logged_in - transferring,
                "transfer": transferring,
            }
            return by_state, by_tls, by_host

        def ports() -> dict[str, float]:
            # A port is lent once to each client address, so the number of free ones is of use only to the busiest
            # address.
            reserved = self.ports.busiest
            return {"reserved": reserved, "free": len(self.ports.range) - reserved}

        if Duty.TELL in self.duties:
            self.metrics.watch_bans(self.penalties.count)

        self.metrics.watch_sessions(sessions)
        self.metrics.watch_passive_ports(ports)
        self.metrics.watch_worker_queues(
            lambda: (
                {pool.name: pool.queued for pool in self.pools}
                | {self.login.name: self.logins.queued, "state": self.state.queued, "lanes": self.lanes.queued}
            )
        )
        if Duty.DELIVER in self.duties:
            self.metrics.watch_events(self.deliveries.lengths, self.deliveries.ages, self.deliveries.dead)
            self.metrics.watch_expectations(self.lookout.states)
            self.metrics.watch_jobs(self.jobs.running, lambda: self.jobs.successes)
        if self.state.is_configured:
            self.metrics.watch_state(lambda: {"usable": not self.state.trouble, "broken": bool(self.state.trouble)})


def _told(failure: Failure) -> None:
    """Take a failure of the state file for told: the store's listener has told it."""
    if not failure.check(StateTrouble, PoolBusy):
        log.failure("duties could not be handed over", failure)


def _of_sessions(sink: Sink) -> Sink:
    """Return *sink* for the events that a session has caused, and those of this process alone."""

    def take(event: Event, seconds: float) -> None:
        if event.who is not DAEMON or isinstance(event, OF_ONE_PROCESS | FileDamaged):
            sink(event, seconds)

    return take


def raise_file_limit() -> int:
    """Allow as many open files as the system lets us, and return how many; a session needs up to four."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        # macOS names no limit as the hard one and then refuses it.
        return soft
    return hard


def transfer_threads(config: Config, processes: int = 1) -> int:
    """Return how many workers move bulk data: enough for every core, and for some storage that is slow to answer."""
    if config.workers.transfer == "auto":
        return min(32, -(-(os.cpu_count() or 1) // processes) + 4)
    return config.workers.transfer
