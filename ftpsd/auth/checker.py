"""
The checker: whether a name, its proofs and an address together may log in (twisted.cred).

The proofs are a password, the certificate of the TLS handshake, or both, as the user is configured. For every reason
the client learns only that the login is incorrect: the same exception type, after the same work. The reason is for the
audit log.

A login comes twice: with the name and the certificate (USER), where a user whose method is the certificate alone is
let in, and with a password (PASS). The first asks for no hash, whoever is named, and what it finds out stays here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address

from twisted.cred.checkers import ICredentialsChecker
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from ftpsd.auth.accounts import Accounts
from ftpsd.auth.certified.matching import why_not_trusted, why_refused
from ftpsd.auth.credentials import ILogin, Login, LoginBusy, LoginDenied, Refusal
from ftpsd.config.users import UserRecord
from ftpsd.values.hours import are_now
from ftpsd.values.login_method import CERTIFICATE, PASSWORD, LoginMethod
from ftpsd.workers import PoolBusy


@implementer(ICredentialsChecker)
class UsersChecker:
    """
    A checker of logins against *accounts*; *clock* is the reactor's, whose seconds are those since 1970.

    *method* is that of users who have none of their own.
    """

    credentialInterfaces = (ILogin,)

    def __init__(self, accounts: Accounts, clock: IReactorTime, method: LoginMethod = PASSWORD) -> None:
        self._accounts = accounts
        self._clock = clock
        self._method = method

    # twisted.cred types an avatar's id as bytes, and hands whatever the checker returns to the realm.
    def requestAvatarId(self, credentials: Login) -> Deferred[UserRecord]:  # type: ignore[override]
        """
        Return the user, when everything is right.

        Fails with `LoginDenied`, or with `LoginBusy` when too many logins wait already.
        """
        return self._accounts.find(credentials.username).addCallback(self._check, credentials).addErrback(_busy)

    def _check(self, user: UserRecord | None, login: Login) -> Deferred[UserRecord]:
        seconds = self._clock.seconds()
        method = self._method if user is None else method_of(user, self._method)
        refusal = Refusal.UNKNOWN_USER if user is None else why_kept_out(user, login.peer, seconds)
        if refusal is None and user is not None:
            refusal = why_certificate_refused(user, method, login, seconds)
            if refusal is None and method == CERTIFICATE:
                return succeed(user)
        if login.password is None:
            return fail(LoginDenied(refusal or Refusal.PASSWORD_AWAITED, method))
        # The password of a user who is kept out is not even verified: nothing may be quicker for the right one.
        asked = user if refusal is None else None

        def decide(is_right: bool) -> UserRecord:
            if asked is None or not is_right:
                raise LoginDenied(refusal or Refusal.WRONG_PASSWORD, method)
            return asked

        return self._accounts.verify(asked, login).addCallback(decide)


def method_of(user: UserRecord, default: LoginMethod) -> LoginMethod:
    """Return how *user* logs in, where *default* is the method of users who have none of their own."""
    return user.authentication or default


def why_certificate_refused(user: UserRecord, method: LoginMethod, login: Login, seconds: float) -> Refusal | None:
    """Return why *user*, whose method is *method*, may not come with the certificate of *login*; None: it is good."""
    now = datetime.fromtimestamp(seconds, UTC)
    wanted = (*user.certificates, *login.pinned)
    if method != PASSWORD:
        return why_refused(login.certificate, wanted, now)
    if not login.needs_certificate:
        return None
    # Everybody has to have one here; whose it is matters only where that is written down.
    return why_refused(login.certificate, wanted, now) if wanted else why_not_trusted(login.certificate, now)


def why_kept_out(user: UserRecord, peer: str, seconds: float) -> Refusal | None:
    """Return the reason that keeps *user* at the address *peer* out whatever the password, *seconds* after 1970."""
    if not user.enabled:
        return Refusal.DISABLED
    now = datetime.fromtimestamp(seconds, UTC)
    if user.expires is not None and user.expires <= now:
        return Refusal.EXPIRED
    if not are_now(user.hours, now):
        return Refusal.HOURS
    return None if _is_from(user, peer) else Refusal.NETWORK


def _is_from(user: UserRecord, peer: str) -> bool:
    """Return whether *user* may come from *peer*; no networks means from anywhere."""
    if not user.networks:
        return True
    try:
        address: IPv4Address | IPv6Address = ip_address(peer)
    except ValueError:
        return False
    # A listener on "::" sees IPv4 clients in their IPv6 mapping (RFC 4291, 2.5.5.2).
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in user.networks)


def _busy(failure: Failure) -> UserRecord:
    failure.trap(PoolBusy)
    raise LoginBusy
