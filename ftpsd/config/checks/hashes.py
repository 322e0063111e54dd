"""
The form of a password hash: whether all of it is there, and whether it can be verified in seconds. Nothing of a hash is
ever repeated in a sentence.
"""

from __future__ import annotations

import base64
import re
from typing import Final

ARGON2: Final = "$argon2id$"
# The PHC form of Argon2: version, memory, iterations and lanes, then salt and digest in base64 without its "=".
_ARGON2: Final = re.compile(
    r"\$argon2id\$v=([0-9]+)\$m=([0-9]{1,10}),t=([0-9]{1,10}),p=[0-9]{1,3}\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)"
)
# crypt(5): 22 letters of salt and 31 of digest in bcrypt; 86 or 43 letters of digest behind at most 16 of salt.
_BCRYPT: Final = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
_SHA: Final = re.compile(
    r"\$(?:5\$(?:rounds=([0-9]{1,9})\$)?[^$:\n]{0,16}\$[./A-Za-z0-9]{43}"
    r"|6\$(?:rounds=([0-9]{1,9})\$)?[^$:\n]{0,16}\$[./A-Za-z0-9]{86})"
)
# crypt(5): flavour j, one letter each for the logarithm of N and for r, as crypt_gensalt(3) writes them. Settings with
# more of them (p, t, ROM) come from no password program.
_YESCRYPT: Final = re.compile(r"\$y\$j([./0-9A-Za-z])([./0-9A-Za-z])\$[./A-Za-z0-9]{1,86}\$[./A-Za-z0-9]{43}")
_LETTERS: Final = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# passlib: base64 with "." in the place of "+" and without its "=".
_PASSLIB: Final = re.compile(
    r"\$pbkdf2-sha(256|512)\$([1-9][0-9]{0,9})\$([A-Za-z0-9./]{1,172})\$([A-Za-z0-9./]{43}|[A-Za-z0-9./]{86})"
)
# Django: the salt as it is, the digest in base64.
_DJANGO: Final = re.compile(r"pbkdf2_sha256\$([1-9][0-9]{0,9})\$([!-#%-~]{1,128})\$([A-Za-z0-9+/]{43}=)")
# Bytes. RFC 9106, 3.1 allows 4 and more; no known program makes less than 16, and an unusual length may be a cut one.
_LEAST_DIGEST: Final = 16
_LEAST_SALT: Final = 8
_USUAL_DIGESTS: Final = frozenset({16, 32, 64})

# The most that a hash may cost: one that took a minute would keep a worker from the logins of others. Each is some
# seconds on a slow processor, and far above what password programs choose.
MAX_MEMORY: Final = 1024 * 1024  # KiB: two at once would take the daemon down
MAX_ITERATIONS: Final = 1000  # Pure-FTPd makes hashes of 127 passes over little memory; all passes have a bound, too
MAX_MEMORY_PASSES: Final = 4 * MAX_MEMORY  # KiB times passes
MAX_BCRYPT_COST: Final = 15
MAX_SHA_ROUNDS: Final = 1_000_000
MAX_PBKDF2_ROUNDS: Final = 5_000_000

_MAKE: Final = "make one with `ftpsd hash-password`, and copy all of it"
_NOT_WHOLE: Final = f"the password hash is not whole: cut off, or changed; {_MAKE}"


def is_argon2(stored: str) -> bool:
    """Return whether *stored* is of the kind that is made for new passwords."""
    return stored.startswith(ARGON2)


def is_pbkdf2(stored: str) -> bool:
    """Return whether *stored* is PBKDF2 in the spelling of passlib or Django."""
    return stored.startswith(("$pbkdf2-", "pbkdf2_"))


def kind_of(stored: str) -> str:
    """Name the kind of *stored*, of which nothing else is repeated."""
    return stored.split("$")[0] or f"${stored.split('$')[1]}$"


