"""
The two primitives that all keys here are used with: HKDF-Expand with SHA-256 (RFC 5869) and AES-256-GCM.

Every key is 32 random bytes and serves to derive others, each with its label; no derived key has two uses. GCM releases
the interpreter's lock, so a worker that decrypts keeps no other thread waiting.
"""

from __future__ import annotations

import hmac
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ftpsd.storage.sealing.layout import KEY, NONCE

__all__ = ["InvalidTag", "derived", "new_key", "seal", "unseal", "cipher", "seal_into", "unseal_into"]

# Since cryptography 47. Without it each segment is copied once more.
_HAS_INTO: Final = hasattr(AESGCM, "decrypt_into")


def new_key() -> bytes:
    """Return a random key."""
    return os.urandom(KEY)


def derived(key: bytes, label: bytes, size: int = KEY) -> bytes:
    """Return the key that *label* names: HKDF-Expand, one block; *key* is uniform, so nothing has to be extracted."""
    return hmac.digest(key, label + b"\x01", "sha256")[:size]


def cipher(key: bytes) -> AESGCM:
    """Return AES-256-GCM with *key*."""
    return AESGCM(key)


def seal(gcm: AESGCM, data: bytes, bound: bytes) -> bytes:
    """Return a random nonce, and *data* encrypted and bound to *bound*."""
    nonce = os.urandom(NONCE)
    return nonce + gcm.encrypt(nonce, data, bound)


def unseal(gcm: AESGCM, sealed: bytes, bound: bytes) -> bytes:
    """Return what `seal` was given. Raises: InvalidTag."""
    if len(sealed) < NONCE:
        raise InvalidTag
    return gcm.decrypt(sealed[:NONCE], sealed[NONCE:], bound)


def seal_into(gcm: AESGCM, data: memoryview, bound: bytes, out: memoryview) -> None:
    """Fill *out* with a random nonce and *data* encrypted: 28 bytes more than *data*."""
    nonce = os.urandom(NONCE)
    out[:NONCE] = nonce
    if _HAS_INTO:
        gcm.encrypt_into(nonce, data, bound, out[NONCE:])
    else:
        out[NONCE:] = gcm.encrypt(nonce, data, bound)


def unseal_into(gcm: AESGCM, sealed: memoryview, bound: bytes, out: memoryview) -> None:
    """Fill *out* with what `seal_into` was given. Raises: InvalidTag, and *out* may hold anything then."""
    if _HAS_INTO:
        gcm.decrypt_into(sealed[:NONCE], sealed[NONCE:], bound, out)
    else:
        out[:] = gcm.decrypt(bytes(sealed[:NONCE]), sealed[NONCE:], bound)
