"""
Accounts: who may log in, wherever that is written down.

    user = await accounts.find(login.username)
    is_right = await accounts.verify(user, login)

Whether a user is enabled, expired or at the wrong address is the checker's question, and the same for all accounts.
Reactor thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Final, Protocol

from twisted.internet.defer import Deferred, succeed

from ftpsd.auth.credentials import Login, LoginDenied, Refusal
from ftpsd.auth.hashing import passwords
from ftpsd.auth.hashing.new_hashes import Rehash, is_old
from ftpsd.auth.hashing.passwords import VerifiedCache
from ftpsd.auth.hashing.queue import LoginQueue
from ftpsd.config.users import UserRecord
from ftpsd.wire.address import client_of

# Fields a user is given once logged in. All else of a record decides about the login, also what comes to it in time.
_GIVEN: Final = frozenset(
    {
        "home",
        "rules",
        "role",
        "mounts",
        "quota",
        "sessions",
        "download_rate",
        "upload_rate",
        "data_session_reuse",
        "upload_end",
        "encoding",
        "stored_encoding",
        "group",
        "accounts",
        "receipts",
        "preflight",
    }
)
_PROVING: Final = tuple(each.name for each in fields(UserRecord) if each.name not in _GIVEN)


class Accounts(Protocol):
    """
    Those who may log in.

    Both questions may be cancelled, and fail with `PoolBusy` when they cannot be asked now: the client may try again
    later. How long an answer takes, and how many questions wait for theirs, has a bound of the accounts' own.
    """

    def known(self) -> Iterable[UserRecord]:
        """Return the users whose homes can be swept and counted without asking a remote source."""

    def find(self, name: str, client: str = "") -> Deferred[UserRecord | None]:
        """
        Return the user called *name*; None when there is none of exactly that name.

        *client* is the one who logs in, "" for a question of the server's own. Fails with `LoginDenied` where the user
        is kept out already for what the accounts say.
        """

    def verify(self, user: UserRecord | None, login: Login) -> Deferred[bool]:
        """
        Tell whether the password of *login*, which has one, is that of *user*, whom `find` has returned.

        None, for a user who is unknown or kept out, costs what a wrong password does and is never right. Fails with
        `LoginDenied` where there is more to say than that the password is wrong.
        """


class FileAccounts:
    """
    The users of a users file, by name.

    *queue* runs the password hash when it is the client's turn, *cache* spares it to passwords that were right a moment
    ago. *check* takes a password and a stored hash, or None for the hash of no user. *rehash* makes hashes of older
    kinds anew, once for each user; None: they stay.
    """

    def __init__(
        self,
        users: Mapping[str, UserRecord],
        queue: LoginQueue,
        cache: VerifiedCache,
        *,
        check: Callable[[str, str | None], bool] = passwords.verify,
        rehash: Rehash | None = None,
    ) -> None:
        self._users = users
        self._rehash = rehash
        # Users whose hash was to be made anew, and as they are since: no more than there are users.
        self._asked: set[str] = set()
        self._renewed: dict[str, UserRecord] = {}
        self._queue = queue
        self._cache = cache
        self._check = check

    def known(self) -> Iterable[UserRecord]:
        """Return all of them."""
        return self._users.values()

    def find(self, name: str, client: str = "") -> Deferred[UserRecord | None]:
        """Return the user called *name*, at once."""
        return succeed(self._renewed.get(name) or self._users.get(name))

    def verify(self, user: UserRecord | None, login: Login) -> Deferred[bool]:
        """Return whether the password is the user's; a user without one is denied with that reason, after a hash."""
        stored, password = None if user is None else user.password, login.password
        assert password is not None, "only what PASS said is verified"
        if user is not None and stored is not None and self._cache.contains(user.name, standing_of(user), password):
            return succeed(True)

        def decide(is_right: bool) -> bool:
            if user is None:
                return False
            if stored is None:
                raise LoginDenied(Refusal.NO_PASSWORD)
            if is_right:
                self._cache.add(user.name, standing_of(user), password)
                self._make_anew(user, stored, password)
            return is_right

        # The name is part of it though no hash needs it: else a guess at many names that do not exist would be answered
        # with one hash, and one at names that do with many.
        question = (login.username, stored, password)
        answer = self._queue.ask(client_of(login.peer), question, self._check, password, stored)
        return answer.addCallback(decide)

    def _make_anew(self, user: UserRecord, stored: str, password: str) -> None:
        """Have a hash of an older kind made anew, behind the back of the login."""
        if self._rehash is None or user.name in self._asked or not is_old(stored):
            return
        self._asked.add(user.name)

        def made(found: str | None) -> None:
            if found is not None:
                self._renewed[user.name] = now = replace(user, password=found, accounts=())
                self._cache.add(now.name, standing_of(now), password)

        self._rehash(user.name, stored, password).addCallback(made)


def standing_of(user: UserRecord) -> str:
    """Return all that a login of *user* depends on, as text: the password's memory ends when any of it changes."""
    # The secret of a second factor is not in its repr.
    mark = None if user.second_factor is None else user.second_factor.mark
    return repr((mark, *(getattr(user, name) for name in _PROVING)))


class Chain:
    """
    Several accounts, asked in order: a name belongs to the first that knows it.

    No question waits for another one: users of accounts that answer never wait for later accounts, nor for what others
    have asked of earlier ones. Hence those that answer at once, the files, come first. Accounts that cannot answer fail
    the login: a name that they may know is never looked for behind them.
    """

    def __init__(self, *accounts: Accounts) -> None:
        self._accounts: Sequence[Accounts] = accounts

    def known(self) -> Iterable[UserRecord]:
        """Return those that can log in: of equal names the first."""
        users: dict[str, UserRecord] = {}
        for accounts in self._accounts:
            for user in accounts.known():
                users.setdefault(user.name, user)
        return users.values()

    def find(self, name: str, client: str = "") -> Deferred[UserRecord | None]:
        """Ask one after the other."""
        return self._find_from(0, name, client)

    def _find_from(self, place: int, name: str, client: str) -> Deferred[UserRecord | None]:
        def found(user: UserRecord | None) -> UserRecord | Deferred[UserRecord | None] | None:
            if user is not None:
                return replace(user, accounts=(place, *user.accounts))
            return self._find_from(place + 1, name, client) if place + 1 < len(self._accounts) else None

        return self._accounts[place].find(name, client).addCallback(found)

    def verify(self, user: UserRecord | None, login: Login) -> Deferred[bool]:
        """
        Ask the accounts that have found *user*; None is no user to the first.

        None is also a user who is known and kept out. A name that the files know must not go on to a network, whatever
        becomes of its login.
        """
        if user is None:
            return self._accounts[0].verify(None, login)
        place, *inner = user.accounts
        return self._accounts[place].verify(replace(user, accounts=tuple(inner)), login)
