"""The certificate and the key that sign receipts, read and checked, and what receipts of users need besides. Blocks."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from ftpsd.config.model import Config
from ftpsd.config.parsing.document import ConfigError, Severity
from ftpsd.config.receipts.receipt_sections import DOWNLOADS, UPLOADS
from ftpsd.config.sources.source_files import MAX_FILE, read_bounded
from ftpsd.config.users import UserRecord, Users

SOON = timedelta(days=30)
MAKE_ONE = "docs/automation.md has the command that makes a pair"
_EVENTS = {UPLOADS: "file-stored", DOWNLOADS: "file-sent"}


@dataclass(frozen=True, slots=True)
class SigningFiles:
    """The *certificates*, the signer's first, and its *private_key*, in PEM form."""

    certificates: bytes
    private_key: bytes = field(repr=False)

    @property
    def not_after(self) -> datetime:
        """When the signer's certificate expires."""
        return x509.load_pem_x509_certificates(self.certificates)[0].not_valid_after_utc


def read_signing_files(config: Config) -> tuple[SigningFiles | None, list[ConfigError]]:
    """Read the files, and return them with the complaints about them; None where they cannot be used."""
    section = config.receipts
    if section is None:
        return None, []
    errors: list[ConfigError] = []

    def read(name: str, path: Path) -> bytes | None:
        try:
            return read_bounded(path, MAX_FILE)
        except OSError as error:
            why = error.strerror or "not a file"
            errors.append(config.complaint(("receipts", name), f"{path} cannot be read: {why}; {MAKE_ONE}"))
            return None

    certificates, private_key = read("certificate", section.certificate), read("private_key", section.private_key)
    if certificates is None or private_key is None:
        return None, errors
    if os.stat(section.private_key).st_mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
        path = section.private_key
        message = f"{path} is open to others on this machine; run: chmod o-rwx,g-w {shlex.quote(str(path))}"
        errors.append(config.complaint(("receipts", "private_key"), message))
    for name, message, severity in _faults(certificates, private_key):
        errors.append(config.complaint(("receipts", name), message, severity))
    is_usable = not any(error.severity == "error" for error in errors)
    return SigningFiles(certificates, private_key) if is_usable else None, errors


def _faults(certificates: bytes, private_key: bytes) -> Iterator[tuple[str, str, Severity]]:
    """Yield what is wrong with a pair: the key, a sentence, how bad it is."""
    try:
        signer = x509.load_pem_x509_certificates(certificates)[0]
    except ValueError:
        yield "certificate", f"holds no certificate in PEM form; {MAKE_ONE}", "error"
        return
    try:
        key = load_pem_private_key(private_key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        yield "private_key", "holds no private key in PEM form without a password", "error"
        return
    if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey):
        yield "private_key", "is no RSA or EC key, which alone sign CMS for `openssl cms -verify`", "error"
    if signer.public_key() != key.public_key():
        yield "private_key", "is not the key of the certificate", "error"
    now = datetime.now(UTC)
    if signer.not_valid_after_utc < now:
        yield "certificate", f"expired on {signer.not_valid_after_utc:%Y-%m-%d}; receipts cannot be verified", "error"
    elif signer.not_valid_after_utc < now + SOON:
        yield "certificate", f"expires on {signer.not_valid_after_utc:%Y-%m-%d}", "warning"
    if signer.not_valid_before_utc > now:
        yield "certificate", f"is valid from {signer.not_valid_before_utc:%Y-%m-%d} on only", "error"
    yield from _usage(signer)


def _usage(signer: x509.Certificate) -> Iterator[tuple[str, str, Severity]]:
    try:
        usage = signer.extensions.get_extension_for_class(x509.KeyUsage).value
        if not usage.digital_signature and not usage.content_commitment:
            yield "certificate", "is not for signatures (keyUsage); partners' openssl would refuse it", "error"
    except x509.ExtensionNotFound:
        pass
    try:
        purposes = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not {ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(purposes):
        message = "is for other purposes (extendedKeyUsage without emailProtection): partners need -purpose any"
        yield "certificate", message, "warning"


def look_at_receipts(config: Config, everybody: Sequence[Users]) -> Iterator[ConfigError]:
    """Yield what is wrong with the receipts of users, who are *everybody* in the users files."""
    told: set[str] = set()
    for users in everybody:
        for user in users.users.values():
            if user.receipts is None:
                continue
            for mount in user.mounts:
                if mount.path.parts[:1] == user.receipts.directory.parts:
                    message = f"the mount {mount.path} is where receipts go; name another receipts.directory"
                    yield users.complaint(("users", user.name, "mounts"), message)
            for message in _needed(config, user):
                if message not in told:
                    told.add(message)
                    yield users.complaint(("users", user.name, "receipts"), message)


def _needed(config: Config, user: UserRecord) -> Iterator[str]:
    assert user.receipts is not None
    if config.receipts is None:
        yield f"receipts are signed; write the section `receipts` in ftpsd.yaml ({MAKE_ONE})"
    for kind in user.receipts.of:
        if config.events is None or _EVENTS[kind] not in config.events.record:
            yield f"receipts of {kind} are made of events; write {_EVENTS[kind]} in events.record of ftpsd.yaml"
    if not config.audit.sha256:
        yield "receipts name the sha256 of files; write audit.sha256: true in ftpsd.yaml"
