"""
Passwords: hashing, verification at constant cost, and a short memory of verified ones.

A hash takes about 0.1 s of processor time and 64 MiB, so all of this but the cache runs in a worker pool. Nothing here
raises on behalf of a stored hash or a client's password: a hash that cannot be verified is a wrong password. Every
other refusal costs as much as a wrong password, or the time would disclose which users exist.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from hashlib import sha256
from threading import Lock
from typing import Final

from cryptography.exceptions import InvalidKey, UnsupportedAlgorithm
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from twisted.internet.interfaces import IReactorTime

from ftpsd.auth.deadlines import Deadlines, MemoryDeadlines
from ftpsd.auth.hashing import crypt
from ftpsd.config.checks.hashes import fault_of, is_argon2, is_pbkdf2, pbkdf2_of

# RFC 9106, 4: the second recommended option, for where 2 GiB a login are too much.
MEMORY: Final = 65536  # KiB
ITERATIONS: Final = 3
LANES: Final = 4
SALT_BYTES: Final = 16
HASH_BYTES: Final = 32

# Bytes. Longer than any password in use; it bounds the work of copying and comparing.
MAX_PASSWORD: Final = 1024

# Verified passwords that are remembered.
MOST_VERIFIED: Final = 10_000

# OpenSSL computes the lanes in threads of one pool for the process, and two derivations that wait for each other's
# threads wait for ever: seen with OpenSSL 4.0 within seconds. One at a time is no slower, for its lanes use the
# processors.
_one_at_a_time = Lock()


def hash_password(password: str, salt: bytes | None = None) -> str:
    """
    Return the Argon2id hash of *password* in PHC form, with *salt* or else a random one.

    Raises:
        ValueError: the password is empty or too long.
    """
    material = _material(password)
    if material is None:
        raise ValueError(f"A password has at least one and at most {MAX_PASSWORD} bytes.")
    with _one_at_a_time:
        return _argon2(salt or os.urandom(SALT_BYTES)).derive_phc_encoded(material)


def verify(password: str, stored: str | None) -> bool:
    """Return whether *password* is the one hashed in *stored*; None is the hash of no password, at the same cost."""
    material = _material(password)
    if stored is None or material is None:
        return _spend()
    if fault_of(stored) is not None:
        return _spend()
    if not is_argon2(stored):
        # Cheaper than ours as a rule, which only a client with the right password can measure. A wrong one costs both;
        # the extra time is hidden, because refusals have a time of their own (commands/login.py).
        return (_pbkdf2(material, stored) if is_pbkdf2(stored) else crypt.verify(material, stored)) or _spend()
    try:
        with _one_at_a_time:
            Argon2id.verify_phc_encoded(material, stored)
    except InvalidKey:
        return False
    except (ValueError, MemoryError, UnsupportedAlgorithm):
        return _spend()
    return True


def _pbkdf2(material: bytes, stored: str) -> bool:
    parts = pbkdf2_of(stored)
    if parts is None:
        return False
    name, rounds, salt, digest = parts
    return hmac.compare_digest(hashlib.pbkdf2_hmac(name, material, salt, rounds), digest)


class VerifiedCache:
    """
    Passwords verified in the last *lifetime* seconds, in *deadlines*: FTP clients log in once for every file.

    It holds no password, only digests of user, standing and password under the key *secret*, which lives and dies with
    the server. The standing is all that a login depends on, the hash among it: whatever changes of it makes another
    digest, so what ends a password ends its entry. Reactor thread only. Without *deadlines* the memory is that of this
    process alone.
    """

    def __init__(
        self,
        clock: IReactorTime,
        deadlines: Deadlines | None = None,
        secret: bytes | None = None,
        lifetime: float = 60.0,
    ) -> None:
        self._clock = clock
        self._lifetime = lifetime
        self._secret = os.urandom(32) if secret is None else secret
        self._deadlines = MemoryDeadlines(clock, MOST_VERIFIED) if deadlines is None else deadlines

    def add(self, user: str, standing: str, password: str, lifetime: float | None = None) -> None:
        """Remember that *password* matched, for *lifetime* seconds where that is not the usual one."""
        until = self._clock.seconds() + (self._lifetime if lifetime is None else lifetime)
        self._deadlines.set(self._digest(user, standing, password), until)

    def contains(self, user: str, standing: str, password: str) -> bool:
        """Return whether exactly this password was verified, in this standing, a short while ago."""
        return self._deadlines.until(self._digest(user, standing, password)) > 0

    def _digest(self, user: str, standing: str, password: str) -> str:
        digest = hmac.new(self._secret, digestmod=sha256)
        for part in (user, standing, password):
            # surrogatepass encodes every str, no two alike; the length keeps the parts apart.
            data = part.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "big"))
            digest.update(data)
        return digest.hexdigest()


def _argon2(salt: bytes) -> Argon2id:
    return Argon2id(salt=salt, length=HASH_BYTES, iterations=ITERATIONS, lanes=LANES, memory_cost=MEMORY)


def _spend() -> bool:
    """Cost as much as a verification of one of our own hashes, and match nothing."""
    with _one_at_a_time:
        _argon2(bytes(SALT_BYTES)).derive(b"nobody's password")
    return False


def _material(password: str) -> bytes | None:
    """Return the bytes to hash, None for a password that no user can have."""
    # A str is at most as long as its bytes: do not encode megabytes to find that out.
    if not 0 < len(password) <= MAX_PASSWORD:
        return None
    try:
        material = password.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return None
    return material if len(material) <= MAX_PASSWORD else None
