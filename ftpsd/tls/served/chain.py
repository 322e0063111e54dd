"""
Doubts about a server's certificate and the chain behind it, as clients judge them.

Which authorities a client trusts is not known here. A chain has to lead from the server's certificate to the last one
before an authority of the client's own, each signed by the next (RFC 8446, 4.4.2), so one whose issuer is not in the
file is complete only if clients trust that issuer itself. A certificate of the issuer behind the server's own is such a
case.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID

_FOR_SERVERS = frozenset({ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE})


def doubts_about_chain(chain: Sequence[x509.Certificate], now: datetime | None = None) -> Iterator[str]:
    """
    Yield a sentence for each fault for which clients will or may refuse *chain*, the server's certificate first.

    The dates of the first are not looked at here.
    """
    server, *left = chain
    if _extension(server, x509.SubjectAlternativeName) is None:
        yield "the certificate names no host (subjectAltName), so clients refuse it; have it issued for a name"
    purposes = _extension(server, x509.ExtendedKeyUsage)
    if isinstance(purposes, x509.ExtendedKeyUsage) and _FOR_SERVERS.isdisjoint(purposes):
        yield "the certificate is not for servers (extendedKeyUsage), so clients refuse it; have it issued for a server"
    moment = now or datetime.now(UTC)
    for each in left:
        if each.not_valid_after_utc <= moment:
            yield (
                f"the certificate of {_name(each.subject)} behind it expired on {each.not_valid_after_utc:%Y-%m-%d}: "
                "clients that know no other way to an authority of theirs refuse the server; put today's chain there"
            )
    last = server
    while issuer := next((each for each in left if _signs(each, last)), None):
        left.remove(issuer)
        last = issuer
    if left:
        names = ", ".join(_name(each.subject) for each in left[:3])
        yield f"{_count(len(left))} in the file ({names}) did not sign those before; put the right chain there"
    if last is server and server.issuer != server.subject:
        yield (
            f"the certificate of its issuer, {_name(server.issuer)}, is not in the file: clients that do not know it "
            "refuse the server; put the intermediate certificates, or that of your own authority, behind the server's"
        )


def _signs(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Return whether *issuer* is another certificate, which has signed *certificate*."""
    if issuer == certificate or issuer.subject != certificate.issuer:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _extension(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> object:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, ValueError):
        return None


def _name(name: x509.Name) -> str:
    """Name a subject by its last part, which is the common name as a rule; safe to print."""
    parts = list(name)
    text = str(parts[-1].value) if parts else "nameless"
    return "".join(letter if letter.isprintable() else "?" for letter in text[:60])


def _count(number: int) -> str:
    return "1 certificate" if number == 1 else f"{number} certificates"
