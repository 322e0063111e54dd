"""
The credentials of a client, and the failures of a login.

For every reason the client learns only that the login is incorrect; the reason is for the audit log.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from twisted.cred.credentials import ICredentials
from twisted.cred.error import LoginFailed, UnauthorizedLogin
from zope.interface import Attribute, implementer


class Refusal(StrEnum):
    """The reason of a refused login, in the words of the audit log."""

    UNKNOWN_USER = "unknown user"
    WRONG_PASSWORD = "wrong password"
    NO_PASSWORD = "user has no password"
    DISABLED = "user disabled"
    EXPIRED = "user expired"
    HOURS = "outside of hours"
    NETWORK = "address not allowed"
    NO_HOME = "home directory missing"
    HOME_UNUSABLE = "home directory unusable"
    NO_MOUNT = "mount directory missing"
    MOUNT_UNUSABLE = "mount directory unusable"


class LoginDenied(UnauthorizedLogin):
    """A login that is not granted; *reason* is for the audit log and never for the client."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(str(reason))
        self.reason = reason


class LoginBusy(LoginFailed):
    """A login that was not looked at, because too many wait already: the client may try again later."""


class ILogin(ICredentials):
    """A name and a password, and where they came from."""

    username = Attribute("What USER said.")
    password = Attribute("What PASS said.")
    peer = Attribute("The address of the client's end of the control connection, as text.")


@implementer(ILogin)
@dataclass(frozen=True, slots=True)
class Login:
    """The credentials of a client, as the checker takes them."""

    username: str
    password: str = field(repr=False)
    peer: str
