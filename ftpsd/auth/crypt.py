"""
Password hashes of older systems, `$6$` (SHA-512) and `$2b$` (bcrypt), verified by the system's own libcrypt.

libxcrypt is on every Linux distribution, where it verifies the logins; no Python package is needed. Where it is
missing (macOS, the smallest containers) such a hash matches nothing and `is_available` says so. New hashes are never
made this way.
"""

from __future__ import annotations

import ctypes
import hmac
from collections.abc import Callable
from functools import cache
from typing import Final

BCRYPT: Final = ("$2a$", "$2b$", "$2y$")
PREFIXES: Final = ("$6$", *BCRYPT)
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
