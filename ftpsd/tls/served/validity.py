"""
The dates of server certificates: whether one can be shown to clients now, and what takes its place when not.

A certificate is looked at when a handshake on a control connection begins, never later: what has begun with it goes on,
data connections too. Those behind the server's own in its file count for nothing here: chains hold expired ones on
purpose (Let's Encrypt's for old Android), and clients that know a better way accept them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from ftpsd.tls.certificates import CertificatePair


class Validity(StrEnum):
    """Where a moment lies, seen from the dates of a certificate."""

    VALID = "valid"
    EXPIRED = "expired"
    NOT_YET = "not valid yet"


def validity_of(pair: CertificatePair, now: datetime) -> Validity:
    """Return what *pair* is *now*, whatever stands beside it."""
    if now >= pair.not_after:
        return Validity.EXPIRED
    return Validity.NOT_YET if now < pair.not_before else Validity.VALID


def out_of_date(pair: CertificatePair, now: datetime) -> str:
    """Return what is wrong with the dates of *pair* in words, "" for nothing."""
    match validity_of(pair, now):
        case Validity.EXPIRED:
            return f"expired on {pair.not_after:%Y-%m-%d %H:%M} UTC"
        case Validity.NOT_YET:
            return f"is not valid before {pair.not_before:%Y-%m-%d %H:%M} UTC"
    return ""


def utc_now() -> datetime:
    """Return the time of the machine's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Shown:
    """
    The choice of what clients are shown, by the dates of certificates; with *serves_expired* also others are.

    Pairs beside each other stand in for each other: one that is out of its dates is left out as long as there is one
    that is not.
    """

    serves_expired: bool = False
    now: Callable[[], datetime] = utc_now
    # By fingerprints, so that what is shown stays one object: contexts are shared by it (`ftpsd.tls.tickets`).
    _parts: dict[tuple[str, ...], CertificatePair] = field(default_factory=dict, compare=False)

    def of(self, pair: CertificatePair) -> CertificatePair | None:
        """Return what a client is shown in place of *pair* now: it, a part of it, or None for nothing."""
        now = self.now()
        valid = [each for each in pair.all if validity_of(each, now) is Validity.VALID]
        if len(valid) == 1 + len(pair.also):
            return pair
        if not valid:
            return pair if self.serves_expired else None
        first, *others = valid
        return self._parts.setdefault(tuple(each.fingerprint for each in valid), first.beside(others))
