"""
The keys of a chained log: made, written, read.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)


def private_key_in(pem: bytes) -> Ed25519PrivateKey:
    """Return the key in *pem*. Raises: ValueError."""
    try:
        key = load_pem_private_key(pem, None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(str(error)) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("not an Ed25519 key")
    return key


def public_key_in(pem: bytes) -> Ed25519PublicKey:
    """Return the public key in *pem*, which may hold the private one. Raises: ValueError."""
    if b"PRIVATE KEY" in pem:
        return private_key_in(pem).public_key()
    try:
        key = load_pem_public_key(pem)
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from None
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("not an Ed25519 key")
    return key


def public_pem(key: Ed25519PublicKey) -> bytes:
    """Return *key* in PEM form."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def make_key(file: Path, public: Path) -> Ed25519PrivateKey:
    """
    Make a key, and write it into *file*, which only its owner may read, and its public part into *public*.

    Raises: OSError, FileExistsError among them: no key is ever written over.
    """
    key = Ed25519PrivateKey.generate()
    _write(file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    _write(public, public_pem(key.public_key()), 0o644)
    return key


def _write(file: Path, data: bytes, mode: int) -> None:
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with open(fd, "wb") as stream:
        if os.geteuid() == 0:
            # Root makes it for the daemon, whose user owns the directory.
            directory = os.stat(file.absolute().parent)
            os.fchown(fd, directory.st_uid, directory.st_gid)
        stream.write(data)
        stream.flush()
        os.fsync(fd)
