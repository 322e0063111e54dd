"""
The second factor of a user: codes of a device by time (TOTP, RFC 6238), and recovery codes for when it is lost.

The form of codes is decided here, for those who make them and those who check them.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from base64 import b32decode, b32encode
from dataclasses import dataclass, field
from typing import Final

DIGITS: Final = 6
# Bytes. RFC 4226, 4 (R6): 128 bits at least, 160 recommended.
LEAST_SECRET: Final = 16
MOST_SECRET: Final = 64
SECRET: Final = 20

RECOVERY_CODES: Final = 10
# Bytes; 16 letters of base32. Nobody guesses 80 bits, so that a plain digest keeps the code.
_RECOVERY: Final = 10
_GROUP: Final = 4
# Hexadecimal digits of a stored recovery code.
DIGEST: Final = 32

_CODE: Final = re.compile(rf"[0-9]{{{DIGITS}}}", re.ASCII)
_RECOVERY_CODE: Final = re.compile(r"[a-z2-7]{4}(-[a-z2-7]{4}){3}", re.IGNORECASE | re.ASCII)
_TAIL: Final = re.compile(rf"(?s)(.+?)({_CODE.pattern}|{_RECOVERY_CODE.pattern})", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """
    The enrolled factor of a user: the *secret* of the device, and the digests of recovery codes.

    *recovery_made* is the Unix time at which these were made, None for one that is not known. Without a *secret*
    nothing is enrolled, and a user who needs the factor cannot log in.
    """

    secret: bytes | None = field(default=None, repr=False)
    recovery: tuple[str, ...] = field(default=(), repr=False)
    recovery_made: float | None = None

    @property
    def is_enrolled(self) -> bool:
        """Whether there is anything that a code can be compared with."""
        return self.secret is not None

    @property
    def mark(self) -> str:
        """A name for the secret that does not disclose it: another secret has another one."""
        return hashlib.sha256(b"ftpsd secret\0" + (self.secret or b"")).hexdigest()[:DIGEST]


def is_code(text: str) -> bool:
    """Return whether *text* has the form of a code, of either kind."""
    return _CODE.fullmatch(text) is not None or _RECOVERY_CODE.fullmatch(text) is not None


def split(password: str) -> tuple[str, str] | None:
    """Return the password and the code behind it, where the end of *password* has the form of one; else None."""
    found = _TAIL.fullmatch(password)
    return None if found is None else (found[1], found[2])


def digest_of(recovery_code: str) -> str:
    """Return the form in which *recovery_code* is stored; its dashes and the case of its letters do not count."""
    letters = recovery_code.replace("-", "").lower()
    return hashlib.sha256(b"ftpsd recovery\0" + letters.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST]


def new_secret() -> bytes:
    """Return a secret for a device."""
    return secrets.token_bytes(SECRET)


def new_recovery_codes() -> list[str]:
    """Return recovery codes, as they are shown to the user once."""
    return ["-".join(_groups(spelt(secrets.token_bytes(_RECOVERY)).lower())) for _ in range(RECOVERY_CODES)]


def spelt(secret: bytes) -> str:
    """Return *secret* in base32, as devices and the users file have it."""
    return b32encode(secret).decode("ascii").rstrip("=")


def read_secret(text: str) -> bytes:
    """
    Return the secret that *text* spells in base32; spaces, dashes and the case of letters do not count.

    Raises: ValueError with a sentence for the operator, in which nothing of *text* is repeated.
    """
    plain = re.sub(r"[\s-]", "", text).rstrip("=").upper()
    try:
        secret = b32decode(plain + "=" * (-len(plain) % 8))
    except ValueError:
        raise ValueError("not a secret in base32 (A to Z and 2 to 7); make one with `ftpsd user otp NAME`") from None
    if not LEAST_SECRET <= len(secret) <= MOST_SECRET:
        raise ValueError(
            f"a secret of {len(secret) * 8} bits, where RFC 4226 asks for {LEAST_SECRET * 8} and more (at most "
            f"{MOST_SECRET * 8}); make one with `ftpsd user otp NAME`"
        )
    return secret


def _groups(letters: str) -> list[str]:
    return [letters[at : at + _GROUP] for at in range(0, len(letters), _GROUP)]
