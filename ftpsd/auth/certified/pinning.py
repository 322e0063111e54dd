"""
The checker of enrolments: a login with a ticket pins its certificate to the user, when everything else is right.

It stands in front of the checker of logins, which judges the certificate as if it were pinned already. A ticket is
given in place of the password; behind it, after a colon, the password of a user who has to give one. It is spent by a
login that is granted, and by one only. A second connection of the same client finds the pin.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, Protocol

from twisted.cred.checkers import ICredentialsChecker
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from ftpsd.auth.certified.enrolment import Enrolled, Enrolments
from ftpsd.auth.certified.ticket import split
from ftpsd.auth.credentials import ILogin, Login, LoginBusy, LoginDenied, Refusal
from ftpsd.values.login.client_certificate import ClientCertificate
from ftpsd.values.login.login_method import CertificateMatch
from ftpsd.workers import PoolBusy

# The refusals that a pin would have prevented.
NOT_PINNED: Final = (
    Refusal.CERTIFICATE_OF_ANOTHER,
    Refusal.CERTIFICATE_OF_UNKNOWN_AUTHORITY,
    Refusal.CERTIFICATE_AUTHORITY_EXPIRED,
)


class LoginChecker(Protocol):
    """The checker of logins behind this one."""

    def requestAvatarId(self, credentials: Login, /) -> Deferred[Any]: ...


@implementer(ICredentialsChecker)
class EnrollingChecker:
    """A checker in front of *checker* for the *enrolments* of the same host."""

    credentialInterfaces = (ILogin,)

    def __init__(self, checker: LoginChecker, enrolments: Enrolments) -> None:
        self._checker = checker
        self._enrolments = enrolments

    def requestAvatarId(self, credentials: Login) -> Deferred[Any]:
        """Return what the checker behind returns for the login, and fail as it does."""
        certificate = credentials.certificate
        if certificate is None:
            return self._checker.requestAvatarId(credentials)
        ticket, password = (None, None) if credentials.password is None else split(credentials.password)
        login = replace(credentials, password=password)
        looked = self._enrolments.look(login.username, ticket).addErrback(_busy)
        return looked.addCallback(self._check, login, certificate, ticket)

    def _check(
        self, known: Enrolled, login: Login, certificate: ClientCertificate, ticket: str | None
    ) -> Deferred[Any]:
        own = CertificateMatch(fingerprint=certificate.fingerprint)
        spends = ticket if known.is_ticket_right and own not in known.certificates else None
        pinned = known.certificates if spends is None else (*known.certificates, own)

        def proved(user: Any) -> Any:
            return user if spends is None else self._enrol(user, login, certificate, spends)

        def denied(failure: Failure) -> Failure:
            error = failure.value
            if isinstance(error, LoginDenied) and error.reason in NOT_PINNED:
                if not known.is_known:
                    return Failure(LoginDenied(Refusal.STATE_UNUSABLE, error.method))
                if ticket is not None:
                    return Failure(LoginDenied(Refusal.NO_TICKET, error.method))
            return failure

        checked = self._checker.requestAvatarId(replace(login, pinned=pinned))
        return checked.addCallbacks(proved, denied)

    def _enrol(self, user: Any, login: Login, certificate: ClientCertificate, ticket: str) -> Deferred[Any]:
        """Pin the *certificate* of *login*, which is granted otherwise; return *user*."""

        def done(is_pinned: bool) -> Any:
            if is_pinned:
                login.enrolled()
                return user
            # Another login was first: one of the same client, or of whoever has got hold of the ticket.
            return self._enrolments.look(login.username, None).addCallback(again)

        def again(known: Enrolled) -> Any:
            if CertificateMatch(fingerprint=certificate.fingerprint) not in known.certificates:
                raise LoginDenied(Refusal.NO_TICKET)
            return user

        enrolled = self._enrolments.enrol(login.username, ticket, certificate)
        return enrolled.addCallback(done).addErrback(_busy)


def _busy(failure: Failure) -> Any:
    failure.trap(PoolBusy)
    raise LoginBusy
