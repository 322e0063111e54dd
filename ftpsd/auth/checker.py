"""
The checker: whether a name, its proofs and an address together may log in (twisted.cred).

The proofs are a password, the certificate of the TLS handshake, or both, as the user is configured. For every reason
the client learns only that the login is incorrect: the same exception type, after the same work. The reason is for the
audit log.

A login comes twice: with the name and the certificate (USER), where a user whose method is the certificate alone is
let in, and with a password (PASS). The first asks for no hash, whoever is named, and what it finds out stays here.

A code of the second factor may stand behind the password. Where anybody has a second factor, a wrong password whose end
has the form of a code is verified twice, with that end and without, whoever is named: a refusal costs the same for a
user who has one, for one who has none, and for nobody. Whether the code is right is decided later (auth/factors.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from ftpsd.auth.accounts import Accounts
from ftpsd.auth.certified.matching import why_not_trusted, why_refused
from ftpsd.auth.codes import could_be_right
from ftpsd.auth.credentials import (
    ILogin,
    Login,
    LoginBusy,
    LoginDenied,
    LoginUnavailable,
    Refusal,
    SourceUnavailable,
    WithCode,
)
from ftpsd.config.users import UserRecord
from ftpsd.values.login.hours import are_now
from ftpsd.values.login.login_method import CERTIFICATE, PASSWORD, LoginMethod
from ftpsd.values.login.second_factor import SecondFactor, is_code, split
from ftpsd.wire.address import client_of
from ftpsd.workers import PoolBusy


@implementer(ICredentialsChecker)
class UsersChecker:
    """
    A checker of logins against *accounts*; *clock* is the reactor's, whose seconds are those since 1970.

    *method* is that of users who have none of their own, and *splits* whether any user has a second factor. With
    *needs_second_factor* everybody has to have one.
    """

    credentialInterfaces = (ILogin,)

    def __init__(
        self,
        accounts: Accounts,
        clock: IReactorTime,
        method: LoginMethod = PASSWORD,
        *,
        splits: bool = False,
        needs_second_factor: bool = False,
    ) -> None:
        self._accounts = accounts
        self._clock = clock
        self._method = method
        self._splits = splits
        self._needs_second_factor = needs_second_factor

    # twisted.cred types an avatar's id as bytes, and hands whatever the checker returns to the realm.
    def requestAvatarId(self, credentials: Login) -> Deferred[UserRecord | WithCode]:  # type: ignore[override]
        """
        Return the user, when everything is right, with the code that stood behind the password.

        Fails with `LoginDenied`, or with `LoginBusy` when too many logins wait already.
        """
        found: Deferred[UserRecord | LoginDenied | None]
        found = self._accounts.find(credentials.username, client_of(credentials.peer)).addErrback(_denied)
        return found.addCallback(self._check, credentials).addErrback(_busy)

    def _check(self, found: UserRecord | LoginDenied | None, login: Login) -> Deferred[UserRecord | WithCode]:
        seconds = self._clock.seconds()
        refusal: Refusal | None
        if isinstance(found, LoginDenied):
            # The accounts have denied the login at the name: at the cost of a wrong password all the same.
            user, refusal = None, found.reason
        else:
            user = found
            if user is not None and user.second_factor is None and self._needs_second_factor:
                # One that is not enrolled: it lets nobody in.
                user = replace(user, second_factor=SecondFactor())
            refusal = Refusal.UNKNOWN_USER if user is None else why_kept_out(user, login.peer, seconds)
        method = self._method if user is None else method_of(user, self._method)
        if refusal is None and user is not None:
            refusal = why_certificate_refused(user, method, login, seconds)
            if refusal is None and method == CERTIFICATE:
                return succeed(_with(user, _code_alone(login.password)))
        if login.password is None:
            return fail(LoginDenied(refusal or Refusal.PASSWORD_AWAITED, method))
        # The password of a user who is kept out is not even verified: nothing may be quicker for the right one.
        asked = user if refusal is None else None

        def decide(proved: UserRecord | WithCode | None) -> UserRecord | WithCode:
            if proved is None:
                raise LoginDenied(refusal or Refusal.WRONG_PASSWORD, method)
            return proved

        return self._verify(asked, login, seconds).addCallback(decide)

    def _verify(self, user: UserRecord | None, login: Login, seconds: float) -> Deferred[UserRecord | WithCode | None]:
        """Return *user* when the password of *login* is right, whole or in front of a code; None when it is not."""
        parts = split(login.password or "") if self._splits else None
        if parts is None:
            return self._accounts.verify(user, login).addCallback(lambda is_right: user if is_right else None)
        password, code = parts
        shorter = replace(login, password=password)
        factor = None if user is None else user.second_factor
        # A user without a second factor has no code: what is verified then is nobody's password.
        split_user = user if factor is not None else None
        whole, apart = (user, login, None), (split_user, shorter, code)
        is_likely = factor is not None and could_be_right(factor, code, seconds)
        return self._first_of((apart, whole) if is_likely else (whole, apart))

    def _first_of(self, tries: Sequence[_Try]) -> Deferred[UserRecord | WithCode | None]:
        """Return the user of the first of *tries* that is right; a reason to say more comes after all of them."""
        (user, login, code), *others = tries

        def tried(result: bool | Failure) -> Any:
            if isinstance(result, Failure) and not result.check(LoginDenied):
                return result
            if result is True and user is not None:
                return _with(user, code)
            if others:
                rest = self._first_of(others)
                return rest.addCallback(lambda found: found or result if isinstance(result, Failure) else found)
            return result if isinstance(result, Failure) else None

        return self._accounts.verify(user, login).addBoth(tried)


_Try = tuple[UserRecord | None, Login, str | None]


def _with(user: UserRecord, code: str | None) -> UserRecord | WithCode:
    return user if code is None else WithCode(user, code)


def _code_alone(password: str | None) -> str | None:
    """Return the code in what PASS says where no password is asked for: all of it, or its end."""
    if password is None or is_code(password):
        return password
    parts = split(password)
    return None if parts is None else parts[1]


def has_second_factors(users: Iterable[UserRecord]) -> bool:
    """Return whether any of *users* has a second factor, so that a code may stand behind a password."""
    return any(user.second_factor is not None for user in users)


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


def _denied(failure: Failure) -> LoginDenied:
    failure.trap(LoginDenied)
    assert isinstance(failure.value, LoginDenied)
    return failure.value


def _busy(failure: Failure) -> UserRecord | WithCode:
    failure.trap(PoolBusy)
    raise LoginUnavailable if failure.check(SourceUnavailable) else LoginBusy
