"""
The checker: whether a name, a password and an address together may log in (twisted.cred).

For every reason the client learns only that the login is incorrect: the same exception type, after the same work. The
reason is for the audit log.
"""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address

from twisted.cred.checkers import ICredentialsChecker
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from ftpsd.auth.accounts import Accounts
from ftpsd.auth.credentials import ILogin, Login, LoginBusy, LoginDenied, Refusal
from ftpsd.config.users import UserRecord
from ftpsd.values.hours import are_now
from ftpsd.workers import PoolBusy


@implementer(ICredentialsChecker)
class UsersChecker:
    """A checker of logins against *accounts*; *clock* is the reactor's, whose seconds are those since 1970."""

    credentialInterfaces = (ILogin,)

    def __init__(self, accounts: Accounts, clock: IReactorTime) -> None:
        self._accounts = accounts
        self._clock = clock

    # twisted.cred types an avatar's id as bytes, and hands whatever the checker returns to the realm.
    def requestAvatarId(self, credentials: Login) -> Deferred[UserRecord]:  # type: ignore[override]
        """
        Return the user, when everything is right.

        Fails with `LoginDenied`, or with `LoginBusy` when too many logins wait already.
        """
        return self._accounts.find(credentials.username).addCallback(self._check, credentials).addErrback(_busy)

    def _check(self, user: UserRecord | None, login: Login) -> Deferred[UserRecord]:
        refusal = Refusal.UNKNOWN_USER if user is None else why_kept_out(user, login.peer, self._clock.seconds())
        # The password of a user who is kept out is not even verified: nothing may be quicker for the right one.
        asked = user if refusal is None else None

        def decide(is_right: bool) -> UserRecord:
            if asked is None or not is_right:
                raise LoginDenied(refusal or Refusal.WRONG_PASSWORD)
            return asked

        return self._accounts.verify(asked, login).addCallback(decide)


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
