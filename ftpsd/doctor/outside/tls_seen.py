"""
What TLS and the certificate of a server look like from outside: versions, groups, names, days, the key.

Versions are asked for by handshakes of our own library in memory, over a connection that is read within a bound.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from OpenSSL import SSL

from ftpsd.doctor.finding import Finding, ok, problem, warning
from ftpsd.doctor.identity import SOON, covers
from ftpsd.doctor.key_exchange import HYBRID
from ftpsd.doctor.outside.patience import Patience
from ftpsd.doctor.outside.visit import Place, Visit
from ftpsd.partners.contact import PartnerError
from ftpsd.partners.control_line import lost
from ftpsd.tls.certificates import names_of
from ftpsd.tls.native import group_name
from ftpsd.values.text import one_line

# Bytes of a handshake. The longest chains have 30 KiB.
MOST_OF_HANDSHAKE: Final = 1 << 18
# Bits of an RSA key: what browsers and the CA/Browser Forum take.
SHORTEST_RSA: Final = 2048
VERSIONS: Final = {"1.1": SSL.TLS1_1_VERSION, "1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
# Raised by cryptography for a certificate that was made to be misread.
UNREADABLE: Final = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True, slots=True)
class Handshake:
    """The outcome of a handshake."""

    version: str
    cipher: str
    group: str | None


def look_at_versions(place: Place, patience: Patience) -> Iterator[Finding]:
    """Yield which versions of TLS the server speaks, and by which group keys are exchanged."""
    if (old := _spoken(place, patience, "1.1", at_most=True)) is not None:
        yield warning(
            f"{old.version} is spoken, which has been broken and is forbidden (RFC 8996)",
            "allow TLS 1.2 and later alone; ftpsd speaks nothing older",
        )
    else:
        yield ok("TLS 1.0 and 1.1 are refused")
    newer = {version: _spoken(place, patience, version) for version in ("1.2", "1.3")}
    for version, found in newer.items():
        if found is None:
            continue
        group = f", keys by {found.group}" if found.group else ""
        post = ", which is post-quantum" if found.group and HYBRID in found.group.upper() else ""
        yield ok(f"TLS {version} is spoken: {found.cipher}{group}{post}")
    if newer["1.2"] is None and newer["1.3"] is not None:
        yield warning(
            "TLS 1.2 is refused: older clients are kept out, and many resume only once in TLS 1.3",
            "tls.minimum_version and tls.maximum_version in ftpsd.yaml",
        )
    if newer["1.3"] is None and newer["1.2"] is not None:
        yield warning("TLS 1.3 is refused", "tls.maximum_version in ftpsd.yaml: auto")


def look_at_shown(data: bytes | None, name: str, now: datetime | None = None) -> Iterator[Finding]:
    """Yield findings about the certificate *data* (DER) that a client was shown who asked for *name*."""
    try:
        certificate = x509.load_der_x509_certificate(data or b"")
        names = names_of(certificate)
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        key = certificate.public_key()
    except UNREADABLE:
        yield problem("the certificate cannot be read", "have it made anew")
        return
    today = now or datetime.now(UTC)
    left = ends - today
    renewed = "renew it, and systemctl reload ftpsd (tls.certificate)"
    if left.total_seconds() < 0:
        yield problem(f"the certificate has been invalid since {ends:%Y-%m-%d}", renewed)
    elif begins > today:
        yield problem(f"the certificate is valid only from {begins:%Y-%m-%d} on", "look at both machines' clocks")
    elif left < SOON:
        yield warning(f"the certificate is valid only until {ends:%Y-%m-%d}, {left.days} days", renewed)
    else:
        yield ok(f"the certificate is valid until {ends:%Y-%m-%d}, {left.days} days")
    said = one_line(", ".join(names[:5]))[:200]
    if covers(names, name):
        yield ok(f"the certificate is for {said}")
    else:
        yield problem(
            f"the certificate is for {said or 'no name at all'}, not for {name}",
            f"have it issued for {name} too, or clients connect to the name it has (here: --host NAME)",
        )
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < SHORTEST_RSA:
        yield problem(f"its RSA key has {key.key_size} bits, which clients refuse", "make one of 3072 bits, or ECDSA")
    elif isinstance(key, rsa.RSAPublicKey):
        yield ok(f"its key is RSA of {key.key_size} bits")
    elif isinstance(key, ec.EllipticCurvePublicKey):
        yield ok(f"its key is ECDSA, {key.curve.name}")


def _spoken(place: Place, patience: Patience, version: str, *, at_most: bool = False) -> Handshake | None:
    """Return what a client that speaks *version* alone agrees on with the server, None where it is refused."""
    try:
        with Visit(place, patience, is_checked=False) as visit:
            visit.connect()
            if not place.is_implicit:
                visit.greeting()
                if visit.ask("AUTH TLS").code // 100 != 2:
                    return None
            return _shake_hands(visit, version, at_most=at_most)
    except (PartnerError, SSL.Error):
        return None


def _shake_hands(visit: Visit, version: str, *, at_most: bool) -> Handshake:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if at_most:
        # Of a library that still has the old versions; one without them cannot be fooled into speaking them.
        context.set_cipher_list(b"ALL:@SECLEVEL=0")
        context.set_min_proto_version(SSL.TLS1_VERSION)
    else:
        context.set_min_proto_version(VERSIONS[version])
    context.set_max_proto_version(VERSIONS[version])
    connection = SSL.Connection(context, None)
    with suppress(UnicodeError):
        connection.set_tlsext_host_name(visit.place.name.encode("idna"))
    connection.set_connect_state()
    deadline, received, raw = visit.patience.deadline(), 0, visit.line.raw
    try:
        while True:
            is_done = False
            try:
                connection.do_handshake()
                is_done = True
            except SSL.WantReadError:
                pass
            with suppress(SSL.WantReadError):
                raw.sendall(connection.bio_read(MOST_OF_HANDSHAKE))
            if is_done:
                return Handshake(
                    connection.get_protocol_version_name(), connection.get_cipher_name() or "", group_name(connection)
                )
            raw.settimeout(max(0.001, deadline - time.monotonic()))
            data = raw.recv(1 << 14)
            received += len(data)
            if not data or received > MOST_OF_HANDSHAKE:
                raise SSL.Error
            connection.bio_write(data)
    except OSError as error:
        raise lost(error) from None
