"""
Audit events of the server's certificates. The rules of `events.py` hold.
"""

from __future__ import annotations

from dataclasses import dataclass

from ftpsd.audit.events import Event


@dataclass(frozen=True, slots=True)
class CertificateOutOfDate(Event):
    """
    A server certificate has expired, or is not valid yet. *certificate* is its fingerprint, *names* those it is for.

    *result* is "refused" or "served", as `expired_certificate` says; *reason* has the moment. Told again every day.
    """

    event = "certificate-out-of-date"
    certificate: str
    names: str
    result: str
    reason: str


@dataclass(frozen=True, slots=True)
class CertificatesInDate(Event):
    """All server certificates are within their dates again."""

    event = "certificates-in-date"
