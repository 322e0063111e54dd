"""
Authorities: the certificates that vouch for clients, with the lists of those that they have revoked.

OpenSSL judges, by X509_verify_cert. It is asked at each login and not in the handshake, for three reasons: a resumed
handshake brings the certificate of an earlier one, which may have been revoked since; the reason of a refusal belongs
in the audit log, with the user's name; and a certificate that a user has pinned needs no authority.

Every certificate in the file is trusted, intermediate ones too. With revocation lists, the client's certificate has to
be on none of them, and a list of its issuer has to be there and in force. Authorities above it are looked up where
a list for them is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL.crypto import X509, X509Store, X509StoreContext, X509StoreContextError, X509StoreFlags

from ftpsd.tls.certificates import CertificateError, read_chain, read_file
from ftpsd.values.login.client_certificate import CertificateFault

# A list of 100,000 revoked certificates is 4 MiB.
MAX_LIST: Final = 64 * 1024 * 1024

_PEM: Final = b"-----BEGIN X509 CRL-----"
_END: Final = b"-----END X509 CRL-----"
_FOR_CLIENTS: Final = frozenset({ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE})

# X509_V_ERR_*: openssl/x509_vfy.h; these numbers are part of its interface. All others make a certificate unusable.
_NO_LIST: Final = 3
_EXPIRED: Final = 10
FAULTS: Final = {
    **dict.fromkeys((2, 18, 19, 20, 21, 22, 24, 27, 79), CertificateFault.UNKNOWN_AUTHORITY),
    **dict.fromkeys((_NO_LIST, 5, 8, 11, 12, 15, 16, 33, 35, 36, 44, 54), CertificateFault.NO_CURRENT_LIST),
    9: CertificateFault.NOT_YET,
    _EXPIRED: CertificateFault.EXPIRED,
    23: CertificateFault.REVOKED,
}


@dataclass(frozen=True, slots=True)
class Authorities:
    """Authorities and their revocation *lists*; equal to others that were read from the same bytes."""

    certificates: tuple[x509.Certificate, ...]
    lists: tuple[bytes, ...]
    """In DER."""
    has_lists: bool
    """Whether revocation is to be looked up, also where there is no list for some authority."""
    _leaf: X509Store = field(repr=False, compare=False)
    _all: X509Store = field(repr=False, compare=False)

    @classmethod
    def load(cls, authorities: Path, crl: Path | None) -> Authorities:
        """
        Read the files, a list in PEM or DER. Blocks.

        Raises:
            CertificateError: one of them cannot be used.
        """
        certificates = read_chain(authorities)
        lists = () if crl is None else tuple(_lists(crl))
        return cls.of(certificates, lists, has_lists=crl is not None)

    @classmethod
    def of(
        cls, certificates: tuple[x509.Certificate, ...], lists: tuple[bytes, ...], *, has_lists: bool
    ) -> Authorities:
        """Return the authorities of these values."""
        loaded = [x509.load_der_x509_crl(each) for each in lists]
        leaf = _store(certificates, loaded, X509StoreFlags.CRL_CHECK if has_lists else 0)
        both = X509StoreFlags.CRL_CHECK | X509StoreFlags.CRL_CHECK_ALL
        return cls(certificates, lists, has_lists, leaf, _store(certificates, loaded, both) if has_lists else leaf)

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, (
            [each.public_bytes(Encoding.DER) for each in self.certificates],
            self.lists,
            self.has_lists,
        )

    def fault(self, certificate: X509, chain: Sequence[X509]) -> CertificateFault | None:
        """Return why none of these vouches for *certificate*, sent with *chain*; None when one does."""
        error = _verify(self._all, certificate, chain)
        if error is not None and error[0] == _NO_LIST and error[1] > 0:
            error = _verify(self._leaf, certificate, chain)
        if error is not None:
            number, depth = error
            if number == _EXPIRED and depth > 0:
                return CertificateFault.AUTHORITY_EXPIRED
            return FAULTS.get(number, CertificateFault.UNUSABLE)
        return None if _is_for_clients(certificate.to_cryptography()) else CertificateFault.UNUSABLE

    def doubts(self, now: datetime | None = None) -> Iterator[str]:
        """Yield a sentence for each authority that has expired *now*."""
        now = now or datetime.now(UTC)
        for each in self.certificates:
            if each.not_valid_after_utc <= now:
                yield (
                    f"{_name(each.subject)} expired on {each.not_valid_after_utc:%Y-%m-%d}, so no certificate of it "
                    "is accepted; put its successor there"
                )

    def doubts_about_lists(self, now: datetime | None = None) -> Iterator[str]:
        """Yield a sentence for each revocation list that is out of date *now*, or of nobody who is here."""
        now = now or datetime.now(UTC)
        for each in map(x509.load_der_x509_crl, self.lists):
            end = each.next_update_utc
            if end is not None and end <= now:
                yield (
                    f"the list of {_name(each.issuer)} was to be replaced by {end:%Y-%m-%d %H:%M} UTC, so none of its "
                    "certificates is accepted; fetch the new one"
                )
            if all(each.issuer != authority.subject for authority in self.certificates):
                yield f"the list of {_name(each.issuer)} is of none of the authorities; remove it, or add that one"


def _made_again(certificates: list[bytes], lists: tuple[bytes, ...], has_lists: bool) -> Authorities:
    return Authorities.of(tuple(map(x509.load_der_x509_certificate, certificates)), lists, has_lists=has_lists)


def _store(
    certificates: Sequence[x509.Certificate], lists: Sequence[x509.CertificateRevocationList], flags: int
) -> X509Store:
    store = X509Store()
    store.set_flags(X509StoreFlags.PARTIAL_CHAIN | flags)
    for certificate in certificates:
        store.add_cert(X509.from_cryptography(certificate))
    for each in lists:
        store.add_crl(each)
    return store


def _verify(store: X509Store, certificate: X509, chain: Sequence[X509]) -> tuple[int, int] | None:
    """Return OpenSSL's error and the place in the chain that it is about, 0 for the client's; None for none."""
    try:
        X509StoreContext(store, certificate, list(chain)).verify_certificate()
    except X509StoreContextError as error:
        number, depth, _text = error.errors
        return number, depth
    return None


def _is_for_clients(certificate: x509.Certificate) -> bool:
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    except (x509.DuplicateExtension, ValueError):
        return False
    return not _FOR_CLIENTS.isdisjoint(purposes)


def _lists(path: Path) -> Iterator[bytes]:
    data = read_file(path, MAX_LIST)
    parts = data.split(_PEM)[1:]
    try:
        if not parts:
            yield x509.load_der_x509_crl(data).public_bytes(Encoding.DER)
        for part in parts:
            one = _PEM + part.partition(_END)[0] + _END + b"\n"
            yield x509.load_pem_x509_crl(one).public_bytes(Encoding.DER)
    except ValueError:
        raise CertificateError(f"{path}: holds no revocation list, in PEM or DER, that can be read.") from None


def _name(name: x509.Name) -> str:
    text = name.rfc4514_string()
    return "".join(letter if letter.isprintable() else "?" for letter in text[:80]) or "a nameless authority"
