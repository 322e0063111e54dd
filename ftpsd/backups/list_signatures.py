"""
Signatures of the lists of backups: whoever can write where backups are decides nothing about what a restore writes.

The key is the server's own (Ed25519), made with its first backup, and in no backup: its owner alone can sign. Its
public part is one line of text, `ed25519:…`, which operators keep elsewhere, for the day on which the server is gone.
"""

from __future__ import annotations

import base64
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ftpsd.audit.evidence.keys import make_key, private_key_in, public_key_in

KIND: Final = "ed25519:"
# A key may sign other things, such as the audit log, none of which begins like this.
_CONTEXT: Final = b"ftpsd backup list\n"


class KeyTrouble(Exception):
    """A key that cannot be used; the text says why."""


def signing_key(file: Path) -> tuple[Ed25519PrivateKey, bool]:
    """Return the key in *file*, made where there is none, and whether it was made. Raises: KeyTrouble."""
    try:
        with suppress(FileNotFoundError):
            return _read(file), False
        made = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
        try:
            make_key(made, public_file(made))
            os.link(made, file)  # of several that make one at this moment, one wins
            os.replace(public_file(made), public_file(file))
            return _read(file), True
        except FileExistsError:
            return _read(file), False
        finally:
            for left in (made, public_file(made)):
                left.unlink(missing_ok=True)
    except OSError as error:
        raise KeyTrouble(f"the key of backups {file}: {error.strerror}") from None


def public_file(file: Path) -> Path:
    """Return where the public part of the key in *file* is."""
    return file.with_name(file.name + ".pub")


def signer_in(text: str) -> str:
    """Return the public key that *text* says, or that the PEM file has that it names. Raises: KeyTrouble."""
    if text.startswith(KIND):
        _public(text)
        return text
    try:
        return shown_key(public_key_in(Path(text).read_bytes()))
    except (OSError, ValueError):
        raise KeyTrouble(f"{text} is neither a key such as ed25519:… nor a file with one") from None


def shown_key(key: Ed25519PublicKey) -> str:
    """Return *key* as one word."""
    return KIND + base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode("ascii")


def sign(key: Ed25519PrivateKey, data: bytes) -> str:
    """Return the signature of *data*."""
    return base64.b64encode(key.sign(_CONTEXT + data)).decode("ascii")


def is_signed_by(signer: str, signature: str, data: bytes) -> bool:
    """Return whether *signature* is that of *signer* under *data*."""
    try:
        _public(signer).verify(base64.b64decode(signature, validate=True), _CONTEXT + data)
    except (InvalidSignature, ValueError, KeyTrouble):
        return False
    return True


def _read(file: Path) -> Ed25519PrivateKey:
    data = file.read_bytes()
    if stat.S_IMODE(os.stat(file).st_mode) & (stat.S_IRWXO | stat.S_IWGRP):
        raise KeyTrouble(f"{file} is open to others on this machine; run: chmod o-rwx,g-w {file}")
    try:
        return private_key_in(data)
    except ValueError:
        raise KeyTrouble(f"{file} holds no Ed25519 key in PEM form") from None


def _public(text: str) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text.removeprefix(KIND), validate=True))
    except ValueError:
        raise KeyTrouble(f"{text} is no key; it is {KIND} and 44 characters") from None
