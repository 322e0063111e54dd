"""
Certificate pairs: a certificate chain and its private key, checked together and replaced whole.

A pair that was loaded can be used: chain and key parse, belong to each other, are strong enough for OpenSSL, and valid
today unless the caller takes others (`ftpsd.tls.served.validity`). Every error is one sentence that names the file;
nothing read from a key file ever reaches an error text.

Pairs with keys of several kinds can stand beside each other for the same names: OpenSSL shows a client the one whose
signatures it understands, ECDSA before RSA.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from OpenSSL import SSL
from OpenSSL.crypto import X509, PKey

from ftpsd.tls import native

# A chain is some kilobytes. The bound keeps a wrong path (a log, a device) from being read into memory.
MAX_FILE = 1024 * 1024

# OpenSSL holds one pair of each kind in a context; a second one takes the place of the first.
_KINDS: Final = (
    (rsa.RSAPrivateKey, "RSA"),
    (ec.EllipticCurvePrivateKey, "ECDSA"),
    (ed25519.Ed25519PrivateKey, "Ed25519"),
    (ed448.Ed448PrivateKey, "Ed448"),
)

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey


class CertificateError(Exception):
    """A certificate or key that cannot be used; the text is a sentence for the operator and holds no key material."""


class OutOfDate(CertificateError):
    """A pair that can be used but for its dates: the certificate has expired, or is not valid yet."""

    def __init__(self, text: str, pair: CertificatePair) -> None:
        super().__init__(text)
        self.pair = pair


@dataclass(frozen=True, slots=True)
class CertificatePair:
    """
    A server certificate, the chain behind it and its private key. *names* are those a client may use for the server.

    *also* are the pairs beside it, of other kinds; everything else is said of the first.
    """

    chain: tuple[x509.Certificate, ...]
    key: PrivateKey = field(repr=False)
    not_before: datetime
    not_after: datetime
    names: tuple[str, ...]
    fingerprint: str
    """`sha256:` and the hexadecimal digest of the first certificate."""
    _loaded: _Loaded = field(repr=False, compare=False)
    also: tuple[CertificatePair, ...] = ()

    @classmethod
    def load(cls, certificate: Path, private_key: Path, *, now: datetime | None = None) -> CertificatePair:
        """
        Read both files and check them together; *now* is the time the certificate must be valid at.

        Raises:
            CertificateError: the pair cannot be used; `OutOfDate` where only its dates are in the way.
        """
        chain = read_chain(certificate)
        key = _read_key(private_key)
        _check_match(chain, key, certificate, private_key)
        loaded = _Loaded.convert(chain, key)
        try:
            loaded.copy_to(SSL.Context(SSL.TLS_SERVER_METHOD))
        except SSL.Error as error:
            reason = _reason(error)
            raise CertificateError(f"{certificate} and {private_key}: OpenSSL refuses the pair ({reason}).") from None
        pair = cls(
            chain=chain,
            key=key,
            not_before=chain[0].not_valid_before_utc,
            not_after=chain[0].not_valid_after_utc,
            names=names_of(chain[0]),
            fingerprint="sha256:" + chain[0].fingerprint(SHA256()).hex(),
            _loaded=loaded,
        )
        _check_dates(pair, certificate, now or datetime.now(UTC))
        return pair

    @property
    def kind(self) -> str:
        """The kind of its key: RSA, ECDSA, Ed25519 or Ed448."""
        return next(name for kind, name in _KINDS if isinstance(self.key, kind))

    @property
    def all(self) -> tuple[CertificatePair, ...]:
        """The pair itself, and those beside it."""
        return (self, *self.also)

    @property
    def fingerprints(self) -> frozenset[str]:
        """The fingerprints of all certificates, of which a client is shown one."""
        return frozenset(pair.fingerprint for pair in self.all)

    def beside(self, others: Iterable[CertificatePair]) -> CertificatePair:
        """Return this pair with those of *others* beside it whose kind no earlier one has."""
        found = {self.kind: self}
        for other in others:
            found.setdefault(other.kind, other)
        return replace(self, also=tuple(found.values())[1:])

    def install(self, context: SSL.Context) -> None:
        """Give *context* this certificate, its chain and its key, and those beside it."""
        if not self.also:
            self._loaded.install(context)
            return
        for pair in self.all:
            pair._loaded.add_to(context, pair.chain)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """
    The pair as OpenSSL's own objects, which contexts share by reference.

    pyOpenSSL prefers cryptography's objects, but then encodes and parses them again for every context,
    which doubles the cost of a context and leaves a copy of the key in each.
    """

    certificate: X509
    chain: tuple[X509, ...]
    key: PKey
    is_shared: bool

    @classmethod
    def convert(cls, chain: tuple[x509.Certificate, ...], key: PrivateKey) -> _Loaded:
        first, *rest = (X509.from_cryptography(certificate) for certificate in chain)
        native_key = PKey.from_cryptography_key(key)
        return cls(first, tuple(rest), native_key, native.can_share(first, native_key))

    def install(self, context: SSL.Context) -> None:
        """Give *context* the objects that another one has taken before."""
        if self.is_shared:
            native.share(context, self.certificate, self.chain, self.key)
        else:
            self.copy_to(context)

    def add_to(self, context: SSL.Context, chain: tuple[x509.Certificate, ...]) -> None:
        """
        Give *context*, which may hold pairs of other kinds, this one with a *chain* of its own.

        The chains of `install` and `copy_to` would be one for all pairs. OpenSSL's bindings know chains of single pairs
        from files only, so it reads this one from memory without a name. Two pairs make a context four times as dear;
        sessions of TLS 1.2 share theirs.
        """
        with _nameless(b"".join(each.public_bytes(Encoding.PEM) for each in chain)) as path:
            context.use_certificate_chain_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.use_privatekey(self.key)

    def copy_to(self, context: SSL.Context) -> None:
        """
        Give *context* all of it by documented calls of pyOpenSSL, and check that it fits. Raises SSL.Error with why.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.use_certificate(self.certificate)
            for certificate in self.chain:
                context.add_extra_chain_cert(certificate)
            context.use_privatekey(self.key)
        context.check_privatekey()


