"""Certificates for the servers of tests: an authority that clients trust, and one that they do not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True)
class Identity:
    """The files of an authority, and of a certificate that it gave."""

    authority: Path
    certificate: Path
    private_key: Path


def issue(folder: Path, *names: str) -> Identity:
    """Make an authority, and a certificate for *names*."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    issued = authority.issue_cert(*names)
    identity = Identity(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    authority.cert_pem.write_to_path(identity.authority)
    issued.cert_chain_pems[0].write_to_path(identity.certificate)
    issued.private_key_pem.write_to_path(identity.private_key)
    identity.private_key.chmod(0o600)
    return identity
