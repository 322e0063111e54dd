"""
The daemon: a Twisted service that opens the listeners, serves, reloads on SIGHUP and drains at the end.

    Daemon(loaded, path, reactor)  ->  open()  ->  startService()  ...  reload()  ...  stopService()

`open` binds every port and may fail with a sentence for the operator; after it nothing the configuration says can
fail. This is the one place that imports the reactor.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import deferLater
from twisted.logger import Logger

from ftpsd.admin.endpoint import admin_site
from ftpsd.audit.events import DAEMON, Started, Stopped
from ftpsd.commands import TABLE
from ftpsd.config.model import Config, Listener
from ftpsd.control.factory import ControlFactory
from ftpsd.control.state.runtime import Runtime
from ftpsd.service.build import build_runtime
from ftpsd.service.listeners import (
    ListenProblem,
    adopt,
    bound_address,
    bound_port,
    close_unused,
    listener_name,
    open_admin_port,
    open_control,
    passed_as,
    port_of,
)
from ftpsd.service.load import Loaded
from ftpsd.service.outside import logs, systemd
from ftpsd.service.outside.announcement import announce
from ftpsd.service.outside.logs import warn
from ftpsd.service.outside.outcome import runtime_directory
from ftpsd.service.outside.outputs import open_audit_log
from ftpsd.service.parts import Parts, Share
from ftpsd.service.reload import Reloader
from ftpsd.service.upkeep import Upkeep

EXIT_BAD_CONFIGURATION = 2
# Seconds for what was cut off to come to its end; a disk that hangs must not keep the daemon.
CUT_PATIENCE = 5.0
# Of these, how long clients may take to read why their session ends.
LAST_WORD = 1.0
# How often a draining daemon looks whether the last session has gone, in seconds.
DRAIN_LOOK = 0.1

log = Logger()


class Daemon(Service):
    """The whole server, from one good configuration; with a *share*, one of its processes (processes/member.py)."""

    # Whether it removes abandoned uploads: once for the server.
    sweeps = True
    # Whether it looks for renewed certificates itself.
    renews = True

    def __init__(self, loaded: Loaded, path: Path, reactor: Any, share: Share | None = None) -> None:
        self.reactor = reactor
        self.parts = Parts(loaded.config, reactor, share)
        self.loaded = loaded
        self.runtime: Runtime = build_runtime(loaded, self.parts)
        self.reloader = Reloader(path, self, outcomes=runtime_directory())
        self.upkeep = Upkeep(self)
        self._control: list[tuple[str, IListeningPort]] = []
        self._admin: IListeningPort | None = None
        self._is_serving = False
        self._is_alone = share is None

    # --- start

    def open(self) -> None:
        """
        Bind every port and open the audit log.

        Raises:
            ListenProblem: one of them cannot be opened; those opened before are closed again.
        """
        config = self.runtime.config
        try:
            for number, listener in enumerate(config.listeners):
                self._control += [(listener.mode, port) for port in self.open_listener(number, listener)]
            self.parts.passive_listeners.use({bound_address(port) for _, port in self._control})
            self._admin = self.open_admin()
            open_audit_log(self.parts.audit_log, config.audit.log, warns=self._is_alone)
        except ListenProblem:
            self._close_ports()
            raise
        close_what_nobody_uses(config)

    def open_listener(self, number: int, listener: Listener) -> list[IListeningPort]:
        """Open the *number*-th of the listeners."""
        if listener.socket is not None:
            passed = passed_as(listener.socket, systemd.named_sockets())
            return [self.adopt(listener, descriptor) for descriptor in passed]
        factory = self._factory(listener, listener.port)
        return open_control(listener, factory, {}, self.parts.bus, self.reactor)

    def adopt(self, listener: Listener, descriptor: int) -> IListeningPort:
        """Open *listener* on a socket that is there already."""
        factory = self._factory(listener, port_of(descriptor))
        return adopt(listener, descriptor, factory, self.parts.bus, self.reactor)

    def _factory(self, listener: Listener, port: int) -> ControlFactory:
        name = listener_name(listener, port)
        is_implicit = listener.mode == "implicit"
        return ControlFactory(name, lambda: self.runtime, TABLE, self.parts.sessions, starts_with_tls=is_implicit)

    def open_admin(self) -> IListeningPort | None:
        """Open the port for metrics and health, where there is one."""
        site = admin_site(self.parts.registry, lambda: self._is_serving, self.upkeep.status, names=self.upkeep.names)
        return open_admin_port(self.runtime.config, site, self.reactor)

    def privilegedStartService(self) -> None:
        """Open the ports while twistd still has the rights to; ends the process with a clear line where that fails."""
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        try:
            self.open()
        except ListenProblem as problem:
            logs.tell_error(problem)
            raise SystemExit(EXIT_BAD_CONFIGURATION) from None

    def startService(self) -> None:
        """Begin to serve what `open` has bound."""
        super().startService()  # type: ignore[no-untyped-call]
        self.parts.start()
        self.upkeep.start()
        self._is_serving = True
        self.parts.bus.publish(Started(DAEMON))
        self.tell_that_it_serves()

    def tell_that_it_serves(self) -> None:
        """Say it to the operator and to systemd."""
        warn(self.loaded.warnings)
        metrics_port = None if self._admin is None else bound_port(self._admin)
        log.info("{line}", line=announce(self.loaded, self.describe(), metrics_port))
        systemd.notify_ready(f"serving {self.describe()}")

    def describe(self) -> str:
        """Name the listeners, for people."""
        return ", ".join(dict.fromkeys(f"{name} on port {bound_port(port)}" for name, port in self._control))

    # --- change

    def use(self, loaded: Loaded) -> None:
        """Serve new sessions and logins from *loaded*, and end the sessions of users who may not log in by it."""
        self.runtime = build_runtime(loaded, self.parts)
        self.loaded = loaded
        logs.use_level(loaded.config.log.level)
        for pi in list(self.parts.sessions):
            pi.reconsider()
        self.upkeep.refresh_addresses()

    # --- end

    def stopService(self) -> Deferred[None]:
        """Accept nothing more, let what runs finish within drain_timeout, then stop; the Deferred fires at the end."""
        super().stopService()  # type: ignore[no-untyped-call]
        if not self._is_serving:
            self._close_ports()
            return succeed(None)
        self._is_serving = False
        timeout = self.runtime.config.drain_timeout
        systemd.notify_stopping("waiting for transfers to finish")
        systemd.extend_timeout(timeout + 30)
        self._stop_listening()
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
            # What was at work comes back from its workers and says how it ended.
            while sessions and self.reactor.seconds() < deadline + CUT_PATIENCE:
                await deferLater(self.reactor, DRAIN_LOOK)
        self.parts.passive_listeners.close()
        self.upkeep.stop()
        self.parts.bus.publish(Stopped(DAEMON, "signal"))
        log.info("ftpsd has stopped")
        self._close_ports()
        self.parts.stop()

    def _stop_listening(self) -> None:
        """Accept no more clients. Metrics and health are answered until the end: a drain is what one wants to watch."""
        for _, port in self._control:
            port.stopListening()
        self._control.clear()

    def _close_ports(self) -> None:
        self._stop_listening()
        if self._admin is not None:
            self._admin.stopListening()
            self._admin = None


def close_what_nobody_uses(config: Config) -> None:
    """Close the sockets of systemd's that no listener of *config* names, and say so."""
    used = [listener.socket for listener in config.listeners if listener.socket is not None]
    for sentence in close_unused(systemd.take_unused(used)):
        log.warn("{sentence}", sentence=sentence)