@contextmanager
def _nameless(data: bytes) -> Iterator[bytes]:
    """Lend the path of a file in memory that holds *data*."""
    fd = os.memfd_create("chain", os.MFD_CLOEXEC)
    try:
        os.write(fd, data)
        yield b"/proc/self/fd/%d" % fd
    finally:
        os.close(fd)


def read_file(path: Path, most: int = MAX_FILE) -> bytes:
    """
    Return the bytes of the file at *path*, which has *most* of them or less.

    Raises:
        CertificateError: it cannot be read, or is larger.
    """
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise CertificateError(f"{path}: cannot be read ({os.strerror(error.errno or 0)}).") from None
    if len(data) > most:
        raise CertificateError(f"{path}: is too large to be a certificate or a key.")
    return data


def read_chain(path: Path) -> tuple[x509.Certificate, ...]:
    """
    Return the certificates in the PEM file at *path*, in their order.

    Raises:
        CertificateError: it holds none, or one that cannot be read.
    """
    data = read_file(path)
    if b"-----BEGIN CERTIFICATE-----" not in data:
        raise CertificateError(f"{path}: holds no PEM certificate.")
    try:
        return tuple(x509.load_pem_x509_certificates(data))
    except ValueError:
        raise CertificateError(f"{path}: a certificate in it is damaged.") from None


def _read_key(path: Path) -> PrivateKey:
    data = read_file(path)
    if b"PRIVATE KEY-----" not in data:
        raise CertificateError(f"{path}: holds no PEM private key.")
    try:
        key = load_pem_private_key(data, password=None)
    except TypeError:
        raise CertificateError(f"{path}: the private key is encrypted; ftpsd needs it without a passphrase.") from None
    except ValueError:
        raise CertificateError(f"{path}: the private key is damaged.") from None
    except UnsupportedAlgorithm:
        raise CertificateError(f"{path}: the private key is of a kind this OpenSSL does not support.") from None
    if not isinstance(key, PrivateKey):
        raise CertificateError(f"{path}: the private key is neither RSA, ECDSA nor EdDSA.")
    return key


def _check_match(chain: tuple[x509.Certificate, ...], key: PrivateKey, certificate: Path, private_key: Path) -> None:
    public = _public_bytes(key.public_key())
    matching = [_certified_bytes(each) == public for each in chain]
    if matching[0]:
        return
    if any(matching):
        raise CertificateError(f"{certificate}: the server's own certificate must come before those that sign it.")
    raise CertificateError(f"{private_key}: is not the private key of the certificate in {certificate}.")


def _public_bytes(key: PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _certified_bytes(certificate: x509.Certificate) -> bytes:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return b""
    return _public_bytes(key) if isinstance(key, PublicKey) else b""


def _check_dates(pair: CertificatePair, path: Path, now: datetime) -> None:
    begin, end = pair.not_before, pair.not_after
    if now >= end:
        raise OutOfDate(f"{path}: the certificate expired on {end:%Y-%m-%d %H:%M} UTC.", pair)
    if now < begin:
        raise OutOfDate(f"{path}: the certificate is not valid before {begin:%Y-%m-%d %H:%M} UTC.", pair)


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the DNS names and addresses a client checks (RFC 6125)."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return (
        *names.get_values_for_type(x509.DNSName),
        *(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    )


def _reason(error: SSL.Error) -> str:
    return str(error.args[0][-1][2]) if error.args and error.args[0] else "no reason given"
