"""
Password hashes of older systems, `$6$` and `$5$` (SHA), `$2b$` (bcrypt) and `$y$` (yescrypt), verified by the system's
own libcrypt.

libxcrypt is on every Linux distribution, where it verifies the logins; no Python package is needed. A build of it
is asked which kinds it knows, not judged by its version: distributions leave kinds out. Where it is missing (macOS,
the smallest containers), or does not know a kind, such a hash matches nothing and `can_verify` says so. New hashes are
never made this way.
"""

from __future__ import annotations

import ctypes
import hmac
from collections.abc import Callable
from functools import cache
from typing import Final

BCRYPT: Final = ("$2a$", "$2b$", "$2y$")
# The kinds, each with a setting that costs next to nothing, to ask libcrypt with.
KINDS: Final = {
    "$5$": "$5$rounds=1000$saltsalt",
    "$6$": "$6$rounds=1000$saltsalt",
    "$y$": "$y$j75$saltsaltsaltsalt",
    **{prefix: f"{prefix}04$abcdefghijklmnopqrstuu" for prefix in BCRYPT},
}
PREFIXES: Final = tuple(KINDS)
# Bytes. bcrypt hashes no more of a password, so anything behind them would log in.
MOST_OF_BCRYPT: Final = 72

# libxcrypt calls itself .so.1 where it keeps glibc's old interface (Debian, Ubuntu, RHEL 8), else .so.2 (Fedora, RHEL
# 9, Arch).
LIBRARIES: Final = ("libcrypt.so.1", "libcrypt.so.2")
# sizeof(struct crypt_data), fixed by libxcrypt's ABI; the old glibc asked for 131,232.
SCRATCH: Final = 131_232

Crypt = Callable[[bytes, bytes, ctypes.Array[ctypes.c_char], int], bytes | None]


def is_known(stored: str) -> bool:
    """Return whether *stored* is a hash of the kinds this file is about."""
    return stored.startswith(PREFIXES)


def is_available() -> bool:
    """Return whether this system can verify such hashes."""
    return _function() is not None


def can_verify(stored: str, library: Crypt | None = None) -> bool:
    """Return whether the *library*, or the system's, can verify a hash of the kind of *stored*."""
    function = library or _function()
    prefix = next((each for each in PREFIXES if stored.startswith(each)), None)
    if function is None or prefix is None:
        return False
    return _system_knows(prefix) if library is None else _knows(library, prefix)


@cache
def _system_knows(prefix: str) -> bool:
    function = _function()
    return function is not None and _knows(function, prefix)


def _knows(function: Crypt, prefix: str) -> bool:
    setting = KINDS[prefix].encode()
    found = function(b"x", setting, ctypes.create_string_buffer(SCRATCH), SCRATCH)
    # Some builds return a failure token ("*0") where others return NULL.
    return found is not None and found.startswith(setting)


def verify(password: bytes, stored: str, library: Crypt | None = None) -> bool:
    """Return whether *password* is the one hashed in *stored*, by the *library* or the system's; nothing raises."""
    function = library or _function()
    if function is None or not stored.isascii() or "\0" in stored:
        return False
    # C strings end at a NUL: "right" and "right\0anything" would be the same password.
    is_whole = b"\0" not in password and not (stored.startswith(BCRYPT) and len(password) > MOST_OF_BCRYPT)
    expected = stored.encode("ascii")
    found = function(password, expected, ctypes.create_string_buffer(SCRATCH), SCRATCH)
    # libxcrypt returns NULL for a setting it refuses, and never a failure token that could equal a stored text.
    return found is not None and is_whole and hmac.compare_digest(found, expected)


@cache
def _function() -> Crypt | None:
    """Return crypt_rn(3), which needs no lock and, called through ctypes, holds none of Python's."""
    for name in LIBRARIES:
        try:
            function = ctypes.CDLL(name).crypt_rn
        except (OSError, AttributeError):
            continue
        function.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int]
        function.restype = ctypes.c_char_p
        return function
    return None
