"""
The form of a password hash: whether all of it is there. Nothing of a hash is ever repeated in a sentence.
"""

from __future__ import annotations

import base64
import re
from typing import Final

# The PHC form of Argon2: version, memory, iterations and lanes, then salt and digest in base64 without its "=".
_ARGON2: Final = re.compile(
    r"\$argon2id\$v=([0-9]+)\$m=[0-9]{1,10},t=[0-9]{1,10},p=[0-9]{1,3}\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)"
)
# crypt(5): 22 letters of salt and 31 of digest; 86 letters of digest behind at most 16 of salt.
_BCRYPT: Final = re.compile(r"\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}")
_SHA512: Final = re.compile(r"\$6\$(rounds=[0-9]{1,9}\$)?[^$:\n]{0,16}\$[./A-Za-z0-9]{86}")
# Bytes. RFC 9106, 3.1 allows 4 and more; no known program makes less than 16, and an unusual length may be a cut one.
_LEAST_DIGEST: Final = 16
_LEAST_SALT: Final = 8
_USUAL_DIGESTS: Final = frozenset({16, 32, 64})

_MAKE: Final = "make one with `ftpsd hash-password`, and copy all of it"


def fault_of(stored: str) -> str | None:
    """Say why *stored*, a hash of a known kind by its beginning, cannot be the hash of any password; None if it can."""
    if not stored.startswith("$argon2id$"):
        form = _BCRYPT if stored.startswith("$2") else _SHA512
        return None if form.fullmatch(stored) else f"the password hash is not whole: cut off, or changed; {_MAKE}"
    match = _ARGON2.fullmatch(stored)
    if match is None:
        return f"the password hash is not whole: it has no salt, no digest, or other letters in them; {_MAKE}"
    if match[1] != "19":
        return f"the password hash is of another version of Argon2 than 19; {_MAKE}"
    salt, digest = _decoded(match[2]), _decoded(match[3])
    if salt is None or digest is None or len(salt) < _LEAST_SALT or len(digest) < _LEAST_DIGEST:
        return f"the password hash is not whole: its last letters are missing; {_MAKE}"
    return None


def looks_cut_off(stored: str) -> str | None:
    """Warn of a hash that can be verified and is perhaps the beginning of one."""
    match = _ARGON2.fullmatch(stored)
    digest = None if match is None else _decoded(match[3])
    if digest is None or len(digest) in _USUAL_DIGESTS:
        return None
    return f"the password hash has a digest of {len(digest)} bytes, where 32 are usual: was it cut off? If so, {_MAKE}"


def _decoded(text: str) -> bytes | None:
    """Decode base64 without padding; None for text that no encoder writes, such as one whose end is missing."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return None
    return data if base64.b64encode(data).rstrip(b"=") == text.encode() else None
