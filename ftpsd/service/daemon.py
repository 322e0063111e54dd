"""
The daemon: a Twisted service that opens the listeners, serves, reloads on SIGHUP and drains at the end.

    Daemon(loaded, path, reactor)  ->  open()  ->  startService()  ...  reload()  ...  stopService() or retire()

`open` binds every port and may fail with a sentence for the operator; after it nothing in the configuration can fail.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.web.server import Site

from ftpsd.admin.endpoint import admin_site
from ftpsd.admin.live_feed import LiveFeed, Sources
from ftpsd.audit.events import DAEMON, Started, Stopped
from ftpsd.config.model import Config, Listener
from ftpsd.service.changing.reload import Read, Reloader
from ftpsd.service.listeners import (
    ListenProblem,
    OpenPorts,
    adopt,
    close_unused,
    open_admin_port,
    open_control,
    passed_as,
    port_of,
)
from ftpsd.service.load import Loaded, load
from ftpsd.service.operating.ban_questions import questions_about_bans
from ftpsd.service.operating.desk_opening import ControlSocket
from ftpsd.service.operating.job_questions import answers_about_jobs, questions_about_jobs
from ftpsd.service.operating.keeping_questions import asked_of, questions_about_keeping
from ftpsd.service.operating.own_process import OneProcess, shown_sessions
from ftpsd.service.operating.quarantine_desk import QuarantineDesk, questions_about_quarantine
from ftpsd.service.operating.question import Operated, questions_about
from ftpsd.service.outside import logs, systemd
from ftpsd.service.outside.announcement import announce
from ftpsd.service.outside.logs import warn
from ftpsd.service.outside.outputs import open_logs
from ftpsd.service.parts import Parts
from ftpsd.service.rescanning.rescan_job import Rescans
from ftpsd.service.rescanning.rescan_questions import questions_about_rescans
from ftpsd.service.serving import Serving
from ftpsd.service.share import Duty, Share
from ftpsd.service.shipping.receivers import Receivers
from ftpsd.service.upgrading.generations import Generations
from ftpsd.service.upgrading.handover import Handover
from ftpsd.service.upgrading.predecessor import Predecessor
from ftpsd.service.upgrading.retirement import Retirement, leave_ports, take_ports_back
from ftpsd.service.upkeep import Upkeep

EXIT_BAD_CONFIGURATION = 2
# Seconds for cut-off work to come to its end; a disk that hangs must not keep the daemon.
CUT_PATIENCE = 5.0
# Of these, the seconds that clients have to read why their session ends.
LAST_WORD = 1.0
# Seconds for a process from before an upgrade to come to its end, beyond its own patience.
BEFORE_PATIENCE = CUT_PATIENCE + 5.0
# Seconds between two looks of a draining daemon for the last session.
DRAIN_LOOK = 0.1

log = Logger()


class Daemon(Service):
    """
    The whole server, from one good configuration; with a *share*, the part that one of its processes has.

    *read* reads the file at *path* anew. *before* is the process whose sockets this one takes over, behind an upgrade.
    A daemon that *waits* leaves the duties of the whole server to another process until `take_duties`.
    """

    def __init__(
        self,
        loaded: Loaded,
        path: Path,
        reactor: Any,
        share: Share | None = None,
        read: Read = load,
        before: Predecessor | None = None,
        *,
        waits: bool = False,
    ) -> None:
        self.reactor = reactor
        self.handover = Handover(self, before, reactor)
        self.exit_code = 0
        self._is_serving: bool = False
        self._waits = waits or before is not None
        self._retirement: Retirement | None = None
        own = share or Share.alone(loaded.config, reactor)
        self.parts = Parts(loaded.config, reactor, own, loaded.evidence_files, path)
        self.serving = Serving(loaded, self.parts)
        config, lookup, state = loaded.config, self.parts.lookup, self.parts.state
        self.receivers = Receivers(config, loaded.evidence_files, lookup, state, reactor)
        self.ports = OpenPorts()
        self.reloader = Reloader(path, self.serving, self.ports.describe, read)
        self.upkeep = Upkeep(self.serving, self.ports.describe, self.reloader.turnstile)
        self.drain: Callable[[], object] = self.stopService
        """Stops the server as SIGTERM does; start.py knows how that is."""
        operated = self._own = OneProcess(
            self.parts,
            self.reloader,
            self.upkeep.status,
            lambda: self.drain(),
            lambda: not self._is_serving,
            self.handover.succession.begin,
        )
        self.operated: Operated = self._own if before is None else Generations(self._own, before)
        sessions = shown_sessions(config, self.operated.busiest)
        sources = Sources(
            self.parts.registry,
            lambda: succeed(None),
            operated.state,
            sessions,
            lambda: self._is_serving,
        )
        is_watched = Duty.TELL in own.duties and config.metrics is not None
        self._feed = LiveFeed(sources, reactor) if is_watched else None
        self.quarantine = QuarantineDesk(self.serving)
        self.rescans = Rescans(self.serving)
        questions = {
            **questions_about(self.operated),
            **questions_about_bans(self.parts.penalties, reactor.seconds),
            **questions_about_keeping(asked_of(self.upkeep.retaining.answers)),
            **questions_about_quarantine(self.quarantine.answers),
            **questions_about_jobs(asked_of(answers_about_jobs(self.parts.jobs))),
            **questions_about_rescans(asked_of(self.rescans.answers)),
        }
        self.control_socket = ControlSocket(loaded.config, questions, self.parts.bus, reactor)
        self._bans_recalled: Deferred[None] = succeed(None)

    # --- start

    def open(self, opened: Callable[[int, Listener], list[IListeningPort]] | None = None) -> None:
        """
        Bind every port and open the audit log; *opened* opens the control listener with that number.

        Raises:
            ListenProblem: one of them cannot be opened; those opened before are closed again.
        """
        config, ports, is_telling = self.serving.loaded.config, self.ports, Duty.TELL in self.parts.duties
        bequest = None if self.handover.before is None else self.handover.before.bequest
        with ports.all_or_none():
            for number, listener in enumerate(config.listeners):
                ports.control.append((listener.mode, (opened or self._opened)(number, listener)))
            self.parts.passive_listeners.use(ports.addresses)
            if is_telling:
                given = (lambda *_: None) if bequest is None else bequest.listening_at
                ports.admin = open_admin_port(config, self._admin_site(), self.reactor, given)
            open_logs(self.parts.logs, config, warns=is_telling)
            if is_telling:
                self.control_socket.open(bequest)
        if self.handover.before is None:
            close_unused_sockets(config)
        else:
            self.handover.before.close_copies()
            ports.hold_admin()

    def _opened(self, _: int, listener: Listener) -> list[IListeningPort]:
        there = [] if self.handover.before is None else self.handover.before.sockets_of(listener)
        if listener.socket is not None or there:
            descriptors = there or passed_as(str(listener.socket), self.handover.named_sockets())
            return [self.adopted(listener, descriptor) for descriptor in descriptors]
        factory = self.serving.factory(listener, listener.port)
        return open_control(listener, factory, {}, self.parts.bus, self.reactor)

    def adopted(self, listener: Listener, descriptor: int) -> IListeningPort:
        """Open *listener* on a socket that is there already."""
        factory = self.serving.factory(listener, port_of(descriptor))
        return adopt(listener, descriptor, factory, self.parts.bus, self.reactor)

    def _admin_site(self) -> Site:
        return admin_site(
            self.parts.registry,
            lambda: self._is_serving,
            self._own.state,
            names=self.upkeep.names,
            feed=self._feed,
        )

    def privilegedStartService(self) -> None:
        """Open the ports while twistd still has the rights to; ends the process with a clear line where that fails."""
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        try:
            self.open()
        except ListenProblem as problem:
            logs.tell_error(problem.complaint or problem)
            raise SystemExit(EXIT_BAD_CONFIGURATION) from None

    def startService(self) -> None:
        """Begin to serve on the ports that `open` has bound."""
        super().startService()  # type: ignore[no-untyped-call]
        self.parts.start()
        if self._waits:
            # Clients come when all of the server is ready.
            self.ports.hold()
        if Duty.TELL in self.parts.duties:
            # Of several processes, the supervisor does it before they are there.
            self.ports.hold()
            self._bans_recalled = self.parts.lasting_bans.load().addCallback(lambda _: self._accept())
        self.upkeep.start()
        self._is_serving = True
        if not self._waits:
            self.take_duties()

    def _accept(self) -> None:
        """Accept clients, those that wait and others; behind an upgrade, if all is as it should be."""
        before = self.handover.before
        if before is None:
            self.ports.go_on()
            return
        before.connect()
        trouble = self.parts.state.trouble
        if trouble is not None and self.parts.state.is_configured:
            self.exit_code = EXIT_BAD_CONFIGURATION
            # This end is the end of the link, too.
            refused = before.refuse([f"state: {self.parts.state.path}: {trouble}"])
            refused.addCallback(lambda _: self.drain())
            return
        self.serve_beside()
        before.when_gone(self.serve_alone)
        before.follow(self.parts.bus, self.parts.metrics)
        made = before.make_room().addCallback(lambda _: self.ports.go_on())
        made.addCallback(lambda _: before.take_over())
        made.addCallbacks(lambda _: self.take_duties(), lambda _: self.drain())

    def serve_beside(self) -> None:
        """Expect that a process from before an upgrade has some of the ports."""
        self.parts.passive_listeners.may_be_held = True

    def serve_alone(self) -> None:
        """Go on where no process from before the upgrade is left."""
        self.parts.passive_listeners.may_be_held = False
        self.upkeep.count_again()

    def take_duties(self) -> None:
        """Begin with what is done once for the whole server."""
        parts = self.parts
        self._waits = False
        parts.take_duties()
        self.upkeep.take_duties()
        if Duty.SHIP in parts.duties:
            self.receivers.start(parts.registry)
        if self._feed is not None:
            self._feed.start()
        parts.bus.publish(Started(DAEMON))
        if Duty.TELL in parts.duties:
            if self.handover.before is not None:
                self.ports.go_on_with_admin()
                self.control_socket.go_on()
            announce_serving(self.serving.loaded, self.ports.describe(), self.ports.metrics_port)

    # --- upgrade

    @property
    def config(self) -> Config:
        """See `Upgradable`."""
        return self.serving.loaded.config

    @property
    def turns(self) -> int | None:
        """See `Upgradable`."""
        return self.parts.turns

    @property
    def penalty_tables(self) -> tuple[int, int] | None:
        """See `Upgradable`."""
        return self.parts.penalty_tables

    @property
    def is_ending(self) -> bool:
        """See `Upgradable`."""
        return not self._is_serving

    def make_room(self) -> Deferred[None]:
        """See `Upgradable`."""
        leave_ports(self.parts)
        return succeed(None)

    def take_room_back(self) -> None:
        """See `Upgradable`."""
        take_ports_back(self.parts)

    def retire(self) -> Deferred[None]:
        """See `Upgradable`."""
        self._is_serving = False
        self.ports.close()
        if self._feed is not None:
            self._feed.stop()
        self.reloader.retire()
        self.upkeep.give_up_duties()
        self.receivers.stop()
        self._retirement = Retirement(self.parts, self.config, lambda: self.handover.may_end)
        Deferred.fromCoroutine(self._retirement.live_out()).addBoth(lambda _: self.drain())
        return self.parts.give_up_duties()

    def close_behind_commands(self) -> None:
        """See `Upgradable`."""
        if self._retirement is not None:
            self._retirement.close_behind_commands()

    def follow_reload(self) -> None:
        """See `Upgradable`."""
        self.reloader.reload()

    def reopen_logs(self) -> None:
        """See `Upgradable`."""
        self.parts.logs.reopen()

    # --- end

    def stopService(self) -> Deferred[None]:
        """Accept nothing more, let sessions finish within drain_timeout, then stop; the Deferred fires at the end."""
        super().stopService()  # type: ignore[no-untyped-call]
        if not self._is_serving and self._retirement is None:
            self.control_socket.close()
            self.ports.close()
            return succeed(None)
        self._is_serving = False
        self.handover.succession.give_up()
        if self._retirement is not None:
            self._retirement.hurry()
        self.handover.order("stop")
        self.parts.jobs.stop()
        has_run_out = self._retirement is not None and self._retirement.has_run_out
        timeout = 0.0 if has_run_out else self.serving.loaded.config.drain_timeout
        systemd.notify_stopping("waiting for transfers to finish")
        systemd.extend_timeout(timeout + 30)
        self.ports.stop_listening()
        self._bans_recalled.cancel()
        sessions = self.parts.sessions
        busy = sum(pi.is_busy for pi in sessions)
        if busy:
            log.info("stopping: {busy} sessions are at work, up to {timeout} s for them", busy=busy, timeout=timeout)
        for pi in list(sessions):
            pi.drain()
        deadline = self.reactor.seconds() + timeout
        return Deferred.fromCoroutine(self._drain(deadline))

    def cut(self) -> None:
        """End every session now: the operator asked twice."""
        self.handover.order("cut")
        for pi in list(self.parts.sessions):
            pi.cut()

    async def _drain(self, deadline: float) -> None:
        """Wait for the sessions to end, cut them off at *deadline*, then stop everything else."""
        sessions = self.parts.sessions
        while sessions and self.reactor.seconds() < deadline:
            await deferLater(self.reactor, DRAIN_LOOK)
        if sessions:
            log.warn("stopping: {count} sessions were cut off", count=len(sessions))
            self.cut()
            while sessions and self.reactor.seconds() < deadline + LAST_WORD:
                await deferLater(self.reactor, DRAIN_LOOK)
            # Clients that have not taken the end of their session; it is to be in the audit log.
            self.cut()
            # Work under way comes back from its workers and reports how it ended.
            while sessions and self.reactor.seconds() < deadline + CUT_PATIENCE:
                await deferLater(self.reactor, DRAIN_LOOK)
        while self.handover.is_way_to_another and self.reactor.seconds() < deadline + BEFORE_PATIENCE:
            await deferLater(self.reactor, DRAIN_LOOK)
        self.parts.passive_listeners.close()
        self.upkeep.stop()
        self.receivers.stop()
        if not self._waits:
            self.parts.bus.publish(Stopped(DAEMON, "signal" if self._retirement is None else "upgraded"))
        log.info("ftpsd has stopped")
        self.control_socket.close()
        if self._feed is not None:
            self._feed.stop()
        self.ports.close()
        self.parts.stop()


def announce_serving(loaded: Loaded, listeners: str, metrics_port: int | None) -> None:
    """Report to the operator and to systemd that *loaded* is served on *listeners*."""
    warn(loaded.warnings)
    log.info("{line}", line=announce(loaded, listeners, metrics_port))
    systemd.notify_ready(f"serving {listeners}")


def close_unused_sockets(config: Config) -> None:
    """Close the sockets of systemd's that no listener of *config* names, and log that."""
    used = [listener.socket for listener in config.listeners if listener.socket is not None]
    for sentence in close_unused(systemd.take_unused(used)):
        log.warn("{sentence}", sentence=sentence)