def fault_of(stored: str) -> str | None:
    """Say why *stored*, a hash of a known kind by its beginning, cannot be verified; None if it can."""
    if is_argon2(stored):
        return _fault_of_argon2(stored)
    if is_pbkdf2(stored):
        return None if pbkdf2_of(stored) is not None else _fault_of_pbkdf2(stored)
    if stored.startswith("$2"):
        match = _BCRYPT.fullmatch(stored)
        return _NOT_WHOLE if match is None else _beyond("bcrypt cost", int(match[1]), MAX_BCRYPT_COST)
    if stored.startswith("$y$"):
        match = _YESCRYPT.fullmatch(stored)
        if match is None:
            return f"the password hash is not whole, or has unusual parameters; {_MAKE}"
        logarithm, block = (_LETTERS.index(letter) + 1 for letter in match.groups())
        return _beyond("KiB of memory", block << logarithm >> 3, MAX_MEMORY)
    match = _SHA.fullmatch(stored)
    return _NOT_WHOLE if match is None else _beyond("rounds", int(match[1] or match[2] or 0), MAX_SHA_ROUNDS)


def _fault_of_argon2(stored: str) -> str | None:
    match = _ARGON2.fullmatch(stored)
    if match is None:
        return f"the password hash is not whole: it has no salt, no digest, or other letters in them; {_MAKE}"
    if match[1] != "19":
        return f"the password hash is of another version of Argon2 than 19; {_MAKE}"
    salt, digest = _decoded(match[4]), _decoded(match[5])
    if salt is None or digest is None or len(salt) < _LEAST_SALT or len(digest) < _LEAST_DIGEST:
        return f"the password hash is not whole: its last letters are missing; {_MAKE}"
    memory, passes = int(match[2]), int(match[3])
    return (
        _beyond("KiB of memory", memory, MAX_MEMORY)
        or _beyond("passes", passes, MAX_ITERATIONS)
        or _beyond("KiB in all passes together", memory * passes, MAX_MEMORY_PASSES)
    )


def _fault_of_pbkdf2(stored: str) -> str:
    match = _PASSLIB.fullmatch(stored) or _DJANGO.fullmatch(stored)
    rounds = 0 if match is None else int(match[2] if stored.startswith("$") else match[1])
    return _beyond("rounds", rounds, MAX_PBKDF2_ROUNDS) or _NOT_WHOLE


def _beyond(what: str, asked: int, most: int) -> str | None:
    if asked <= most:
        return None
    return f"the password hash asks for more {what} than {most}, which would hold up other logins; {_MAKE}"


def pbkdf2_of(stored: str) -> tuple[str, int, bytes, bytes] | None:
    """Return hash function, rounds, salt and digest of a PBKDF2 hash; None for one that cannot be verified."""
    if match := _PASSLIB.fullmatch(stored):
        name, rounds = f"sha{match[1]}", int(match[2])
        salt, digest = (_decoded(part.replace(".", "+")) for part in (match[3], match[4]))
    elif match := _DJANGO.fullmatch(stored):
        name, rounds = "sha256", int(match[1])
        salt, digest = match[2].encode(), _decoded(match[3].rstrip("="))
    else:
        return None
    is_whole = salt is not None and digest is not None and len(digest) * 8 == int(name.removeprefix("sha"))
    if not is_whole or rounds > MAX_PBKDF2_ROUNDS:
        return None
    assert salt is not None
    assert digest is not None
    return name, rounds, salt, digest


def argon2_salt(stored: str) -> bytes | None:
    """Return the salt of an Argon2 hash, None for one that is not whole."""
    match = _ARGON2.fullmatch(stored)
    return None if match is None else _decoded(match[4])


def looks_cut_off(stored: str) -> str | None:
    """Warn of a hash that can be verified and is perhaps the beginning of one."""
    match = _ARGON2.fullmatch(stored)
    digest = None if match is None else _decoded(match[5])
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
