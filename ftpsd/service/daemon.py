"""
The daemon: a Twisted service that opens the listeners, serves, reloads on SIGHUP and drains at the end.

    Daemon(loaded, path, reactor)  ->  open()  ->  startService()  ...  reload()  ...  stopService()

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
from ftpsd.service.changing.reload import Reloader
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
from ftpsd.service.operating.question import questions_about
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
from ftpsd.service.upkeep import Upkeep

EXIT_BAD_CONFIGURATION = 2
# Seconds for cut-off work to come to its end; a disk that hangs must not keep the daemon.
CUT_PATIENCE = 5.0
# Of these, the seconds that clients have to read why their session ends.
LAST_WORD = 1.0
# Seconds between two looks of a draining daemon for the last session.
DRAIN_LOOK = 0.1

log = Logger()


class Daemon(Service):
    """
    The whole server, from one good configuration; with a *share*, the part that one of its processes has.

    *read* reads the file at *path* anew.
    """

    def __init__(
        self,
        loaded: Loaded,
        path: Path,
        reactor: Any,
        share: Share | None = None,
        read: Callable[[Path], Loaded] = load,
    ) -> None:
        self.reactor = reactor
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
        self._operated = OneProcess(
            self.parts, self.reloader, self.upkeep.status, lambda: self.drain(), lambda: not self._is_serving
        )
        operated = self._operated
        sessions = shown_sessions(config, operated.busiest)
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
            **questions_about(self._operated),
            **questions_about_bans(self.parts.penalties, reactor.seconds),
            **questions_about_keeping(asked_of(self.upkeep.retaining.answers)),
            **questions_about_quarantine(self.quarantine.answers),
            **questions_about_jobs(asked_of(answers_about_jobs(self.parts.jobs))),
            **questions_about_rescans(asked_of(self.rescans.answers)),
        }
        self._control_socket = ControlSocket(loaded.config, questions, self.parts.bus, reactor)
        self._is_serving = False
        self._bans_recalled: Deferred[None] = succeed(None)

    # --- start

    def open(self, opened: Callable[[int, Listener], list[IListeningPort]] | None = None) -> None:
        """
        Bind every port and open the audit log; *opened* opens the control listener with that number.

        Raises:
            ListenProblem: one of them cannot be opened; those opened before are closed again.
        """
        config, ports, is_telling = self.serving.loaded.config, self.ports, Duty.TELL in self.parts.duties
        with ports.all_or_none():
            for number, listener in enumerate(config.listeners):
                ports.control.append((listener.mode, (opened or self._opened)(number, listener)))
            self.parts.passive_listeners.use(ports.addresses)
            if is_telling:
                ports.admin = open_admin_port(config, self._admin_site(), self.reactor)
            open_logs(self.parts.logs, config, warns=is_telling)
            if is_telling:
                self._control_socket.open()
        close_unused_sockets(config)

    def _opened(self, _: int, listener: Listener) -> list[IListeningPort]:
        if listener.socket is not None:
            passed = passed_as(listener.socket, systemd.named_sockets())
            return [self.adopted(listener, descriptor) for descriptor in passed]
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
            self._operated.state,
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
        if Duty.TELL in self.parts.duties:
            # Of several processes, the supervisor does it before they are there.
            self.ports.hold()
            self._bans_recalled = self.parts.lasting_bans.load().addCallback(lambda _: self.ports.go_on())
        self.upkeep.start()
        if Duty.SHIP in self.parts.duties:
            self.receivers.start(self.parts.registry)
        self._is_serving = True
        if self._feed is not None:
            self._feed.start()
        self.parts.bus.publish(Started(DAEMON))
        if Duty.TELL in self.parts.duties:
            announce_serving(self.serving.loaded, self.ports.describe(), self.ports.metrics_port)

    # --- end

    def stopService(self) -> Deferred[None]:
        """Accept nothing more, let sessions finish within drain_timeout, then stop; the Deferred fires at the end."""
        super().stopService()  # type: ignore[no-untyped-call]
        if not self._is_serving:
            self._control_socket.close()
            self.ports.close()
            return succeed(None)
        self._is_serving = False
        self.parts.jobs.stop()
        timeout = self.serving.loaded.config.drain_timeout
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
        self.parts.passive_listeners.close()
        self.upkeep.stop()
        self.receivers.stop()
        self.parts.bus.publish(Stopped(DAEMON, "signal"))
        log.info("ftpsd has stopped")
        self._control_socket.close()
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
