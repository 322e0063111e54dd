"""
The files that `audit.chain` names, read and checked. Blocks.
"""

from __future__ import annotations

import shlex
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ftpsd.config.model import Config
from ftpsd.config.parsing.document import ConfigError, Key
from ftpsd.config.sources.source_files import MAX_SECRET, read_bounded


@dataclass(frozen=True, slots=True)
class EvidenceFiles:
    """The contents of the files, PEM; None for none."""

    chain_key: bytes | None = field(default=None, repr=False)


def evidence_secrets(config: Config) -> list[tuple[Key, Path]]:
    """Return the files of keys, each with the key that names it."""
    chain = config.audit.chain
    return [] if chain is None else [(("audit", "chain", "private_key"), chain.private_key)]


def read_evidence_files(config: Config) -> tuple[EvidenceFiles, list[ConfigError]]:
    """Read the files, and return them with the complaints about the section and about them."""
    errors = [config.complaint(key, message) for key, message in _between_keys(config)]
    files = EvidenceFiles()
    for key, path in evidence_secrets(config):
        try:
            files = EvidenceFiles(_read_key(path))
        except ValueError as error:
            errors.append(config.complaint(key, str(error)))
    return files, errors


def _read_key(path: Path) -> bytes:
    make = f"make one: ftpsd audit key {shlex.quote(str(path))}"
    try:
        data = read_bounded(path, MAX_SECRET)
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or 'not a file'}; {make}") from None
    if mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
        raise ValueError(f"{path} is open to others on this machine; run: chmod o-rwx,g-w {shlex.quote(str(path))}")
    try:
        key = load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path} holds no Ed25519 key in PEM form without a passphrase; {make}")
    return data


def _between_keys(config: Config) -> Iterator[tuple[Key, str]]:
    if config.audit.log == "stdout" and config.audit.chain is not None:
        yield ("audit", "chain"), "a chained log must be in a file; name one in audit.log"
