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

PREFIXES: Final = ("$6$", "$2a$", "$2b$", "$2y$")

# libxcrypt calls itself .so.1 where it keeps glibc's old interface (Debian, Ubuntu, RHEL 8), else .so.2 (Fedora, RHEL
# 9, Arch).
LIBRARIES: Final = ("libcrypt.so.1", "libcrypt.so.2")
# sizeof(struct crypt_data), fixed by libxcrypt's ABI; the old glibc asked for 131,232.
SCRATCH: Final = 131_232

Crypt = Callable[[bytes, bytes, ctypes.Array[ctypes.c_char], int], bytes | None]


def is_known(stored: str) -> bool:
    """Tell whether *stored* is a hash of the kinds this file is about."""
    return stored.startswith(PREFIXES)


def is_available() -> bool:
    """Tell whether this system can verify such hashes."""
    return _function() is not None


def verify(password: bytes, stored: str) -> bool:
    """Tell whether *password* is the one *stored* is the hash of; no stored text raises."""
    function = _function()
    # C strings end at a NUL: "right" and "right\0anything" would be the same password.
    if function is None or b"\0" in password or not stored.isascii() or "\0" in stored:
        return False
    expected = stored.encode("ascii")
    found = function(password, expected, ctypes.create_string_buffer(SCRATCH), SCRATCH)
    # libxcrypt returns NULL for a setting it refuses, and never a failure token that could equal a stored text.
    return found is not None and hmac.compare_digest(found, expected)


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
