"""The decision who may log in, and what a refusal shows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from ftpsd.auth.accounts import FileAccounts
from ftpsd.auth.checker import UsersChecker
from ftpsd.auth.credentials import ILogin, Login, LoginBusy, LoginDenied, Refusal, WithCode
from ftpsd.auth.hashing.passwords import VerifiedCache
from ftpsd.auth.hashing.queue import LoginQueue
from ftpsd.config.users import UserRecord
from tests.workers import InlineWorkers

NOW = datetime(2026, 11, 21, tzinfo=UTC)
PEER = "192.0.2.7"


class Desk:
    """A checker with one user, alice, whose password is `pw`; hashes are `hash of` the password."""

    def __init__(self, **alice: Any) -> None:
        self.clock = Clock()
        self.clock.advance(NOW.timestamp())
        self.pool = InlineWorkers()
        self.cache = VerifiedCache(self.clock)
        self.verified: list[tuple[str, str | None]] = []
        self.give(**alice)

    def give(self, **alice: Any) -> None:
        """Load a users file, as a reload does."""
        record: dict[str, Any] = {"name": "alice", "password": "hash of pw", "home": Path("/srv/alice")} | alice
        self.serve({"alice": UserRecord(**record)})

    def serve(self, users: Mapping[str, UserRecord]) -> None:
        """Check logins against *users*."""
        accounts = FileAccounts(users, LoginQueue(self.pool), self.cache, check=self._verify)
        self.checker = UsersChecker(accounts, self.clock)

    def _verify(self, password: str, stored: str | None) -> bool:
        self.verified.append((password, stored))
        return stored == f"hash of {password}"

    def login(self, name: str = "alice", password: str = "pw", peer: str = PEER) -> UserRecord | Exception:
        """Try to log in; return the user or the error."""
        result: list[UserRecord | Exception] = []
        deferred: Deferred[UserRecord | WithCode] = self.checker.requestAvatarId(Login(name, password, peer))
        deferred.addCallbacks(result.append, lambda failure: result.append(failure.value))
        return result[0]

    def refusal(self, name: str = "alice", password: str = "pw", peer: str = PEER) -> Refusal:
        """Try to log in, in vain; return why."""
        error = self.login(name, password, peer)
        assert isinstance(error, LoginDenied)
        return error.reason


def test_interfaces() -> None:
    """The checker and its credentials are what twisted.cred's Portal expects."""
    assert verifyObject(ICredentialsChecker, Desk().checker)
    assert verifyObject(ILogin, Login("alice", "pw", PEER))
    assert ILogin in UsersChecker.credentialInterfaces


def test_right_password() -> None:
    """The right name, password and address give the user's record."""
    user = Desk().login()
    assert isinstance(user, UserRecord)
    assert user.name == "alice"


REFUSED: list[tuple[dict[str, Any], dict[str, str], Refusal]] = [
    ({}, {"password": "other"}, Refusal.WRONG_PASSWORD),
    ({}, {"name": "bob"}, Refusal.UNKNOWN_USER),
    ({}, {"name": ""}, Refusal.UNKNOWN_USER),
    ({}, {"name": "ALICE"}, Refusal.UNKNOWN_USER),
    ({"password": None}, {}, Refusal.NO_PASSWORD),
    ({"enabled": False}, {}, Refusal.DISABLED),
    ({"expires": NOW}, {}, Refusal.EXPIRED),
    ({"networks": (ip_network("10.0.0.0/8"),)}, {}, Refusal.NETWORK),
]


@pytest.mark.parametrize(("alice", "attempt", "reason"), REFUSED)
def test_reasons(alice: dict[str, Any], attempt: dict[str, str], reason: Refusal) -> None:
    """The audit log learns why a login was refused."""
    assert Desk(**alice).refusal(**attempt) is reason


@pytest.mark.parametrize(("alice", "attempt", "reason"), REFUSED)
def test_every_refusal_costs_one_hash(alice: dict[str, Any], attempt: dict[str, str], reason: Refusal) -> None:
    """Exactly one verification runs in the pool, with the password that was said, whatever is wrong."""
    desk = Desk(**alice)
    desk.refusal(**attempt)
    assert desk.pool.calls == 1
    assert [password for password, _stored in desk.verified] == [attempt.get("password", "pw")]


@pytest.mark.parametrize(("alice", "attempt", "reason"), REFUSED)
def test_one_type_of_refusal(alice: dict[str, Any], attempt: dict[str, str], reason: Refusal) -> None:
    """To the client's side every refusal is the same error of twisted.cred."""
    error = Desk(**alice).login(**attempt)
    assert type(error) is LoginDenied
    assert isinstance(error, UnauthorizedLogin)


