"""
The certificate that a client has presented in its TLS handshake, and what is wrong with it.

With the handshake the client has proved that it holds the certificate's private key. Nothing else is proved by that:
whether the certificate is to be believed is a question of each login, see `CertificateFault`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal


class CertificateFault(StrEnum):
    """The reason why a certificate proves nothing about its bearer, in the words of the audit log."""

    EXPIRED = "client certificate expired"
    NOT_YET = "client certificate not valid yet"
    REVOKED = "client certificate revoked"
    UNKNOWN_AUTHORITY = "client certificate of an unknown authority"
    AUTHORITY_EXPIRED = "authority of the client certificate expired"
    NO_CURRENT_LIST = "revocation list missing or out of date"
    UNUSABLE = "client certificate unusable"


NameKind = Literal["dns", "email", "uri"]


@dataclass(frozen=True, slots=True)
class AlternativeName:
    """One subject alternative name of a certificate; a DNS name may begin with a star (RFC 6125)."""

    kind: NameKind
    value: str


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """
    A client's certificate, as read at one moment.

    *fingerprint* is `sha256:` and the digest in hexadecimal, *serial* hexadecimal, *subject* the text of RFC 4514.
    *fault* is the verdict of the authorities that count at that moment, None when they vouch for it; the dates are
    compared anew by each login.
    """

    fingerprint: str
    subject: str
    serial: str
    names: tuple[AlternativeName, ...]
    not_before: datetime
    not_after: datetime
    fault: CertificateFault | None = CertificateFault.UNKNOWN_AUTHORITY
