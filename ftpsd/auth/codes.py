"""
Codes by time (TOTP, RFC 6238): which step of a device's clock a code belongs to.

SHA-1, 6 digits, steps of 30 s: what every authenticator app does without being asked, and all that many can.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor import InvalidToken
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from ftpsd.values.login.second_factor import DIGITS, SecondFactor, digest_of

STEP: Final = 30
"""Seconds."""
# RFC 6238, 5.2: one step for the way and the user's typing. A clock that is off by one is accepted with it.
TOLERANCE: Final = 1
# A code of these is refused, and the operator is told by how much the clock is off: five minutes to either side.
TOLD: Final = 10

# The library's own name for a code that does not match is InvalidToken; InvalidKey is what older versions raise.
_WRONG: Final = (InvalidToken, InvalidKey)


def step_at(seconds: float) -> int:
    """Return the step of the Unix time *seconds*."""
    return int(seconds) // STEP


def code_of(secret: bytes, step: int) -> str:
    """Return the code of *step*."""
    return _totp(secret).generate(step * STEP).decode("ascii")


def uri(secret: bytes, user: str, issuer: str) -> str:
    """Return what an authenticator app reads from a QR code."""
    return _totp(secret).get_provisioning_uri(user, issuer)


def offset_of(secret: bytes, code: str, seconds: float) -> int | None:
    """
    Return by how many steps the clock of the device that made *code* is ahead; None when it made none of these.

    Of steps within `TOLD` the one that is nearest to now. All are computed, whichever it is.
    """
    now, totp, given = step_at(seconds), _totp(secret), code.encode("ascii", "replace")
    found: int | None = None
    for distance in range(TOLD, -1, -1):
        for offset in {distance, -distance}:
            if now + offset >= 0 and _matches(totp, given, (now + offset) * STEP):
                found = offset
    return found


def could_be_right(factor: SecondFactor, code: str, seconds: float) -> bool:
    """Return whether *code* is one that *factor* has at that moment, used or not."""
    if factor.secret is None:
        return False
    return digest_of(code) in factor.recovery or offset_of(factor.secret, code, seconds) is not None


def _totp(secret: bytes) -> TOTP:
    return TOTP(secret, DIGITS, SHA1(), STEP)  # RFC 6238's default; HMAC does not need its collisions to be hard


def _matches(totp: TOTP, given: bytes, moment: int) -> bool:
    try:
        # In constant time, by the library.
        totp.verify(given, moment)
    except _WRONG:
        return False
    return True
