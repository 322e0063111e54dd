"""
The checker: whether a name, a password and an address together may log in (twisted.cred).

For every reason the client learns only that the login is incorrect: the same exception type, after the same work. The
reason is for the audit log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ICredentials
from twisted.cred.error import LoginFailed, UnauthorizedLogin
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import Attribute, implementer

from ftpsd.auth import passwords
from ftpsd.auth.passwords import VerifiedCache
from ftpsd.auth.queue import LoginQueue
from ftpsd.config.users import UserRecord
from ftpsd.wire.address import client_of
from ftpsd.workers import PoolBusy


class Refusal(StrEnum):
    """The reason of a refused login, in the words of the audit log."""

    UNKNOWN_USER = "unknown user"
    WRONG_PASSWORD = "wrong password"
    NO_PASSWORD = "user has no password"
    DISABLED = "user disabled"
    EXPIRED = "user expired"
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


@implementer(ICredentialsChecker)
class UsersChecker:
    """
    A checker of logins against the users file.

    *queue* runs the password hash when it is the client's turn; *clock* is the reactor's, whose seconds are those
    since 1970. *verify* takes a password and a stored hash, or None for the hash of no user.
    """

    credentialInterfaces = (ILogin,)

    def __init__(
        self,
        users: Mapping[str, UserRecord],
        queue: LoginQueue,
        cache: VerifiedCache,
        clock: IReactorTime,
        *,
        verify: Callable[[str, str | None], bool] = passwords.verify,
    ) -> None:
        self._users = users
        self._queue = queue
        self._cache = cache
        self._clock = clock
        self._verify = verify

    # twisted.cred types an avatar's id as bytes, and hands whatever the checker returns to the realm.
    def requestAvatarId(self, credentials: Login) -> Deferred[UserRecord]:  # type: ignore[override]
        """
        Return the user, when everything is right.

        Fails with `LoginDenied`, or with `LoginBusy` when the queue is full.
        """
        login = credentials
        user = self._users.get(login.username)
        refusal = self._refusal(user, login.peer)
        # A user refused for another reason is not even looked up in the cache: nothing may be quicker for the right
        # password.
        stored = user.password if user is not None and refusal is None else None
        if user is not None and stored is not None and self._cache.contains(user.name, stored, login.password):
            return succeed(user)

        def decide(is_right: bool) -> UserRecord:
            if user is None or stored is None or not is_right:
                raise LoginDenied(refusal or Refusal.WRONG_PASSWORD)
            self._cache.add(user.name, stored, login.password)
            return user

        client, question = client_of(login.peer), (login.username, stored, login.password)
        return self._queue.ask(client, question, self._verify, login.password, stored).addCallbacks(decide, _busy)

    def _refusal(self, user: UserRecord | None, peer: str) -> Refusal | None:
        """Return the reason that keeps this user out whatever the password."""
        if user is None:
            return Refusal.UNKNOWN_USER
        refusal = why_kept_out(user, peer, self._clock.seconds())
        return Refusal.NO_PASSWORD if refusal is None and user.password is None else refusal


def why_kept_out(user: UserRecord, peer: str, seconds: float) -> Refusal | None:
    """Return the reason that keeps *user* at the address *peer* out whatever the password, *seconds* after 1970."""
    if not user.enabled:
        return Refusal.DISABLED
    if user.expires is not None and user.expires <= datetime.fromtimestamp(seconds, UTC):
        return Refusal.EXPIRED
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
