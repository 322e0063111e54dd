"""The ways in which a user proves who they are, as they are configured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

LoginMethod = Literal["password", "certificate", "certificate-and-password"]

PASSWORD: Final = "password"
CERTIFICATE: Final = "certificate"
CERTIFICATE_AND_PASSWORD: Final = "certificate-and-password"
# The proofs of a login, by its method.
_PROOFS: Final = {
    PASSWORD: {"password"},
    CERTIFICATE: {"certificate"},
    CERTIFICATE_AND_PASSWORD: {"password", "certificate"},
}


def proves_less(new: LoginMethod, old: LoginMethod) -> bool:
    """Return whether a proof that a login by *old* needs is not asked for by *new*."""
    return not _PROOFS[old] <= _PROOFS[new]


@dataclass(frozen=True, slots=True)
class CertificateMatch:
    """
    One certificate that is a user's: that of a *fingerprint*, or one with a *subject_alternative_name*.

    A fingerprint, `sha256:` and 64 hexadecimal digits, needs no authority behind it; a name does.
    """

    fingerprint: str | None = None
    subject_alternative_name: str | None = None