@pytest.mark.parametrize("spoilt", [{"enabled": False}, {"expires": NOW}, {"networks": (ip_network("10.0.0.0/8"),)}])
def test_remembered_password_does_not_show(spoilt: dict[str, Any]) -> None:
    """A user who was in a moment ago and now is refused costs a hash too: quickness would confirm the password."""
    desk = Desk()
    desk.login()
    desk.give(**spoilt)
    desk.refusal()
    assert desk.verified[1:] == [("pw", None)]


def test_not_yet_expired() -> None:
    """Until its moment an expiring user may log in."""
    desk = Desk(expires=NOW)
    desk.clock.rightNow -= 1
    assert isinstance(desk.login(), UserRecord)


@pytest.mark.parametrize(
    ("network", "peer"),
    [
        ("127.0.0.0/8", "127.0.0.1"),
        ("127.0.0.0/8", "::ffff:127.0.0.1"),
        ("127.0.0.0/8", "::ffff:7f00:1"),
        ("::1/128", "::1"),
        ("fe80::/10", "fe80::1%eth0"),
        ("0.0.0.0/0", "::ffff:192.0.2.1"),
    ],
)
def test_peer_inside(network: str, peer: str) -> None:
    """IPv4 peers match IPv4 networks also in their IPv6 mapping, and a zone does not disturb."""
    assert isinstance(Desk(networks=(ip_network("198.51.100.0/24"), ip_network(network))).login(peer=peer), UserRecord)


@pytest.mark.parametrize(
    ("network", "peer"),
    [
        ("127.0.0.0/8", "::1"),
        ("10.0.0.0/8", "::ffff:11.0.0.1"),
        ("0.0.0.0/0", "2001:db8::1"),
        ("::/0", "192.0.2.1"),
        ("::/0", "unix"),
        ("0.0.0.0/0", ""),
    ],
)
def test_peer_outside(network: str, peer: str) -> None:
    """A peer of another family, or one that is no address at all, is not inside."""
    assert Desk(networks=(ip_network(network),)).refusal(peer=peer) is Refusal.NETWORK


def test_anywhere() -> None:
    """Without networks a user may come from anywhere."""
    assert isinstance(Desk().login(peer="unix"), UserRecord)


def test_second_login_costs_nothing() -> None:
    """Clients that log in once for every file pay for one hash a minute."""
    desk = Desk()
    for _ in range(3):
        assert isinstance(desk.login(), UserRecord)
    assert desk.pool.calls == 1
    desk.clock.advance(60)
    desk.login()
    assert desk.pool.calls == 2


class Counted(dict[str, UserRecord]):
    """Users that count how often they are looked at, and are never gone through."""

    looks = 0

    def get(self, name: str, default: Any = None) -> Any:
        self.looks += 1
        return super().get(name, default)

    def __getitem__(self, name: str) -> UserRecord:
        self.looks += 1
        return super().__getitem__(name)

    def __iter__(self) -> Any:
        raise AssertionError("a login goes through all users")

    keys = values = items = __iter__


@pytest.mark.parametrize("others", [0, 10_000])
@pytest.mark.parametrize("name", ["alice", "nobody"])
def test_a_login_does_not_depend_on_the_number_of_users(others: int, name: str) -> None:
    """One look-up and one hash, with one user and with 10,000."""
    desk = Desk()
    users = Counted({f"user{n}": UserRecord(f"user{n}", "hash of x", Path("/srv")) for n in range(others)})
    users["alice"] = UserRecord("alice", "hash of pw", Path("/srv/alice"))
    desk.serve(users)
    desk.login(name)
    assert (users.looks, len(desk.verified)) == (1, 1)


def test_wrong_password_is_not_remembered() -> None:
    """A wrong password costs a hash each time, also after a right one."""
    desk = Desk()
    desk.login()
    for _ in range(2):
        assert desk.refusal(password="other") is Refusal.WRONG_PASSWORD
    assert desk.pool.calls == 3


def test_new_password_ends_the_old() -> None:
    """After a reload with a new hash the old password is refused at once."""
    desk = Desk()
    desk.login()
    desk.give(password="hash of new")
    assert desk.refusal() is Refusal.WRONG_PASSWORD
    assert isinstance(desk.login(password="new"), UserRecord)


def test_full_pool() -> None:
    """With a full queue a login is neither right nor wrong."""
    desk = Desk()
    desk.pool.is_full = True
    error = desk.login()
    assert isinstance(error, LoginBusy)
    assert not isinstance(error, UnauthorizedLogin)


def test_full_pool_lets_the_remembered_in() -> None:
    """A flood of logins does not keep out who was in a moment ago."""
    desk = Desk()
    desk.login()
    desk.pool.is_full = True
    assert isinstance(desk.login(), UserRecord)


def test_password_is_not_shown() -> None:
    """The repr of credentials, which may end in a log, hides the password."""
    assert "hunter2" not in repr(Login("alice", "hunter2", PEER))


def test_reason_is_not_in_the_type() -> None:
    """A refusal's text is its audit reason, so that a log of it is complete."""
    assert str(LoginDenied(Refusal.EXPIRED)) == "user expired"
