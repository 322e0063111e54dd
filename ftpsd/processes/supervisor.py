"""
The supervisor of several processes: it opens the control ports, starts the processes, replaces dead ones, and is the
one that the operator, systemd and Prometheus talk to. It serves no client itself.

    Supervisor(loaded, path, reactor)  ->  open()  ->  start()  ...  reload  ...  stop()

Each process is asked every few seconds whether it still turns. One that dies is replaced after a moment; when the same
place falls empty too often, the server ends, and the service manager decides what is next.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from ftpsd import __version__
from ftpsd.admin.endpoint import AdminSite, Exposition
from ftpsd.admin.live_feed import LiveFeed, Sources
from ftpsd.audit.bus import AuditBus
from ftpsd.audit.events import DAEMON, Started, Stopped
from ftpsd.audit.metrics import Metrics
from ftpsd.auth.hashing.passwords import MOST_VERIFIED
from ftpsd.control.gate.lasting_bans import LastingBans
from ftpsd.durable.store import Store
from ftpsd.processes.child import ANSWER, Child, Deaths
from ftpsd.processes.front import Front, Rounds, busiest_client, status_of
from ftpsd.processes.handing import Handing
from ftpsd.processes.operated import SeveralProcesses, passed_on
from ftpsd.processes.seat import process_count
from ftpsd.processes.shared.count_table import LOCK_AUDIT, CountTable
from ftpsd.processes.shared.deadline_table import DeadlineTable
from ftpsd.processes.shared.homes import HomeTable
from ftpsd.processes.shared.lock import ByteLock
from ftpsd.processes.shared.penalty_tables import penalty_files, shared_penalties
from ftpsd.processes.sums import Sums
from ftpsd.service.changing.addresses import REFRESH
from ftpsd.service.changing.renewal import INTERVAL, Renewal
from ftpsd.service.clockwork import Clockwork
from ftpsd.service.daemon import EXIT_BAD_CONFIGURATION, announce_serving, close_unused_sockets
from ftpsd.service.listeners import ListenProblem, OpenPorts, adopt, bound, open_admin_port, passed_as
from ftpsd.service.load import Loaded
from ftpsd.service.operating.ban_questions import questions_about_bans
from ftpsd.service.operating.desk_opening import ControlSocket
from ftpsd.service.operating.job_questions import questions_about_jobs
from ftpsd.service.operating.keeping_questions import questions_about_keeping
from ftpsd.service.operating.own_process import shown_sessions
from ftpsd.service.operating.quarantine_desk import QuarantineDesk, questions_about_quarantine
from ftpsd.service.operating.question import questions_about
from ftpsd.service.outside import systemd
from ftpsd.service.outside.log_set import LogSet
from ftpsd.service.outside.logs import tell_error
from ftpsd.service.outside.outputs import chain_of, open_logs
from ftpsd.service.outside.own_names import MetricsNames
from ftpsd.service.rescanning.rescan_questions import questions_about_rescans
from ftpsd.service.signals import listen_for_stop
from ftpsd.service.upkeep import OVER_INTERVAL
from ftpsd.workers import WorkerPool

EXIT_DYING = 3
# An address, a user and two rates.
KEYS_PER_CONNECTION = 4
# Room for homes with a quota that a reload brings, beside as many again as there are at the start.
SPARE_HOMES = 1000
# Seconds: beyond drain_timeout, for processes that do not end by themselves, and behind a second signal.
GRACE = 30.0
GRACE_WHEN_CUT = 10.0

log = Logger()


class Supervisor:
    """The whole server of several processes, from one good configuration."""

    def __init__(self, loaded: Loaded, path: Path, reactor: Any) -> None:
        config = loaded.config
        self.reactor = reactor
        self.path = path
        self.exit_code = 0
        self.count = process_count(config)
        self.table = CountTable.create(self.count, KEYS_PER_CONNECTION * config.limits.connections)
        with_quota = sum(user.quota is not None for user in loaded.known())
        self.homes = HomeTable.create(2 * with_quota + SPARE_HOMES, self.table.fd, self.count)
        self.deadlines = DeadlineTable.create(MOST_VERIFIED, reactor)
        self.records, self.arrivals = penalty_files()
        self.penalties = shared_penalties(self.records, self.arrivals, reactor)
        self.penalties.use(config)
        self.handing = Handing(self, loaded)
        self.workers = WorkerPool("files", 1, 1, reactor.callFromThread)
        # DNS may take its time, and a reload must not wait for it.
        self._asking = WorkerPool("names", 1, 1, reactor.callFromThread)
        self.names = MetricsNames(lambda: self.handing.loaded.config, self._asking)
        registry = CollectorRegistry()
        self.metrics = Metrics(registry, __version__)
        self._add_metrics(registry)
        self.bus = AuditBus(failed=self.metrics.audit_write_failed)
        turn = ByteLock(self.table.fd, LOCK_AUDIT)
        chain = chain_of(config, loaded.evidence_files)
        self.logs = LogSet(config, self.metrics.audit_write_failed, turn, chain)
        self.bus.subscribe(self.metrics)
        self.logs.subscribe(self.bus)
        self.penalties.publish = self.bus.publish
        self.metrics.watch_bans(self.penalties.count)
        self.metrics.watch_passive_ports(self._passive_ports)
        self.sums = Sums(registry)
        self.rounds = Rounds(self.ready_children, self.sums)
        self._children: dict[int, Child] = {}
        self._deaths = [Deaths() for _ in range(self.count)]
        self._ports = OpenPorts()
        self._clockwork = Clockwork(reactor)
        self._has_begun = False
        self.drain: Callable[[], object] = self.stop
        """Stops the server as SIGTERM does, without being the first of two signals."""
        self._operated = operated = SeveralProcesses(self)
        self._feed: LiveFeed | None = None
        self._control_socket = ControlSocket(
            config,
            {
                **questions_about(operated),
                **questions_about_bans(self.penalties, reactor.seconds),
                **questions_about_keeping(operated.ask_first),
                **questions_about_jobs(operated.ask_first),
                **questions_about_quarantine(passed_on(self, QuarantineDesk.NAMES)),
                **questions_about_rescans(operated.ask_first),
            },
            self.bus,
            reactor,
        )
        self.is_stopping = False

    def _add_metrics(self, registry: CollectorRegistry) -> None:
        alive = Gauge("ftpsd_processes", "Processes that accept connections.", registry=registry)
        alive.set_function(lambda: len(self.ready_children()))
        self._replaced = Counter("ftpsd_processes_replaced", "Processes that died.", registry=registry)

    # --- start

    def open(self) -> None:
        """
        Bind the control ports and the one for metrics, and open the audit log.

        Raises:
            ListenProblem: one of them cannot be opened; those opened before are closed again.
        """
        config, ports = self.handing.loaded.config, self._ports
        sockets = systemd.named_sockets()
        nobody = Factory()
        nobody.noisy = False
        with ports.all_or_none():
            for listener in config.listeners:
                # Headers of proxies are read by the process that accepts.
                plain = listener.model_copy(update={"proxy_protocol": None})
                with ExitStack() as made:
                    if listener.socket is None:
                        descriptors = [made.enter_context(bound(plain)).fileno()]
                    else:
                        descriptors = passed_as(listener.socket, sockets)
                    # Adopted also where they are our own: a port that Twisted has made shuts down the socket itself at
                    # its end, which all share, and accept() of a process that has not closed its own yet would fail.
                    opened = [adopt(plain, each, nobody, self.bus, self.reactor) for each in descriptors]
                for port in opened:
                    # Ours to keep open, theirs to accept from.
                    port.stopReading()  # type: ignore[attr-defined]
                ports.control.append((listener.mode, opened))
            ports.admin = open_admin_port(config, self._admin_site(), self.reactor)
            open_logs(self.logs, config)
            self._control_socket.open()
        close_unused_sockets(config)

    def _admin_site(self) -> AdminSite:
        total = CollectorRegistry()
        total.register(self.sums)
        operated, refresh = self._operated, self.rounds.refresh
        config = self.handing.loaded.config
        if config.metrics is not None:
            sessions = shown_sessions(config, operated.busiest)
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
        self._recall_bans().addCallback(lambda _: self._fill_all())
        every(ANSWER, self.rounds.ask, now=False)
        every(OVER_INTERVAL, self.penalties.end_over, now=False)
        reloads, counted = self.handing.reloads, self.metrics.renewed
        every(INTERVAL, Renewal(self.handing, reloads, self.workers, counted, self.describe).look, now=False)

    def _recall_bans(self) -> Deferred[None]:
        """Take over the bans of the state file, which is then left to the processes."""
        store = Store(self.handing.loaded.config.state, self.reactor.callFromThread)
        store.start()
        loaded = LastingBans(self.penalties, store, self.reactor).load()

        def let_go(_: None) -> None:
            store.stop(patience=0.0)

        return loaded.addCallback(let_go)

    @property
    def is_serving(self) -> bool:
        """Whether connections are accepted."""
        return self._has_begun and not self.is_stopping and bool(self.ready_children())

    def ready_children(self) -> list[Child]:
        """Return the processes that accept connections, in order."""
        return [child for _, child in sorted(self._children.items()) if child.is_ready]

    def describe(self) -> str:
        """Name the listeners, for people."""
        return f"{self._ports.describe()}, in {self.count} processes"

    def _fill_all(self) -> None:
        for index in range(self.count):
            self._fill(index)

    def _fill(self, index: int) -> None:
        if self.is_stopping:
            return
        child = self._children[index] = Child(index, self._child_began, self._child_ended)
        ports = [[port.fileno() for port in ports] for _, ports in self._ports.control]  # type: ignore[attr-defined]
        tables = self.table.fd, self.homes.fd, self.deadlines.fd, self.records, self.arrivals
        child.start(self.reactor, self.path, self.count, ports, *tables, self.handing.snapshot.fd)

    def _child_began(self, child: Child) -> None:
        if self.is_stopping:
            child.signal("TERM")
            return
        if child.version != self.handing.version:
            self.handing.catch_up(child)
        if self._has_begun:
            log.info("{name} serves, pid {pid}", name=child.name, pid=child.pid)
        elif len(self.ready_children()) == self.count:
            self._has_begun = True
            self.bus.publish(Started(DAEMON))
            announce_serving(self.handing.loaded, self.describe(), self._ports.metrics_port)
            # systemd counts from READY=1 on.
            watchdog = systemd.watchdog_interval()
            if watchdog is not None:
                self._clockwork.every(watchdog / 2, systemd.notify_watchdog, now=False)

    # --- events of processes

    def _child_ended(self, child: Child, sentence: str) -> None:
        del self._children[child.index]
        self.table.clear(child.index)
        self.homes.clear(child.index)
        self.sums.ended(child.index)
        if self.is_stopping:
            if not self._children:
                self._finish()
            return
        log.error("{name} {sentence}", name=child.name, sentence=sentence)
        if not self._has_begun:
            # It has reported the reason, and would do so again.
            self._give_up(child.exit_code or EXIT_DYING)
            return
        self._replaced.inc()
        delay = self._deaths[child.index].delay_after()
        if delay is None:
            log.critical("{name} dies again and again; the server ends", name=child.name)
            self._give_up(EXIT_DYING)
        else:
            self.reactor.callLater(delay, self._fill, child.index)

    def _give_up(self, exit_code: int) -> None:
        self.exit_code = exit_code
        self.stop()

    # --- end

    def stop(self) -> None:
        """Have every process drain; the reactor stops when the last has ended."""
        if self.is_stopping:
            return
        self.is_stopping = True
        timeout = self.handing.loaded.config.drain_timeout
        systemd.notify_stopping("waiting for transfers to finish")
        systemd.extend_timeout(timeout + GRACE + GRACE_WHEN_CUT)
        self._ports.stop_listening()
        self._signal_all("TERM")
        self.reactor.callLater(timeout + GRACE, self._signal_all, "KILL")
        if not self._children:
            self._finish()

    def cut(self) -> None:
        """End every session now: the operator asked twice."""
        for child in self.ready_children():
            child.ask("cut").addErrback(lambda failure: log.warn("{why}", why=failure.getErrorMessage()))
        self.reactor.callLater(GRACE_WHEN_CUT, self._signal_all, "KILL")

    def _signal_all(self, name: str) -> None:
        for child in self._children.values():
            child.signal(name)

    def _finish(self) -> None:
        self._clockwork.stop()
        if self._has_begun:
            self.bus.publish(Stopped(DAEMON, "signal" if not self.exit_code else "processes-die"))
        log.info("ftpsd has stopped")
        self._control_socket.close()
        if self._feed is not None:
            self._feed.stop()
        self._ports.close()
        self.workers.stop()
        self.logs.stop()
        self.reactor.stop()

    def _passive_ports(self) -> dict[str, float]:
        busiest = busiest_client(self.ready_children())
        return {"reserved": busiest, "free": len(self.handing.loaded.config.passive.ports) - busiest}

    def status(self) -> dict[str, object]:
        """Return the contents of the status page, as of the last round of questions."""
        own = {
            "version": __version__,
            "listeners": self.describe(),
            "bans": self.penalties.count(),
            "running for": self._clockwork.running_for,
        }
        return status_of(self.ready_children(), own, self.table.sessions_of)


def supervise(loaded: Loaded, path: Path, reactor: Any) -> int:
    """Serve *loaded*, read from *path*, in several processes until a signal; return the exit code."""
    supervisor = Supervisor(loaded, path, reactor)
    try:
        supervisor.open()
    except ListenProblem as problem:
        tell_error(problem.told(path))
        return EXIT_BAD_CONFIGURATION

    def begin() -> None:
        supervisor.drain = listen_for_stop(reactor, supervisor.stop, supervisor.cut)
        supervisor.handing.listen_for_hangup()
        supervisor.start()

    reactor.callWhenRunning(begin)
    reactor.run()
    return supervisor.exit_code
