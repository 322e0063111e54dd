"""
The credentials of a client, and the failures of a login.

For every reason the client learns only that the login is incorrect; the reason is for the audit log.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from twisted.cred.credentials import ICredentials
from twisted.cred.error import LoginFailed, UnauthorizedLogin
from zope.interface import Attribute, implementer

from ftpsd.config.users import UserRecord
from ftpsd.values.login.client_certificate import CertificateFault, ClientCertificate
from ftpsd.values.login.login_method import PASSWORD, CertificateMatch
from ftpsd.workers import PoolBusy


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
    CERTIFICATE_MISSING = "no client certificate"
    CERTIFICATE_OF_ANOTHER = "client certificate not the user's"
    CERTIFICATE_EXPIRED = CertificateFault.EXPIRED.value
    CERTIFICATE_NOT_YET_VALID = CertificateFault.NOT_YET.value
    CERTIFICATE_REVOKED = CertificateFault.REVOKED.value
    CERTIFICATE_OF_UNKNOWN_AUTHORITY = CertificateFault.UNKNOWN_AUTHORITY.value
    CERTIFICATE_AUTHORITY_EXPIRED = CertificateFault.AUTHORITY_EXPIRED.value
    NO_CURRENT_REVOCATION_LIST = CertificateFault.NO_CURRENT_LIST.value
    CERTIFICATE_UNUSABLE = CertificateFault.UNUSABLE.value
    NO_TICKET = "enrolment ticket wrong, used or expired"
    STATE_UNUSABLE = "enrolled certificates unknown: state file unusable"
    SECOND_FACTOR_WRONG = "wrong second factor"
    SECOND_FACTOR_USED = "second factor code already used"
    SECOND_FACTOR_SKEWED = "second factor code of another time"
    SECOND_FACTOR_LOCKED = "second factor locked"
    SECOND_FACTOR_MISSING = "second factor not given"
    SECOND_FACTOR_NOT_ENROLLED = "no second factor enrolled"
    SECOND_FACTOR_UNAVAILABLE = "second factor cannot be checked"
    PASSWORD_AWAITED = "password awaited"
    """USER has said all that it can, and the password is what is left: no refusal of a login."""
    PASSWORD_EXPIRED = "password expired"
    LOCKED = "user locked"
    NO_ROLE = "no group with a role"
    AMBIGUOUS = "several users of that name"
    INVALID_RECORD = "user record invalid"


class LoginDenied(UnauthorizedLogin):
    """A login by *method* that is not granted; *reason* is for the audit log and never for the client."""

    def __init__(self, reason: Refusal, method: str = PASSWORD) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.method = method


@dataclass(frozen=True, slots=True)
class WithCode:
    """A proved *user*, and the *code* of a second factor that stood behind the password; it is not checked yet."""

    user: UserRecord
    code: str = field(repr=False)


class LoginBusy(LoginFailed):
    """A login that was not looked at, because too many wait already: the client may try again later."""

    reason = "busy"
    text = "Too many logins at once, try again later."


class LoginUnavailable(LoginBusy):
    """A login that cannot be decided, because the source of its user does not answer: the client may try again."""

    reason = "directory unavailable"
    text = "Logins cannot be checked now, try again later."


class SourceUnavailable(PoolBusy):
    """A source of users that does not answer, or not in a way that could be believed; the text says why."""


class ILogin(ICredentials):
    """A name, the proofs for it, and where they came from."""

    username = Attribute("What USER said.")
    password = Attribute("What PASS said; None while USER asks whether anything but the certificate is needed.")
    peer = Attribute("The address of the client's end of the control connection, as text.")
    certificate = Attribute("The ClientCertificate of the handshake; None for none.")
    needs_certificate = Attribute("Whether no login is granted here without a certificate.")
    pinned = Attribute("The certificates that were pinned to the user by an enrolment, besides those of the record.")
    enrolled = Attribute("Called when this login has pinned its certificate.")


@implementer(ILogin)
@dataclass(frozen=True, slots=True)
class Login:
    """The credentials of a client, as the checker takes them."""

    username: str
    password: str | None = field(repr=False)
    peer: str
    certificate: ClientCertificate | None = None
    needs_certificate: bool = False
    pinned: tuple[CertificateMatch, ...] = ()
    enrolled: Callable[[], object] = field(default=lambda: None, repr=False, compare=False)
