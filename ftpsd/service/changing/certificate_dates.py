"""
The dates of the certificates that are served: how loud the server is about one that has expired, or is not valid yet.

What clients are shown is decided in each handshake (`ftpsd.tls.served.validity`). Here it is told: at once in the log,
in the audit log, and in `systemctl status`, and in the first two again every day, as long as it lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

from twisted.logger import Logger

from ftpsd.audit.events import DAEMON, Event
from ftpsd.audit.topics.certificate_events import CertificateOutOfDate, CertificatesInDate
from ftpsd.config.model import Config
from ftpsd.service.load import Loaded
from ftpsd.service.outside import systemd
from ftpsd.tls.certificates import CertificatePair
from ftpsd.tls.served.validity import out_of_date, utc_now

# Seconds until it is told again.
AGAIN: Final = 24 * 3600.0
# Certificates that are named in one line for people.
MOST_NAMED: Final = 3

Now = Callable[[], datetime]

log = Logger()


class CertificateDates:
    """The teller of certificates out of their dates: *publish* takes events, *clock* gives seconds."""

    def __init__(self, publish: Callable[[Event], object], clock: Callable[[], float], now: Now = utc_now) -> None:
        self._publish = publish
        self._clock = clock
        self._now = now
        self._told: dict[tuple[str, str], float] = {}

    def look(self, loaded: Loaded) -> None:
        """Look at the certificates of *loaded*."""
        now, moment, found = self._now(), self._clock(), dict[tuple[str, str], float]()
        result = result_of(loaded.config)
        for pair in distinct(loaded.certificates.pairs.values()):
            trouble = out_of_date(pair, now)
            if not trouble:
                continue
            key = pair.fingerprint, result
            found[key] = self._told.get(key, moment - AGAIN)
            if moment - found[key] >= AGAIN:
                found[key] = moment
                self._tell(pair, trouble, result)
        if found.keys() != self._told.keys():
            if not found:
                log.info("all certificates are within their dates again")
                self._publish(CertificatesInDate(DAEMON))
            systemd.add_to_status(troubles_of(loaded.certificates.pairs.values(), loaded.config, self._now))
        self._told = found

    def _tell(self, pair: CertificatePair, trouble: str, result: str) -> None:
        names = ", ".join(pair.names[:MOST_NAMED]) or "no name"
        why = f"the certificate for {names} {trouble}"
        if result == "served":
            log.error("{why}: it is served nevertheless, and clients that verify it refuse the server", why=why)
        else:
            log.error("{why}: clients that would be shown it are refused until there is a new one", why=why)
        self._publish(CertificateOutOfDate(DAEMON, pair.fingerprint, names, result, why))


def result_of(config: Config) -> str:
    """Return what happens with a certificate out of its dates."""
    return "served" if config.expired_certificate == "serve" else "refused"


def distinct(pairs: Iterable[CertificatePair]) -> list[CertificatePair]:
    """Return every certificate of *pairs* once, and those beside them."""
    return list({each.fingerprint: each for pair in pairs for each in pair.all}.values())


def troubles_of(pairs: Iterable[CertificatePair], config: Config, now: Now = utc_now) -> str:
    """Return one line for people about those of *pairs* that are out of their dates, "" for none."""
    moment = now()
    found = []
    for pair in distinct(pairs):
        trouble = out_of_date(pair, moment)
        if trouble:
            found.append(f"the certificate for {', '.join(pair.names[:1]) or 'no name'} {trouble}")
    if not found:
        return ""
    more = f", and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return f"{', '.join(found[:MOST_NAMED])}{more}: {result_of(config)}"
