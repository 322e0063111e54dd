"""
The certificate that a client has presented at the other end of a TLS connection, as a value.

Everything in it was written by the client, and an authority may have seen none of it: texts are cut, and a name that
cannot be read is left out. OpenSSL has read the certificate already, and the client's signature with its key.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from OpenSSL import SSL

from ftpsd.tls.clients.authorities import Authorities
from ftpsd.tls.clients.intermediates import Intermediates
from ftpsd.values.login.client_certificate import AlternativeName, CertificateFault, ClientCertificate

# Characters of a subject, and names: more is of no use to anybody, and stays with the session.
MOST_SUBJECT: Final = 256
MOST_NAMES: Final = 100


def presented(
    connection: SSL.Connection, authorities: Authorities | None, intermediates: Intermediates | None
) -> ClientCertificate | None:
    """
    Return the certificate of the client of *connection*, judged by *authorities*; None for none.

    *intermediates* are those of clients whose sessions this connection may have resumed.
    """
    certificate = connection.get_peer_certificate()
    if certificate is None:
        return None
    found = described(certificate.to_cryptography(), CertificateFault.UNKNOWN_AUTHORITY)
    if authorities is None:
        return found
    chain = tuple(connection.get_peer_cert_chain() or ())
    if intermediates is not None and not chain:
        chain = intermediates.get(found.fingerprint)
    fault = authorities.fault(certificate, chain)
    if fault is None and intermediates is not None:
        intermediates.keep(found.fingerprint, chain)
    return replace(found, fault=fault)


def described(certificate: x509.Certificate, fault: CertificateFault | None) -> ClientCertificate:
    """Return *certificate* as a value, with the *fault* that its authorities have found."""
    return ClientCertificate(
        fingerprint="sha256:" + certificate.fingerprint(SHA256()).hex(),
        subject=_subject(certificate),
        serial=f"{certificate.serial_number:x}",
        names=tuple(_names(certificate))[:MOST_NAMES],
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        fault=fault,
    )


def _subject(certificate: x509.Certificate) -> str:
    try:
        text = certificate.subject.rfc4514_string()[:MOST_SUBJECT]
    except ValueError:
        return ""
    # It is printed on terminals (`ftpsd user show`).
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _names(certificate: x509.Certificate) -> Iterator[AlternativeName]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
        return
    for name in names:
        match name:
            case x509.DNSName():
                yield AlternativeName("dns", name.value)
            case x509.RFC822Name():
                yield AlternativeName("email", name.value)
            case x509.UniformResourceIdentifier():
                yield AlternativeName("uri", name.value)
