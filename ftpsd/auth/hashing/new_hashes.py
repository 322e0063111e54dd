"""
Old hashes made anew: a right password whose hash is of an older kind is hashed with Argon2id, and stored so.

The salt of the new hash is made from the old one. So anybody who knows both can tell that the password is still the
same, without it: a session that began with the old hash does not end for the new one, in whichever process it is, and a
process that has the old hash in memory takes over the new one from the file.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final, Protocol

from twisted.internet.defer import Deferred

from ftpsd.auth.hashing.passwords import SALT_BYTES, hash_password
from ftpsd.config.checks.hashes import argon2_salt, is_argon2

_PURPOSE: Final = b"ftpsd rehash\0"


class Rehash(Protocol):
    """A place where hashes can be made anew; it never fails."""

    def __call__(self, name: str, stored: str, password: str, /) -> Deferred[str | None]:
        """
        Return the hash that is stored for the user *name* in the place of *stored*, the hash of *password*.

        None: another one is, or nothing can be stored there now.
        """


def is_old(stored: str) -> bool:
    """Return whether *stored* is of an older kind than new hashes are."""
    return not is_argon2(stored)


def renewed(stored: str, password: str) -> str:
    """Return the new hash of *password*, whose old one is *stored*. Blocks for the time of a hash."""
    return hash_password(password, _salt(stored))


def is_same_password(one: str | None, other: str | None) -> bool:
    """Return whether two hashes are surely of one password: they are equal, or one was made from the other."""
    if one is None or other is None:
        return one is other
    return one == other or _continues(one, other) or _continues(other, one)


def _continues(old: str, new: str) -> bool:
    return is_old(old) and argon2_salt(new) == _salt(old)


def _salt(stored: str) -> bytes:
    return sha256(_PURPOSE + stored.encode("utf-8", "surrogatepass")).digest()[:SALT_BYTES]
