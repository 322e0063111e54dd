"""Accounts for tests, and the kinds that the contract is run over: each has alice and bob."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock

from ftpsd.auth.accounts import Accounts, Chain, FileAccounts
from ftpsd.auth.credentials import Login
from ftpsd.auth.hashing.passwords import VerifiedCache
from ftpsd.auth.hashing.queue import LoginQueue
from ftpsd.config.users import UserRecord
from ftpsd.workers import PoolBusy
from tests.workers import InlineWorkers

T = TypeVar("T")


def record(name: str, password: str | None = None) -> UserRecord:
    """Return a user whose password is "<name>'s", unless another is given."""
    return UserRecord(name, password or f"{name}'s", Path("/srv") / name)


def login(name: str, password: str) -> Login:
    """Return what a client says."""
    return Login(name, password, "192.0.2.7")


class SlowAccounts:
    """
    Users that are somewhere else: every answer comes when it is released, and nobody is known without asking.

    While *is_full*, nothing can be asked. *asked* are the names, *verified* the passwords that were asked for.
    """

    def __init__(self, *users: UserRecord) -> None:
        self.is_full = False
        self.asked: list[str] = []
        self.verified: list[str] = []
        self._users = {user.name: user for user in users}
        self._waiting: list[tuple[str, Callable[[], None]]] = []

    def known(self) -> tuple[UserRecord, ...]:
        """Return nobody."""
        return ()

    def find(self, name: str, client: str = "") -> Deferred[UserRecord | None]:
        """Return the user, later."""
        self.asked.append(name)
        return self._later(name, lambda: self._users.get(name))

    def verify(self, user: UserRecord | None, login: Login) -> Deferred[bool]:
        """Tell whether the password is the user's, later."""
        assert login.password is not None
        self.verified.append(login.password)
        return self._later(login.username, lambda: user is not None and user.password == login.password)

    def release(self, name: str | None = None) -> None:
        """Give the answers that wait, or those about *name*, and those to what is asked because of them."""
        while due := [entry for entry in self._waiting if name in (None, entry[0])]:
            self._waiting.remove(due[0])
            due[0][1]()

    def _later(self, name: str, look: Callable[[], T]) -> Deferred[T]:
        if self.is_full:
            return fail(PoolBusy("slow"))
        answer: Deferred[T] = Deferred(lambda _: self._waiting.remove(entry))
        entry = (name, lambda: answer.callback(look()))
        self._waiting.append(entry)
        return answer


class Files:
    """A users file whose hashes are the passwords; *verified* are those that a hash was made for."""

    def __init__(self, *users: UserRecord) -> None:
        self.pool = InlineWorkers()
        self.verified: list[str] = []
        queue, cache = LoginQueue(self.pool), VerifiedCache(Clock())
        self.accounts = FileAccounts({user.name: user for user in users}, queue, cache, check=self._check)

    def _check(self, password: str, stored: str | None) -> bool:
        self.verified.append(password)
        return password == stored


@dataclass(frozen=True, slots=True)
class Desk:
    """*accounts* with alice and bob: *known* has the names that `known` gives, *verified* the passwords looked at."""

    accounts: Accounts
    known: set[str]
    verified: Callable[[], list[str]]
    fill: Callable[[], None]
    release: Callable[[], None]


def _of(accounts: Accounts, known: set[str], *sources: Files | SlowAccounts) -> Desk:
    def verified() -> list[str]:
        return [password for source in sources for password in source.verified]

    def fill() -> None:
        for source in sources:
            (source.pool if isinstance(source, Files) else source).is_full = True

    def release() -> None:
        for source in sources:
            if isinstance(source, SlowAccounts):
                source.release()

    return Desk(accounts, known, verified, fill, release)


def _files() -> Desk:
    files = Files(record("alice"), record("bob"))
    return _of(files.accounts, {"alice", "bob"}, files)


def _chain() -> Desk:
    first, second = Files(record("alice")), Files(record("bob"))
    return _of(Chain(first.accounts, second.accounts), {"alice", "bob"}, first, second)


def _slow() -> Desk:
    slow = SlowAccounts(record("alice"), record("bob"))
    return _of(slow, set(), slow)


def _chain_with_a_slow_one() -> Desk:
    files, slow = Files(record("alice")), SlowAccounts(record("bob"))
    return _of(Chain(files.accounts, slow), {"alice"}, files, slow)


def _chain_of_chains() -> Desk:
    nobody, first, second = Files(), Files(record("alice")), SlowAccounts(record("bob"))
    chain = Chain(nobody.accounts, Chain(Files().accounts, Chain(first.accounts, second)))
    return _of(chain, {"alice"}, nobody, first, second)


DESKS: dict[str, Callable[[], Desk]] = {
    "files": _files,
    "chain": _chain,
    "slow": _slow,
    "chain with a slow one": _chain_with_a_slow_one,
    "chain of chains": _chain_of_chains,
}
