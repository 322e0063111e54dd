"""
A certificate authority of one's own, for demonstrations and tests: its certificate, and a server certificate it signed.

The authority can sign for localhost, the loopback addresses, and those that it was made for, and for nothing else
(name constraints, RFC 5280, 4.2.1.10), so trusting it risks nothing beyond this machine. Private keys are written to
files that no other user could read at any moment.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ftpsd.tls.certificates import CertificateError, CertificatePair

HOST: Final = "localhost"
ADDRESSES: Final = ("127.0.0.1", "::1")

AUTHORITY_LIFETIME: Final = timedelta(days=3650)
# Apple's systems refuse server certificates of more than 398 days, also from private authorities.
SERVER_LIFETIME: Final = timedelta(days=90)
# A certificate that expires sooner than this is made anew.
RENEW_BEFORE: Final = timedelta(days=1)
# Clients whose clocks are behind ours accept a new certificate too.
CLOCK_SKEW: Final = timedelta(hours=1)

KEY_MODE: Final = 0o600
CERTIFICATE_MODE: Final = 0o644


@dataclass(frozen=True, slots=True)
class Demonstration:
    """The files of a demonstration: *authority* is what a client trusts, the other two are the server's."""

    authority: Path
    certificate: Path
    private_key: Path


def create(directory: Path, *, addresses: Sequence[str] = (), now: datetime | None = None) -> Demonstration:
    """
    Make an authority and a server certificate in *directory*, or keep those that are there and valid for a day or more.

    They are for localhost and further *addresses* of this machine; an authority of before that cannot sign for these is
    replaced.

    Raises:
        OSError: the directory cannot be written.
    """
    now = now or datetime.now(UTC)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = Demonstration(directory / "ca.pem", directory / "server.pem", directory / "server-key.pem")
    authority_key = directory / "ca-key.pem"
    authority = _load(files.authority, authority_key, now)
    if authority is None or not _can_sign(authority, addresses):
        authority = _make_authority(files.authority, authority_key, addresses, now)
    server = _load(files.certificate, files.private_key, now)
    is_good = server is not None and _is_signed(server, authority) and authority.chain[0] in server.chain
    if server is None or not is_good or not set(addresses) <= set(server.names):
        _make_server(files, authority, addresses, now)
    return files


def _load(certificate: Path, private_key: Path, now: datetime) -> CertificatePair | None:
    """Return the pair when it is good at *now* and for a day more."""
    try:
        pair = CertificatePair.load(certificate, private_key, now=now)
    except CertificateError:
        return None
    return pair if pair.not_after > now + RENEW_BEFORE else None


def _is_signed(server: CertificatePair, authority: CertificatePair) -> bool:
    try:
        server.chain[0].verify_directly_issued_by(authority.chain[0])
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _can_sign(authority: CertificatePair, addresses: Sequence[str]) -> bool:
    """Return whether the constraints of *authority* let it sign for *addresses*."""
    constraints = authority.chain[0].extensions.get_extension_for_class(x509.NameConstraints).value
    allowed = {name.value for name in constraints.permitted_subtrees or () if isinstance(name, x509.IPAddress)}
    return {ip_network(address) for address in addresses} <= allowed


def _make_authority(certificate: Path, private_key: Path, addresses: Sequence[str], now: datetime) -> CertificatePair:
    key = ec.generate_private_key(ec.SECP256R1())
    # The serial number in the name keeps an authority made later apart from one a client may still trust.
    serial = x509.random_serial_number()
    name = _name(f"ftpsd demonstration authority {serial % 0x10000:04x}")
    constraints = x509.NameConstraints(
        [x509.DNSName(HOST), *(x509.IPAddress(ip_network(address)) for address in (*ADDRESSES, *addresses))], None
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    built = (
        _builder(name, name, key.public_key(), serial, now, AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(constraints, critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, SHA256())
    )
    _write(private_key, _key_bytes(key), KEY_MODE)
    _write(certificate, built.public_bytes(Encoding.PEM), CERTIFICATE_MODE)
    return CertificatePair.load(certificate, private_key, now=now)


def _make_server(files: Demonstration, authority: CertificatePair, addresses: Sequence[str], now: datetime) -> None:
    issuer = authority.chain[0]
    assert isinstance(authority.key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName(HOST), *(x509.IPAddress(ip_address(address)) for address in (*ADDRESSES, *addresses))]
    signer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
        issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    )
    lifetime = min(SERVER_LIFETIME, authority.not_after - now)
    built = (
        _builder(_name(HOST), issuer.subject, key.public_key(), x509.random_serial_number(), now, lifetime)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(signer, critical=False)
        .sign(authority.key, SHA256())
    )
    _write(files.private_key, _key_bytes(key), KEY_MODE)
    # With the authority behind it the file is a whole chain, so that no reader wonders whether something is missing.
    chain = built.public_bytes(Encoding.PEM) + issuer.public_bytes(Encoding.PEM)
    _write(files.certificate, chain, CERTIFICATE_MODE)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    serial: int,
    now: datetime,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + lifetime)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, data: bytes, mode: int) -> None:
    """Put a whole file in place; it has its *mode* from its first byte on."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
