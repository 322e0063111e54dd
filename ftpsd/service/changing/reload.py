"""
Reload: the changes that SIGHUP brings.

Read, check and build a whole new Runtime in a worker, then swap one reference. On any failure the old one stays, the
reason is logged and counted in a metric. A session whose user is logged in keeps the Runtime of the login, and ends
when that user could not log in any more; logins and sessions to come have the new one. Listeners, passive ports, worker
pools, audit and metrics targets change with a restart; a reload that finds them changed logs so.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd.audit.events import DAEMON, Reloaded, ReloadFailed
from ftpsd.config.model import Config, Listener, Metrics
from ftpsd.config.parsing.document import ConfigErrors
from ftpsd.service.changing.turnstile import Turnstile
from ftpsd.service.load import Loaded, load
from ftpsd.service.outside import systemd
from ftpsd.service.outside.logs import warn
from ftpsd.service.outside.outcome import Outcome, runtime_directory
from ftpsd.service.serving import Serving
from ftpsd.service.share import Duty
from ftpsd.workers import Workers

NEEDS_RESTART = ("audit", "workers", "processes", "state", "control_socket", "control_groups")

INTERNAL_ERROR = "internal error"

# Reads a file; beside it, the fingerprints of the certificates that are served.
Read = Callable[[Path, frozenset[str]], Loaded]

log = Logger()


class Reloader:
    """
    The reloader of *serving* from the file at *path*, which *read* reads.

    A process with Duty.TELL reports the end to systemd and `ftpsd reload`; *describe* names the listeners.
    """

    def __init__(self, path: Path, serving: Serving, describe: Callable[[], str], read: Read = load) -> None:
        self._path = path
        self._serving = serving
        self._describe = describe
        self._read = read
        self._outcomes = runtime_directory() if Duty.TELL in serving.parts.duties else None
        self.turnstile = Turnstile(self._run)

    def listen_for_hangup(self) -> None:
        """Reload at every SIGHUP from now on."""
        reactor = self._serving.parts.reactor
        signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(self.reload))

    def retire(self) -> None:
        """Leave it to another process to tell `ftpsd reload` how a reload has ended."""
        self._outcomes = None

    def reload(self) -> Deferred[str]:
        """Reload and return the problems, "" for none; one that is asked for meanwhile follows."""
        return self.turnstile.enter().addCallback("; ".join)

    def _run(self) -> Deferred[list[str]]:
        began = time.monotonic()
        systemd.notify_reloading()
        parts = self._serving.parts
        parts.logs.reopen()
        return (
            parts.files.run(self._read, self._path, self._serving.loaded.certificates.fingerprints)
            .addCallbacks(self._loaded, self._failed)
            .addErrback(why_refused)
            .addCallback(self._report, began)
        )

    def _loaded(self, loaded: Loaded) -> list[str]:
        serving = self._serving
        for key in changed_beyond_reload(serving.loaded.config, loaded.config):
            log.warn("reload: {key} has changed; that takes effect with a restart", key=key)
        warn(loaded.warnings)
        serving.use(loaded)
        serving.parts.bus.publish(Reloaded(DAEMON))
        log.info("reloaded {path}: {count} users", path=str(self._path), count=len(loaded.known()))
        return []

    def _failed(self, failure: Failure) -> list[str]:
        reasons = why_refused(failure)
        for reason in reasons:
            log.error("reload failed, the old configuration stays: {reason}", reason=reason)
        self._serving.parts.bus.publish(ReloadFailed(DAEMON, "; ".join(reasons)))
        return reasons

    def _report(self, problems: list[str], began: float) -> Deferred[list[str]]:
        """Report the end to systemd, and to a waiting `ftpsd reload`."""
        systemd.notify_ready(status_after_reload(self._describe(), problems))
        return write_outcome(self._serving.parts.files, self._outcomes, Outcome(began, tuple(problems)))


def status_after_reload(listeners: str, problems: Sequence[str]) -> str:
    """Return the status line of `systemctl status` behind a reload."""
    refused = f"; the last reload was refused: {problems[0]}" if problems else ""
    return f"serving {listeners}{refused}"


def write_outcome(workers: Workers, directory: Path | None, outcome: Outcome) -> Deferred[list[str]]:
    """Write *outcome* where `ftpsd reload` may wait for it, if anywhere; return its problems, however that ends."""
    problems = list(outcome.problems)
    if directory is None:
        return succeed(problems)

    def failed(failure: Failure) -> None:
        log.warn("`ftpsd reload` is not told: {why}", why=failure.getErrorMessage())

    return workers.run(outcome.write, directory).addErrback(failed).addCallback(lambda _: problems)


def why_refused(failure: Failure) -> list[str]:
    """Return why a configuration was not taken, a sentence for each reason."""
    problem = failure.value
    if isinstance(problem, ConfigErrors):
        return [str(error) for error in problem.errors]
    log.failure("reload failed", failure)
    return [INTERNAL_ERROR]


def changed_beyond_reload(old: Config, new: Config) -> list[str]:
    """Return the keys in which *new* differs from *old* and that only a restart can change."""
    keys = ["listeners"] if _entrances(old) != _entrances(new) else []
    keys += [key for key in NEEDS_RESTART if getattr(old, key) != getattr(new, key)]
    if _place(old.metrics) != _place(new.metrics):
        keys.append("metrics")
    if old.passive.ports != new.passive.ports:
        keys.append("passive.ports")
    if old.passive.proxy_protocol != new.passive.proxy_protocol:
        keys.append("passive.proxy_protocol")
    return keys


def _entrances(config: Config) -> list[Listener]:
    """Return the listeners without the rules for certificates of clients, which follow a reload."""
    return [listener.model_copy(update={"client_certificates": None}) for listener in config.listeners]


def _place(metrics: Metrics | None) -> tuple[str, int] | None:
    """Return where *metrics* are served; under which names follows a reload."""
    return None if metrics is None else (metrics.address, metrics.port)
