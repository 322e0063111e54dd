"""
Reload: what SIGHUP changes.

Read, check and build a whole new Runtime in a worker, then swap one reference. On any failure the old one stays, the
reason is logged and a metric says so. Sessions keep the Runtime they were born with: users, certificates, limits and
policies of the new one hold for sessions that come after it. Listeners, passive ports, worker pools, audit and
metrics targets change with a restart; a reload that finds them changed says so.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd.audit.events import DAEMON, Reloaded, ReloadFailed
from ftpsd.config.document import ConfigErrors
from ftpsd.config.model import Config, Metrics
from ftpsd.service import systemd
from ftpsd.service.build import Loaded, load
from ftpsd.service.logs import warn

if TYPE_CHECKING:
    from ftpsd.service.daemon import Daemon

NEEDS_RESTART = ("listeners", "audit", "workers", "processes")

INTERNAL_ERROR = "internal error"

log = Logger()


class Reloader:
    """Reloads *daemon* from the file at *path*, which *read* reads."""

    def __init__(self, path: Path, daemon: Daemon, read: Callable[[Path], Loaded] = load) -> None:
        self._path = path
        self._daemon = daemon
        self._read = read
        self._is_running = False
        self._is_wanted = False

    @property
    def is_running(self) -> bool:
        """Whether a reload is under way."""
        return self._is_running

    def listen_for_hangup(self) -> None:
        """Reload at every SIGHUP from now on."""
        reactor = self._daemon.reactor
        signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(self.reload))

    def reload(self) -> Deferred[str]:
        """Reload and return what was wrong, "" for nothing; one that is asked for meanwhile follows."""
        if self._is_running:
            self._is_wanted = True
            return succeed("")
        self._is_running = True
        systemd.notify_reloading()
        self._daemon.parts.audit_log.reopen()
        return (
            self._daemon.parts.files.run(self._read, self._path)
            .addCallbacks(self._loaded, self._failed)
            .addBoth(self._over)
        )

    def _loaded(self, loaded: Loaded) -> str:
        daemon = self._daemon
        for key in changed_beyond_reload(daemon.runtime.config, loaded.config):
            log.warn("reload: {key} has changed; that takes effect with a restart", key=key)
        warn(loaded.warnings)
        daemon.use(loaded)
        daemon.parts.bus.publish(Reloaded(DAEMON))
        count = sum(len(users.users) for users in (loaded.users, *loaded.hosts))
        log.info("reloaded {path}: {count} users", path=str(self._path), count=count)
        return ""

    def _failed(self, failure: Failure) -> str:
        reasons = why_refused(failure)
        for reason in reasons:
            log.error("reload failed, the old configuration stays: {reason}", reason=reason)
        self._daemon.parts.bus.publish(ReloadFailed(DAEMON, "; ".join(reasons)))
        return "; ".join(reasons)

    def _over(self, result: str | Failure) -> str:
        self._is_running = False
        systemd.notify_ready(f"serving {self._daemon.describe()}")
        if isinstance(result, Failure):
            log.failure("reload failed", result)
            result = INTERNAL_ERROR
        if self._is_wanted:
            self._is_wanted = False
            self.reload()
        return result


def why_refused(failure: Failure) -> list[str]:
    """Return why a configuration was not taken, a sentence for each reason."""
    problem = failure.value
    if isinstance(problem, ConfigErrors):
        return [str(error) for error in problem.errors]
    log.failure("reload failed", failure)
    return [INTERNAL_ERROR]


def changed_beyond_reload(old: Config, new: Config) -> list[str]:
    """Return the keys in which *new* differs from *old* and that only a restart can change."""
    keys = [key for key in NEEDS_RESTART if getattr(old, key) != getattr(new, key)]
    if _place(old.metrics) != _place(new.metrics):
        keys.append("metrics")
    if old.passive.ports != new.passive.ports:
        keys.append("passive.ports")
    if old.passive.proxy_protocol != new.passive.proxy_protocol:
        keys.append("passive.proxy_protocol")
    return keys


def _place(metrics: Metrics | None) -> tuple[str, int] | None:
    """Return where *metrics* are served; under which names follows a reload."""
    return None if metrics is None else (metrics.address, metrics.port)
