"""
Offences: the deeds that penalties weigh, and the events that they are seen in.

The words are the reasons of bans in audit log and lists; with _ for - they are the keys of `penalties.weights`.
Anything not named here weighs nothing: a server that is full or stops, a home that is missing, and a connection on
which the client has said nothing, which is what health checks of load balancers make.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from ftpsd.audit.events import Event, LeftWithoutLogin, LoginRefused, SessionClosed, TLSFailed
from ftpsd.auth.credentials import Refusal
from ftpsd.config.banning import Weights
from ftpsd.tls.failure import OUT_OF_DATE


class Offence(StrEnum):
    """A deed that has a weight."""

    WRONG_PASSWORD = "wrong-password"
    UNKNOWN_USER = "unknown-user"
    SECOND_FACTOR_FAILED = "second-factor-failed"
    DROPPED_LOGIN = "dropped-login"
    """The client has gone before it was told whether its password is right."""
    LOGIN_TIMEOUT = "login-timeout"
    NOT_FTP = "not-ftp"
    TOO_MANY_COMMANDS = "too-many-commands"
    BROKEN_PROTOCOL = "broken-protocol"
    HANDSHAKE_FAILED = "handshake-failed"
    NO_LOGIN = "no-login"
    """The client spoke, and left without an attempt to log in."""

    def weight(self, weights: Weights) -> float:
        """Return what it weighs."""
        points: float = getattr(weights, self.value.replace("-", "_"))
        return points


OPERATOR: Final = "operator"
# The reasons of bans, by the number that a record has of each.
REASONS: Final = (OPERATOR, *Offence)

# Refusals that are no fault of the client's.
INNOCENT: Final = frozenset(
    {
        Refusal.NO_HOME,
        Refusal.HOME_UNUSABLE,
        Refusal.NO_MOUNT,
        Refusal.MOUNT_UNUSABLE,
        Refusal.NO_CURRENT_REVOCATION_LIST,
        Refusal.PASSWORD_AWAITED,
        Refusal.STATE_UNUSABLE,
        # A code that has been used is what clients with many connections send, and no guess.
        Refusal.SECOND_FACTOR_USED,
        Refusal.SECOND_FACTOR_MISSING,
        Refusal.SECOND_FACTOR_NOT_ENROLLED,
        Refusal.SECOND_FACTOR_UNAVAILABLE,
    }
)
# All others weigh like a wrong password, also of users who are kept out whatever theirs is: a ban must not disclose
# which names there are.
REFUSED_LOGINS: Final[dict[str, Offence]] = {
    **{str(reason): Offence.WRONG_PASSWORD for reason in Refusal if reason not in INNOCENT},
    Refusal.UNKNOWN_USER: Offence.UNKNOWN_USER,
    Refusal.SECOND_FACTOR_WRONG: Offence.SECOND_FACTOR_FAILED,
    Refusal.SECOND_FACTOR_SKEWED: Offence.SECOND_FACTOR_FAILED,
    Refusal.SECOND_FACTOR_LOCKED: Offence.SECOND_FACTOR_FAILED,
    "connection-lost": Offence.DROPPED_LOGIN,
}
ENDS: Final[dict[str, Offence]] = {
    "login-timeout": Offence.LOGIN_TIMEOUT,
    "not-ftp": Offence.NOT_FTP,
    "line-too-long": Offence.NOT_FTP,
    "too-many-commands": Offence.TOO_MANY_COMMANDS,
    "records-without-data": Offence.BROKEN_PROTOCOL,
}
# The reasons of handshakes that are no fault of the client's: it never began it, or we have no certificate for it.
BLAMELESS: Final = frozenset({"no-hello", OUT_OF_DATE})


def offence_of(event: Event) -> Offence | None:
    """Return the offence that *event* is; None: it weighs nothing. A user's own session offends nobody."""
    if event.who.user is not None:
        return None
    match event:
        case LoginRefused():
            return REFUSED_LOGINS.get(event.reason)
        case TLSFailed():
            is_one = event.channel == "control" and event.reason not in BLAMELESS
            return Offence.HANDSHAKE_FAILED if is_one else None
        case SessionClosed():
            return ENDS.get(event.reason)
        case LeftWithoutLogin():
            return Offence.NO_LOGIN
    return None
