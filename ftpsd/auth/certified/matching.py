"""
Whose a certificate is: whether the one that a client has presented is good enough, and belongs to a user.

    refusal = why_refused(certificate, user.certificates, datetime.now(UTC))

A fingerprint is a certificate that the operator, or an enrolment, has pinned to the user: it needs no authority, but
must not be expired or revoked. A subject alternative name counts only in a certificate that an authority vouches for.
DNS names are compared as RFC 6125 has it (service-identity), the domain of an email address without regard to case,
and URIs to the letter.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from service_identity import CertificateError
from service_identity.hazmat import DNS_ID, DNSPattern

from ftpsd.auth.credentials import Refusal
from ftpsd.values.login.client_certificate import AlternativeName, CertificateFault, ClientCertificate, NameKind
from ftpsd.values.login.login_method import CertificateMatch

# The refusals in which the authority is at fault and not the certificate.
OF_THE_AUTHORITY: Final = (Refusal.CERTIFICATE_OF_UNKNOWN_AUTHORITY, Refusal.CERTIFICATE_AUTHORITY_EXPIRED)


def why_refused(
    certificate: ClientCertificate | None, wanted: Iterable[CertificateMatch], now: datetime
) -> Refusal | None:
    """Return why *certificate* is none of the *wanted* ones, or does not count *now*; None when it is and does."""
    fault = why_not_trusted(certificate, now)
    if certificate is None:
        return fault
    is_pinned = any(each.fingerprint == certificate.fingerprint for each in wanted)
    if fault is not None:
        return None if is_pinned and fault in OF_THE_AUTHORITY else fault
    if is_pinned:
        return None
    return None if any(_is_named(certificate, each) for each in wanted) else Refusal.CERTIFICATE_OF_ANOTHER


def why_not_trusted(certificate: ClientCertificate | None, now: datetime) -> Refusal | None:
    """Return why *certificate* does not count *now*, whomever it belongs to; None when its authority vouches for it."""
    if certificate is None:
        return Refusal.CERTIFICATE_MISSING
    if certificate.not_after <= now:
        return Refusal(CertificateFault.EXPIRED)
    if now < certificate.not_before:
        return Refusal(CertificateFault.NOT_YET)
    return None if certificate.fault is None else Refusal(certificate.fault)


def kind_of(name: str) -> NameKind:
    """Return what kind of subject alternative name *name* is, by its form."""
    if ":" in name:
        return "uri"
    return "email" if "@" in name else "dns"


def _is_named(certificate: ClientCertificate, wanted: CertificateMatch) -> bool:
    name = wanted.subject_alternative_name
    return name is not None and any(_is_same(each, name) for each in certificate.names)


def _is_same(found: AlternativeName, wanted: str) -> bool:
    if found.kind != kind_of(wanted):
        return False
    if found.kind == "email":
        return _folded(found.value) == _folded(wanted)
    return _covers(found.value, wanted) if found.kind == "dns" else found.value == wanted


def _folded(email: str) -> tuple[str, str]:
    local, _, domain = email.rpartition("@")
    return local, domain.lower()


def _covers(found: str, wanted: str) -> bool:
    try:
        return DNS_ID(wanted).verify(DNSPattern.from_bytes(found.encode("ascii")))
    except (CertificateError, ValueError):
        # A name in the certificate that is none, such as *.com or one with letters that DNS does not have.
        return False
