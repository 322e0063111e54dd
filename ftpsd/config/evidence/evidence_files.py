"""
The files that `audit.chain`, `audit.ship` and `backup_key` name, read and checked. Blocks.
"""

from __future__ import annotations

import shlex
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ftpsd.config.model import Config
from ftpsd.config.parsing.document import ConfigError, Key
from ftpsd.config.sources.source_files import MAX_FILE, MAX_SECRET, read_bounded


@dataclass(frozen=True, slots=True)
class ShipFiles:
    """The contents of the files of one receiver, PEM; None for none."""

    authority: bytes | None = None
    certificate: bytes | None = None
    private_key: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class EvidenceFiles:
    """The contents of the files, PEM; None for none. *ship* is in the order of the receivers."""

    chain_key: bytes | None = field(default=None, repr=False)
    ship: tuple[ShipFiles, ...] = ()


def read_evidence_files(config: Config) -> tuple[EvidenceFiles, list[ConfigError]]:
    """Read the files, and return them with the complaints about the sections and about them."""
    errors = [config.complaint(key, message) for key, message in _between_keys(config)]

    def read(key: Key, path: Path | None, read_file: Callable[[Path], bytes]) -> bytes | None:
        try:
            return None if path is None else read_file(path)
        except ValueError as error:
            errors.append(config.complaint(key, str(error)))
            return None

    chain = config.audit.chain
    chain_key = read(("audit", "chain", "private_key"), None if chain is None else chain.private_key, _read_key)
    read(("backup_key",), config.backup_key, _read_key)
    ship = []
    for number, target in enumerate(config.audit.ship):
        place: Key = ("audit", "ship", number)
        ship.append(
            ShipFiles(
                read((*place, "authority"), target.authority, _read_certificates),
                read((*place, "certificate"), target.certificate, _read_certificates),
                read((*place, "private_key"), target.private_key, _read_any_key),
            )
        )
    return EvidenceFiles(chain_key, tuple(ship)), errors


def _read_certificates(path: Path) -> bytes:
    try:
        data = read_bounded(path, MAX_FILE)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or 'not a file'}") from None
    try:
        x509.load_pem_x509_certificates(data)
    except ValueError:
        raise ValueError(f"{path} holds no certificate in PEM form") from None
    return data


def _read_key(path: Path) -> bytes:
    make = f"make one: ftpsd audit key {shlex.quote(str(path))}"
    data, key = _read_private(path, make)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path} holds no Ed25519 key in PEM form without a passphrase; {make}")
    return data


def _read_any_key(path: Path) -> bytes:
    data, key = _read_private(path, "name the key that belongs to the certificate")
    if key is None:
        raise ValueError(f"{path} holds no private key in PEM form without a passphrase")
    return data


def _read_private(path: Path, remedy: str) -> tuple[bytes, object]:
    try:
        data = read_bounded(path, MAX_SECRET)
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or 'not a file'}; {remedy}") from None
    if mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
        raise ValueError(f"{path} is open to others on this machine; run: chmod o-rwx,g-w {shlex.quote(str(path))}")
    try:
        return data, load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return data, None


def _between_keys(config: Config) -> Iterator[tuple[Key, str]]:
    audit = config.audit
    if isinstance(audit.log, str):
        if audit.chain is not None:
            yield ("audit", "chain"), "a chained log must be in a file; name one in audit.log"
        if audit.ship:
            yield ("audit", "ship"), "only a log in a file can be sent on; name one in audit.log"
    if audit.format != "json":
        if audit.chain is not None:
            yield ("audit", "format"), "a chained log has JSON lines; remove this, or audit.chain"
        if audit.ship:
            yield ("audit", "format"), "only JSON lines can be sent on; remove this, or audit.ship"
        if audit.log == "journal":
            yield ("audit", "format"), "the journal has fields and the text for people; remove this"
    if audit.ship and config.state is None:
        yield ("audit", "ship"), "where each receiver has read to is kept in `state`, which is null; name a file there"
    names: set[str] = set()
    for number, target in enumerate(audit.ship):
        place: Key = ("audit", "ship", number)
        if target.name in names:
            yield (*place, "name"), f"{target.name} stands twice; give each receiver a name of its own"
        names.add(target.name)
        if (target.certificate is None) != (target.private_key is None):
            yield place, "certificate and private_key go together; add the other, or remove it"
