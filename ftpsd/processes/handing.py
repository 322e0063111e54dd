"""
Reload of several processes: the supervisor reads and checks the files, and hands only a good configuration to the
processes, to all of them the same.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd.audit.events import DAEMON, Reloaded, ReloadFailed
from ftpsd.durable.byte_lock import LOCK_CONFIGURATION, ByteLock
from ftpsd.processes.child import Child
from ftpsd.processes.snapshot import Snapshot
from ftpsd.service.changing.certificate_dates import CertificateDates
from ftpsd.service.changing.reload import changed_beyond_reload, status_after_reload, why_refused, write_outcome
from ftpsd.service.changing.renewal import Renewal
from ftpsd.service.changing.turnstile import Turnstile
from ftpsd.service.load import Loaded, load
from ftpsd.service.outside import systemd
from ftpsd.service.outside.logs import use_level, warn
from ftpsd.service.outside.outcome import Outcome, runtime_directory

if TYPE_CHECKING:
    from ftpsd.processes.supervisor import Supervisor

# Seconds for a process to take a configuration of many users over.
PATIENCE = 30.0

log = Logger()


class Handing:
    """
    The configuration that the processes of *supervisor* serve: *loaded*, until a reload or a renewal hands out another.
    """

    def __init__(self, supervisor: Supervisor, loaded: Loaded) -> None:
        self.loaded = loaded
        self.snapshot = Snapshot.create(ByteLock(supervisor.table.fd, LOCK_CONFIGURATION))
        self.version = self.snapshot.write(loaded)
        self.reloads = Turnstile(self._reload)
        self._supervisor = supervisor
        self._outcomes = runtime_directory()

    def listen_for_hangup(self) -> None:
        """Reload at every SIGHUP from now on."""
        reactor = self._supervisor.reactor
        signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(self.reloads.enter))

    def retire(self) -> None:
        """Leave it to another process to tell `ftpsd reload` how a reload has ended."""
        self._outcomes = None

    def renewal(self) -> Renewal:
        """Return the keeper of the certificates."""
        supervisor = self._supervisor
        told = supervisor.metrics.renewed, supervisor.describe
        dates = CertificateDates(supervisor.bus.publish, supervisor.reactor.seconds)
        return Renewal(self, self.reloads, supervisor.workers, *told, dates)

    def use(self, loaded: Loaded) -> None:
        """Have every process take *loaded*, the present configuration but for the certificates."""

        def handed(problems: list[str]) -> None:
            for problem in problems:
                log.error("{problem}", problem=problem)

        Deferred.fromCoroutine(self._hand_out(loaded)).addErrback(why_refused).addCallback(handed)

    def catch_up(self, child: Child) -> None:
        """Have *child*, which has begun with an older configuration, take the one that was taken meanwhile."""

        def handed(problem: str) -> None:
            if problem:
                log.error("{problem}", problem=problem)

        self._hand_to(child).addCallback(handed)

    def _reload(self) -> Deferred[list[str]]:
        """Reload and return the problems."""
        began = time.monotonic()
        systemd.notify_reloading()
        return Deferred.fromCoroutine(self._read()).addErrback(why_refused).addCallback(self._report, began)

    async def _read(self) -> list[str]:
        """Read the files and hand out the configuration; return the problems."""
        supervisor = self._supervisor
        supervisor.logs.reopen()
        children = supervisor.ready_children()
        await DeferredList([child.ask("reopen-log") for child in children], consumeErrors=True)
        loaded = await supervisor.workers.run(load, supervisor.path, self.loaded.certificates.fingerprints)
        for key in changed_beyond_reload(self.loaded.config, loaded.config):
            log.warn("reload: {key} has changed; that takes effect with a restart", key=key)
        warn(loaded.warnings)
        return await self._hand_out(loaded)

    async def _hand_out(self, loaded: Loaded) -> list[str]:
        """Have every process take *loaded*; return the problems."""
        self.version = self.snapshot.write(loaded)
        self.loaded = loaded
        use_level(loaded.config.log.level)
        self._supervisor.penalties.use(loaded.config)
        handed = [self._hand_to(child) for child in self._supervisor.ready_children()]
        return [problem for _, problem in await DeferredList(handed) if problem]

    def _hand_to(self, child: Child) -> Deferred[str]:
        """Have *child* take the configuration that lies ready; return the problems."""

        def answered(answer: dict[str, Any]) -> str:
            child.version = answer["version"]
            problem: str = answer["problem"]
            return f"{child.name}: {problem}" if problem else ""

        def failed(failure: Failure) -> str:
            return f"{child.name} did not take it: {failure.getErrorMessage() or type(failure.value).__name__}"

        return child.ask("reload", PATIENCE).addCallbacks(answered, failed)

    def _report(self, problems: list[str], began: float) -> Deferred[list[str]]:
        """Report how it ended; return *problems*."""
        supervisor = self._supervisor
        for problem in problems:
            log.error("reload failed: {problem}", problem=problem)
        if problems:
            supervisor.bus.publish(ReloadFailed(DAEMON, "; ".join(problems)))
        else:
            supervisor.bus.publish(Reloaded(DAEMON))
            log.info("reloaded {path}", path=str(supervisor.path))
        systemd.notify_ready(status_after_reload(supervisor.describe(), problems))
        return write_outcome(supervisor.workers, self._outcomes, Outcome(began, tuple(problems)))
