"""
Certificates of clients for tests: an authority with an intermediate one, certificates of both, revocation lists.

    pki = ClientAuthority(folder)
    alice = pki.issue("alice", x509.DNSName("alice.example.com"))
    pki.revoke(alice)
    pki.write_list(pki.crl)
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate with its key, and the file with both, the chain behind the certificate."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    file: Path

    @property
    def fingerprint(self) -> str:
        """The fingerprint as the configuration has it."""
        return "sha256:" + self.certificate.fingerprint(SHA256()).hex()


class ClientAuthority:
    """An authority for clients in *folder*; *file* has its certificate, *crl* is where its list belongs."""

    def __init__(self, folder: Path, name: str = "Partners") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.file, self.crl = folder / "authority.pem", folder / "lists.crl"
        self.root = self._certify(f"{name} Root", None, is_authority=True)
        self.intermediate = self._certify(f"{name} Issuing", self.root, is_authority=True)
        self.file.write_bytes(self.root.certificate.public_bytes(Encoding.PEM))
        self.revoked: dict[str, list[x509.Certificate]] = {"root": [], "intermediate": []}
        self.write_list()

    def issue(
        self,
        name: str,
        *names: x509.GeneralName,
        until: timedelta = DAY,
        is_direct: bool = False,
        is_self_signed: bool = False,
        purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
    ) -> Identity:
        """Return a certificate that ends *until* from now, of the intermediate authority unless said otherwise."""
        issuer = None if is_self_signed else self.root if is_direct else self.intermediate
        return self._certify(name, issuer, names, until=until, purpose=purpose)

    def revoke(self, identity: Identity) -> None:
        """Put a certificate on the list of its issuer, which `write_list` writes."""
        issuer = "root" if identity.certificate.issuer == self.root.certificate.subject else "intermediate"
        self.revoked[issuer].append(identity.certificate)

    def write_list(self, *, until: timedelta = DAY, has_root: bool = True) -> None:
        """Write the lists of both authorities, or without *has_root* of one, to be replaced by *until* from now."""
        issuers = {"intermediate": self.intermediate, **({"root": self.root} if has_root else {})}
        lists = [self._list(issuer, self.revoked[name], until) for name, issuer in issuers.items()]
        draft = self.crl.with_suffix(".new")
        draft.write_bytes(b"".join(lists))
        draft.rename(self.crl)

    def _list(self, issuer: Identity, revoked: list[x509.Certificate], until: timedelta) -> bytes:
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.certificate.subject)
        builder = builder.last_update(now - 10 * DAY).next_update(now + until)
        for certificate in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(now - DAY)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(issuer.key, SHA256()).public_bytes(Encoding.PEM)

    def _certify(
        self,
        name: str,
        issuer: Identity | None,
        names: tuple[x509.GeneralName, ...] = (),
        *,
        until: timedelta = 2 * DAY,
        is_authority: bool = False,
        purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
    ) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if issuer is None else issuer.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 20 * DAY)
            .not_valid_after(now + until)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if not is_authority:
            builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(key if issuer is None else issuer.key, SHA256())
        file = self.folder / f"{name.replace(' ', '-')}.pem"
        parts = [
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            certificate.public_bytes(Encoding.PEM),
        ]
        if issuer is not None and not is_authority and issuer.certificate.issuer != issuer.certificate.subject:
            parts.append(issuer.certificate.public_bytes(Encoding.PEM))
        file.write_bytes(b"".join(parts))
        return Identity(certificate, key, file)
