"""
The supervisor of several processes: it opens the control ports, starts the processes, replaces dead ones, and is the
one that the operator, systemd and Prometheus talk to. It serves no client itself.

    Supervisor(loaded, path, reactor, turns)  ->  open()  ->  start()  ...  reload  ...  stop() or retire()

Each process is asked every few seconds whether it still turns. One that dies is replaced after a moment; when the same
place falls empty too often, the server ends, and the service manager decides what is next.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ftpsd import __version__
from ftpsd.admin.endpoint import AdminSite, Exposition
from ftpsd.admin.live_feed import LiveFeed, Sources
from ftpsd.audit.bus import AuditBus
from ftpsd.audit.events import DAEMON, Started, Stopped
from ftpsd.audit.metrics import Metrics
from ftpsd.auth.hashing.passwords import MOST_VERIFIED
from ftpsd.config.model import Config
from ftpsd.control.gate.lasting_bans import recalled
from ftpsd.control.gate.penalty_tables import penalty_files, shared_penalties
from ftpsd.durable.byte_lock import LOCK_AUDIT, ByteLock
from ftpsd.durable.store import Store
from ftpsd.processes.child import ANSWER, Child
from ftpsd.processes.crew import Crew
from ftpsd.processes.front import Front, Rounds, busiest_client, status_of
from ftpsd.processes.handing import Handing
from ftpsd.processes.operated import SeveralProcesses, passed_on
from ftpsd.processes.seat import process_count
from ftpsd.processes.shared.count_table import CountTable
from ftpsd.processes.shared.deadline_table import DeadlineTable
from ftpsd.processes.shared.homes import HomeTable
from ftpsd.processes.shared.shared_ports import open_shared
from ftpsd.processes.sums import Sums
from ftpsd.service.changing.addresses import REFRESH
from ftpsd.service.changing.renewal import INTERVAL
from ftpsd.service.clockwork import Clockwork
from ftpsd.service.daemon import BEFORE_PATIENCE, EXIT_BAD_CONFIGURATION, announce_serving, close_unused_sockets
from ftpsd.service.listeners import OpenPorts, open_admin_port
from ftpsd.service.load import Loaded
from ftpsd.service.operating.ban_questions import questions_about_bans
from ftpsd.service.operating.desk_opening import ControlSocket
from ftpsd.service.operating.job_questions import questions_about_jobs
from ftpsd.service.operating.keeping_questions import questions_about_keeping
from ftpsd.service.operating.own_process import shown_sessions
from ftpsd.service.operating.quarantine_desk import QuarantineDesk, questions_about_quarantine
from ftpsd.service.operating.question import Operated, questions_about
from ftpsd.service.outside import systemd
from ftpsd.service.outside.log_set import LogSet
from ftpsd.service.outside.outputs import chain_of, open_logs
from ftpsd.service.outside.own_names import MetricsNames
from ftpsd.service.rescanning.rescan_questions import questions_about_rescans
from ftpsd.service.upgrading.generations import Generations
from ftpsd.service.upgrading.handover import Handover
from ftpsd.service.upgrading.predecessor import Predecessor
from ftpsd.service.upgrading.retirement import LOOK
from ftpsd.service.upkeep import OVER_INTERVAL
from ftpsd.workers import WorkerPool

# An address, a user and two rates.
KEYS_PER_CONNECTION = 4
# Room for homes with a quota that a reload brings, beside as many again as there are at the start.
SPARE_HOMES = 1000
# Seconds: beyond drain_timeout, for processes that do not end by themselves, and behind a second signal.
GRACE = 30.0
GRACE_WHEN_CUT = 10.0

log = Logger()


class Supervisor:
    """
    The whole server of several processes, from one good configuration.

    *turns* is the file of locks of `service/share.py`; *before* is the process whose sockets this one takes over.
    """

    def __init__(self, loaded: Loaded, path: Path, reactor: Any, turns: int, before: Predecessor | None = None) -> None:
        config = loaded.config
        self.turns: int | None = turns
        self.handover = Handover(self, before, reactor)
        self._is_retired = self.is_stopping = False
        self.reactor = reactor
        self.path, self.exit_code = path, 0
        self.count = process_count(config)
        self.table: CountTable = CountTable.create(self.count, KEYS_PER_CONNECTION * config.limits.connections)
        with_quota = sum(user.quota is not None for user in loaded.known())
        self.homes = HomeTable.create(2 * with_quota + SPARE_HOMES, self.table.fd, self.count)
        self.deadlines = DeadlineTable.create(MOST_VERIFIED, reactor)
        left = None if before is None else before.bequest.penalty_tables
        self.penalty_tables: tuple[int, int] | None = left or penalty_files()
        self.penalties = shared_penalties(*self.penalty_tables, reactor)
        self.penalties.use(config)
        self.handing = Handing(self, loaded)
        self.workers = WorkerPool("files", 1, 1, reactor.callFromThread)
        # DNS may take its time, and a reload must not wait for it.
        self._asking = WorkerPool("names", 1, 1, reactor.callFromThread)
        self.names = MetricsNames(lambda: self.handing.loaded.config, self._asking)
        registry = CollectorRegistry()
        self.metrics = Metrics(registry, __version__)
        self._add_metrics(registry)
        self.bus: AuditBus = AuditBus(failed=self.metrics.audit_write_failed)
        turn = ByteLock(turns, LOCK_AUDIT)
        chain = chain_of(config, loaded.evidence_files)
        self.logs = LogSet(config, self.metrics.audit_write_failed, turn, chain)
        self.bus.subscribe(self.metrics)
        self.logs.subscribe(self.bus)
        self.penalties.publish = self.bus.publish
        self.metrics.watch_bans(self.penalties.count)
        self.metrics.watch_passive_ports(self._passive_ports)
        self.sums = Sums(registry)
        self.crew = Crew(
            self.count,
            reactor,
            start=self._start_child,
            ready=self._child_began,
            ended=self._child_ended,
            died=self._replaced.inc,
            give_up=self._give_up,
            is_over=lambda: self.is_stopping or self._is_retired,
        )
        self.rounds = Rounds(self.crew.ready, self.sums)
        self.ports = OpenPorts()
        self._clockwork = Clockwork(reactor)
        self._of_duties = Clockwork(reactor)
        self._has_begun = self._has_finished = False
        self.drain: Callable[[], object] = self.stop
        """Stops the server as SIGTERM does, without being the first of two signals."""
        self._own = operated = SeveralProcesses(self)
        self.operated: Operated = operated if before is None else Generations(operated, before)
        self._feed: LiveFeed | None = None
        self.control_socket = ControlSocket(
            config,
            {
                **questions_about(self.operated),
                **questions_about_bans(self.penalties, reactor.seconds),
                **questions_about_keeping(operated.ask_first),
                **questions_about_jobs(operated.ask_first),
                **questions_about_quarantine(passed_on(self, QuarantineDesk.NAMES)),
                **questions_about_rescans(operated.ask_first),
            },
            self.bus,
            reactor,
        )

    def _add_metrics(self, registry: CollectorRegistry) -> None:
        alive = Gauge("ftpsd_processes", "Processes that accept connections.", registry=registry)
        alive.set_function(lambda: len(self.crew.ready()))
        self._replaced = Counter("ftpsd_processes_replaced", "Processes that died.", registry=registry)

    # --- start

    def open(self) -> None:
        """
        Bind the control ports and the one for metrics, and open the audit log.

        Raises:
            ListenProblem: one of them cannot be opened; those opened before are closed again.
        """
        config, ports, before = self.handing.loaded.config, self.ports, self.handover.before
        bequest = None if before is None else before.bequest
        with ports.all_or_none():
            open_shared(config, ports, self.handover, self.bus, self.reactor)
            given = (lambda *_: None) if bequest is None else bequest.listening_at
            ports.admin = open_admin_port(config, self._admin_site(), self.reactor, given)
            open_logs(self.logs, config)
            self.control_socket.open(bequest)
        if before is None:
            close_unused_sockets(config)
        else:
            before.close_copies()
            ports.hold_admin()

    def _admin_site(self) -> AdminSite:
        total = CollectorRegistry()
        total.register(self.sums)
        operated, refresh = self._own, self.rounds.refresh
        config = self.handing.loaded.config
        if config.metrics is not None:
            sessions = shown_sessions(config, self.operated.busiest)
            sources = Sources(total, refresh, operated.state, sessions, lambda: self.is_serving)
            self._feed = LiveFeed(sources, self.reactor)
        front = Front(Exposition(total), lambda: self.is_serving, operated.state, refresh, self.names, self._feed)
        return AdminSite(front, None)

    def start(self) -> None:
        """Start every process."""
        self.workers.start()
        self._asking.start()
        if self._feed is not None:
            self._feed.start()
        every = self._clockwork.every
        every(REFRESH, self.names.refresh)
        store = Store(self.config.state, self.reactor.callFromThread)
        recalled(self.penalties, store, self.reactor).addCallback(self._recalled)
        every(ANSWER, self.rounds.ask, now=False)
        every(OVER_INTERVAL, self.penalties.end_over, now=False)

    def _recalled(self, trouble: str | None) -> None:
        """Start the processes; behind an upgrade, if the state file can be used."""
        before = self.handover.before
        if before is not None:
            before.connect()
            if trouble is not None:
                refused = before.refuse([f"state: {self.handing.loaded.config.state}: {trouble}"])
                refused.addCallback(lambda _: self._give_up(EXIT_BAD_CONFIGURATION))
                return
        self.crew.fill()

    def _take_duties(self) -> None:
        """Begin with what is done once for the whole server."""
        self._of_duties.every(INTERVAL, self.handing.renewal().look, now=False)
        self.bus.publish(Started(DAEMON))
        if self.handover.before is not None:
            self.ports.go_on_with_admin()
            self.control_socket.go_on()
        announce_serving(self.handing.loaded, self.describe(), self.ports.metrics_port)
        # systemd counts from READY=1 on.
        watchdog = systemd.watchdog_interval()
        if watchdog is not None:
            self._clockwork.every(watchdog / 2, systemd.notify_watchdog, now=False)

    @property
    def is_serving(self) -> bool:
        """Whether connections are accepted."""
        return self._has_begun and not self.is_ending and bool(self.crew.ready())

    def ready_children(self) -> list[Child]:
        """Return the processes that accept connections, in order."""
        return self.crew.ready()

    def describe(self) -> str:
        """Name the listeners, for people."""
        return f"{self.ports.describe()}, in {self.count} processes"

    def _start_child(self, child: Child) -> None:
        before, turns, penalties = self.handover.before, self.turns, self.penalty_tables
        assert turns is not None
        assert penalties is not None
        ports = [[port.fileno() for port in ports] for _, ports in self.ports.control]  # type: ignore[attr-defined]
        tables = self.table.fd, self.homes.fd, self.deadlines.fd, *penalties
        is_beside = before is not None and before.is_there
        rest = self.handing.snapshot.fd, turns
        child.start(self.reactor, self.path, self.count, ports, *tables, *rest, is_beside=is_beside)

    def _child_began(self, child: Child) -> None:
        if child.version != self.handing.version:
            self.handing.catch_up(child)
        if self.handover.before is not None and self.handover.before.has_handed_over:
            self.crew.hand_duties_to(child)
        if self.crew.has_begun and not self._has_begun:
            self._has_begun = True
            self._begun()

    def _begun(self) -> None:
        """Take the duties, behind an upgrade from the process before."""
        before = self.handover.before
        if before is None:
            self._take_duties()
            return
        before.when_gone(self._before_has_gone)
        before.follow(self.bus, self.metrics)

        def taken(_: object) -> None:
            for child in self.crew.ready():
                self.crew.hand_duties_to(child)
            self._take_duties()

        made = before.make_room().addCallback(lambda _: self.crew.order("accept"))
        made.addCallback(lambda _: before.take_over()).addCallbacks(taken, lambda _: self.stop())

    def _before_has_gone(self) -> None:
        self.crew.order("alone")
        if (self.is_stopping or self._is_retired) and self.crew.is_empty:
            self._finish()

    def _child_ended(self, child: Child) -> None:
        self.table.clear(child.index)
        self.homes.clear(child.index)
        self.sums.ended(child.index)
        if (self.is_stopping or self._is_retired) and self.crew.is_empty:
            self._finish_behind()

    def _give_up(self, exit_code: int) -> None:
        self.exit_code = exit_code
        self.stop()

    # --- end

    def stop(self) -> None:
        """Have every process drain; the reactor stops when the last has ended."""
        if self.is_stopping:
            return
        self.is_stopping = True
        self.handover.succession.give_up()
        self.handover.order("stop")
        timeout = self.handing.loaded.config.drain_timeout
        systemd.notify_stopping("waiting for transfers to finish")
        systemd.extend_timeout(timeout + GRACE + GRACE_WHEN_CUT)
        self.ports.stop_listening()
        self.crew.signal("TERM")
        self.reactor.callLater(timeout + GRACE, self.crew.signal, "KILL")
        if self.crew.is_empty:
            self._finish_behind()

    def cut(self) -> None:
        """End every session now: the operator asked twice."""
        self.handover.order("cut")
        self.crew.order("cut")
        self.reactor.callLater(GRACE_WHEN_CUT, self.crew.signal, "KILL")

    def _finish_behind(self) -> None:
        """End, behind the process from before an upgrade, whose way to the operator this one is."""
        if self.handover.may_end or self.exit_code:
            self._finish()
        elif self.handover.is_answering:
            self.reactor.callLater(LOOK, self._finish_behind)
        elif self.is_stopping:
            self.reactor.callLater(BEFORE_PATIENCE, self._finish)

    def _finish(self) -> None:
        if self._has_finished:
            return
        self._has_finished = True
        self._clockwork.stop()
        self._of_duties.stop()
        if self._has_begun:
            reason = "upgraded" if self._is_retired else "processes-die" if self.exit_code else "signal"
            self.bus.publish(Stopped(DAEMON, reason))
        log.info("ftpsd has stopped")
        self.control_socket.close()
        if self._feed is not None:
            self._feed.stop()
        self.ports.close()
        self.workers.stop()
        self.logs.stop()
        self.reactor.stop()

    @property
    def config(self) -> Config:
        """See `Upgradable`."""
        return self.handing.loaded.config

    @property
    def is_ending(self) -> bool:
        """See `Upgradable`."""
        return self.is_stopping or self._is_retired or not self._has_begun

    def make_room(self) -> Deferred[None]:
        """See `Upgradable`."""
        return self.crew.order("make-room")

    def take_room_back(self) -> None:
        """See `Upgradable`."""
        self.crew.order("take-room-back")

    def retire(self) -> Deferred[None]:
        """See `Upgradable`."""
        self._is_retired = True
        if self._feed is not None:
            self._feed.stop()
        self._of_duties.stop()
        self.handing.retire()
        self.ports.close()
        self.crew.signal("TERM", unready_alone=True)
        if self.crew.is_empty:
            self._finish_behind()
        return self.crew.order("retire")

    def close_behind_commands(self) -> None:
        """See `Upgradable`."""
        self.crew.order("hurry")

    def follow_reload(self) -> None:
        """See `Upgradable`."""
        self.handing.reloads.enter()

    def reopen_logs(self) -> None:
        """See `Upgradable`."""
        self.logs.reopen()
        self.crew.order("reopen-log")

    def _passive_ports(self) -> dict[str, float]:
        busiest = busiest_client(self.ready_children())
        return {"reserved": busiest, "free": len(self.handing.loaded.config.passive.ports) - busiest}

    def status(self) -> dict[str, object]:
        """Return the contents of the status page, as of the last round of questions."""
        own = {"version": __version__, "listeners": self.describe(), "bans": self.penalties.count()}
        own["running for"] = self._clockwork.running_for
        return status_of(self.crew.ready(), own, self.table.sessions_of)
