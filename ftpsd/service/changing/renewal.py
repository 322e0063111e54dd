"""
Renewal: certificates whose files have been replaced are taken over, without a reload. So are the authorities of clients
and their revocation lists.

Files are looked at by their names every few seconds. A changed file is read when it looks the same twice, for programs
that renew write the certificate and its key one after the other. All pairs are taken over together, or none: then the
log has the reason, once, and the old ones serve on. Nothing else is read: a configuration that is just being written
takes effect with a reload alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd.config.checks.named_files import certificate_files
from ftpsd.config.model import Config
from ftpsd.config.parsing.document import shown_key
from ftpsd.service.building.pairs import Certificates, authority_files, load_certificates
from ftpsd.service.changing.certificate_dates import CertificateDates
from ftpsd.service.changing.turnstile import Turnstile
from ftpsd.service.load import Loaded
from ftpsd.service.outside import systemd
from ftpsd.service.outside.logs import warn
from ftpsd.workers import PoolBusy, Workers

# Seconds between two looks; a change is taken over after one or two. A look is a stat for each file.
INTERVAL = 2.0

Look = tuple[tuple[object, ...], ...]

log = Logger()


class Renewable(Protocol):
    """The configuration that is served: by one process (service/serving.py), or by several (processes/handing.py)."""

    loaded: Loaded

    def use(self, loaded: Loaded) -> None:
        """Serve *loaded* from now on."""


class Renewal:
    """
    The keeper of the certificates of *served*, which stay as new as their files; *workers* read those; *counted* is
    called with what became of new ones, "taken" or "refused". `systemctl status` tells of refused ones behind the
    listeners that *describe* names. *dates* tells of those that have expired.

    While one of the *reloads* runs, the configuration is about to change, and nothing is looked at or taken.
    """

    def __init__(
        self,
        served: Renewable,
        reloads: Turnstile[Any],
        workers: Workers,
        counted: Callable[[str], object] = lambda _result: None,
        describe: Callable[[], str] = lambda: "",
        dates: CertificateDates | None = None,
    ) -> None:
        self._served = served
        self._reloads = reloads
        self._workers = workers
        self._counted = counted
        self._describe = describe
        self._dates = dates
        self._last: Look = ()  # what the files looked like the last time
        self._done: Look = ()  # what they looked like when they were last read

    def look(self) -> Deferred[None]:
        """Look at the files, and take over new ones; the Deferred never fails."""
        if self._reloads.is_taken:
            return succeed(None)
        loaded = self._served.loaded
        if self._dates is not None:
            self._dates.look(loaded)

        def read(certificates: Certificates | None) -> None:
            if certificates is None:
                return
            if self._served.loaded is loaded and not self._reloads.is_taken:
                self._compare(loaded, certificates)
            else:  # a reload came in between, with other files perhaps
                self._done = ()

        return self._workers.run(self._read, loaded).addCallback(read).addErrback(_failed)

    def _read(self, loaded: Loaded) -> Certificates | None:
        """Read the certificates if that is due. Blocks."""
        before, self._last = self._last, _look(loaded.config)
        if self._last != before or self._last == self._done:
            return None
        self._done = self._last
        return load_certificates(loaded.config, standing=loaded.certificates.fingerprints)

    def _compare(self, loaded: Loaded, certificates: Certificates) -> None:
        new = {key: pair.chain for key, pair in certificates.pairs.items()}
        is_same = new == {key: pair.chain for key, pair in loaded.certificates.pairs.items()}
        if is_same and certificates.authorities == loaded.certificates.authorities:
            return
        errors = [complaint for complaint in certificates.complaints if complaint.severity == "error"]
        for error in errors:
            log.warn("the new certificates are not taken, the old ones stay: {error}", error=error)
        self._counted("refused" if errors else "taken")
        systemd.notify_status(status_after_renewal(self._describe(), errors))
        if errors:
            return
        warn([complaint for complaint in certificates.complaints if complaint.severity == "warning"])
        for key, pair in certificates.pairs.items():
            if new[key] != getattr(loaded.certificates.pairs.get(key), "chain", None):
                log.info(
                    "a new certificate for {names}, valid until {end}",
                    names=", ".join(pair.names),
                    end=pair.not_after.strftime("%Y-%m-%d"),
                )
        for shown, there in certificates.authorities.items():
            if there != loaded.certificates.authorities.get(shown):
                log.info("new authorities or revocation lists of {key}", key=shown_key(shown))
        self._served.use(replace(loaded, certificates=certificates))


def status_after_renewal(listeners: str, problems: Sequence[object]) -> str:
    """Return the status line of `systemctl status` behind a renewal."""
    refused = f"; the new certificates are not taken: {problems[0]}" if problems else ""
    return f"serving {listeners}{refused}"


def _failed(failure: Failure) -> None:
    if not failure.check(PoolBusy):
        log.failure("looking for new certificates failed", failure)


def _look(config: Config) -> Look:
    """Return the identity of the certificate files. Links are followed: certbot's are links."""
    paths = [path for files in certificate_files(config) for path in (files.certificate, files.private_key)]
    paths += [path for files in authority_files(config).values() for path in files if path is not None]
    found: list[tuple[object, ...]] = []
    for path in paths:
        try:
            status = os.stat(path)
        except OSError as error:
            found.append((path, error.errno))
        else:
            found.append((path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
    return tuple(found)
