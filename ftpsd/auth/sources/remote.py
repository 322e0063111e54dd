"""
The parts that all remote sources of users share: turns, deadlines, breakers, and a short memory.

* Every question has a deadline, and waits for its turn in a bounded queue: that of `auth/hashing/queue.py`, in which
  clients take turns. A source that hangs holds up its own users only, for the deadline, and at most `at_once` of them.
* A server that stays silent is left alone for a while (`breaker.py`). Logins that need it fail at once then.
* Sources fail closed: no answer, or one that cannot be believed, lets nobody in.
* Users and verified passwords are remembered for `cache` seconds, passwords as digests, and with the configuration
  they are forgotten (users) or not asked for any more. Nothing that was refused is remembered.

Reactor thread only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd.auth.accounts import Accounts, standing_of
from ftpsd.auth.credentials import Login, LoginDenied, Refusal, SourceUnavailable
from ftpsd.auth.hashing.passwords import MAX_PASSWORD, VerifiedCache
from ftpsd.auth.hashing.queue import Turns
from ftpsd.auth.sources.breaker import Breaker
from ftpsd.config.sources.single_user import Frame, single_user
from ftpsd.config.users import UserRecord, UsersFile, check_name
from ftpsd.wire.address import client_of

T = TypeVar("T")

# Users of a source that are remembered; the oldest makes room.
MOST_REMEMBERED: Final = 10_000

# Questions of the server's own: so many at a time, and as many as there can be sessions.
OWN_AT_ONCE: Final = 2
MOST_OWN: Final = 1_000_000

log = Logger()


class Silence(Exception):
    """A server that cannot be reached or does not answer."""


class Nonsense(Exception):
    """An answer that cannot be believed, or that says that there is none."""


@dataclass(frozen=True, slots=True)
class Found:
    """A user as the source describes them, with the keys of a users file; *entry* is its own name for the user."""

    description: Mapping[str, Any]
    entry: str = ""


class Source(Protocol):
    """
    One source of users. Its questions fail with `LoginDenied` or `SourceUnavailable`, in bounded time.
    """

    name: str

    def find(self, name: str, host: str) -> Deferred[Found | None]:
        """Return the user called exactly *name* of the virtual host *host*, "" for the default one."""

    def verify(self, user: UserRecord, login: Login, password: str, host: str) -> Deferred[bool]:
        """Return whether *password*, which is not empty, is that of *user*."""


@dataclass(frozen=True, slots=True)
class Memory:
    """How a source's users become users here: below *homes*, with *defaults*, remembered for *cache* seconds."""

    homes: Sequence[Path]
    defaults: Mapping[str, Any]
    cache: float


class Server:
    """
    One server of the source called *source*: every question to it ends within *timeout* seconds, and at once while it
    is silent.
    """

    def __init__(self, source: str, name: str, clock: IReactorTime, timeout: float) -> None:
        self.name = name
        self._source = source
        self._clock = clock
        self._timeout = timeout
        self._breaker = Breaker(clock)

    def ask(self, begin: Callable[[], Awaitable[T]]) -> Deferred[T]:
        """
        Ask what *begin* asks.

        Fails with `SourceUnavailable` for everything but `LoginDenied`.
        """
        return Deferred.fromCoroutine(self._ask(begin))

    async def _ask(self, begin: Callable[[], Awaitable[T]]) -> T:
        if not self._breaker.may_ask():
            raise SourceUnavailable(f"{self.name} does not answer")
        try:
            answer = await Deferred.fromCoroutine(_run(begin)).addTimeout(self._timeout, self._clock)
        except LoginDenied:
            self._answered()
            raise
        except Nonsense as error:
            self._answered()
            raise self._unavailable(str(error)) from None
        except CancelledError:
            self._breaker.left()
            raise
        except (Silence, TimeoutError) as error:
            why = str(error) if isinstance(error, Silence) else f"no answer within {self._timeout:g} s"
            if self._breaker.failed():
                told = "{source}: {server} does not answer; until it does, logins that need it fail at once"
                log.error(told, source=self._source, server=self.name)
            raise self._unavailable(why) from None
        except Exception:
            self._breaker.left()
            log.failure("{source}: {server}: unexpected", source=self._source, server=self.name)
            raise SourceUnavailable(f"{self.name}: unexpected") from None
        except BaseException:
            self._breaker.left()
            raise
        self._answered()
        return answer

    def _answered(self) -> None:
        if self._breaker.answered():
            log.info("{source}: {server} answers again", source=self._source, server=self.name)

    def _unavailable(self, why: str) -> SourceUnavailable:
        log.error("{source}: {server}: {why}", source=self._source, server=self.name, why=why)
        return SourceUnavailable(f"{self.name}: {why}")


async def _run(begin: Callable[[], Awaitable[T]]) -> T:
    return await begin()


class Questions:
    """The questions to *source*, of all hosts: *at_once* at a time, each for at most *patience* seconds."""

    def __init__(self, source: Source, clock: IReactorTime, at_once: int, patience: float) -> None:
        self.source = source
        self.clock = clock
        self._turns = Turns(at_once)
        self._unhurried = Turns(OWN_AT_ONCE, MOST_OWN, MOST_OWN)
        self._patience = patience

    def ask(self, client: str, key: Hashable, begin: Callable[[], Deferred[T]]) -> Deferred[T]:
        """
        Ask in the turn of *client*; a wait that is too long ends with `SourceUnavailable`.

        Questions of the server's own, about all sessions after a reload, take their time and no place of a login's.
        """
        if not client:
            return self._unhurried.take(str(key), key, begin)
        return self._turns.take(client, key, begin).addTimeout(self._patience, self.clock, self._too_late)

    def _too_late(self, result: Any, seconds: float) -> Any:
        if isinstance(result, Failure) and result.check(CancelledError):
            raise SourceUnavailable(f"{self.source.name}: too many questions wait for an answer")
        return result


class RemoteAccounts:
    """
    The users of a source, as those of *host*: with the roles of *frame*, its users file.

    *nobody* are accounts that spend the time of a wrong password on those who are no users.
    """

    def __init__(
        self,
        questions: Questions,
        memory: Memory,
        frame: UsersFile,
        nobody: Accounts,
        verified: VerifiedCache,
        host: str = "",
    ) -> None:
        self._questions = questions
        self._source = questions.source
        self._memory = memory
        self._frame = Frame(frame)
        self._nobody = nobody
        self._verified = verified
        self._host = host
        # Part of what is remembered with a verified password: users of two sources or hosts are not the same.
        self._place = f"{self._source.name}\n{host}"
        self._remembered: dict[str, tuple[float, UserRecord]] = {}

    def known(self) -> Iterable[UserRecord]:
        """Return nobody: those who are there are not asked for."""
        return ()

    def find(self, name: str, client: str = "") -> Deferred[UserRecord | None]:
        """Ask the source, unless it has answered a moment ago or the name can be nobody's."""
        own = self._frame.own.get(name)
        if not _is_askable(name) or (own is not None and own.source != self._source.name):
            # Nobody's name, or that of a user whom the users file says to be of another source.
            return succeed(None)
        until, user = self._remembered.get(name, (0.0, None))
        if user is not None and self._questions.clock.seconds() < until:
            return succeed(user)
        asked = self._questions.ask(client, ("find", self._host, name), lambda: self._source.find(name, self._host))
        return asked.addCallback(self._made, name)

    def verify(self, user: UserRecord | None, login: Login) -> Deferred[bool]:
        """
        Ask the source whether the password is the user's.

        An empty one is never sent: a directory takes a bind without a password for one of nobody, and grants it
        (RFC 4513, 5.1.2).
        """
        password = login.password
        if user is None or not password or len(password) > MAX_PASSWORD:
            return self._nobody.verify(None, login)
        standing = f"{self._place}\n{user.entry}\n{standing_of(user)}"
        if self._verified.contains(user.name, standing, password):
            return succeed(True)

        def decide(is_right: bool) -> bool:
            if is_right and self._memory.cache > 0:
                self._verified.add(user.name, standing, password, self._memory.cache)
            return is_right

        client, key = client_of(login.peer), ("verify", self._host, user.name, password)
        asked = self._questions.ask(client, key, lambda: self._source.verify(user, login, password, self._host))
        return asked.addCallback(decide)

    def _made(self, found: Found | None, name: str) -> UserRecord | None:
        """Return the user that the source has *found*, checked as users of a users file are."""
        if found is None:
            self._remembered.pop(name, None)
            return None
        try:
            made = single_user(name, {**self._memory.defaults, **found.description}, self._frame, self._memory.homes)
        except ValueError as error:
            told = "{source}: the record of {user} cannot be used: {why}"
            log.error(told, source=self._source.name, user=name, why=str(error))
            raise LoginDenied(Refusal.INVALID_RECORD) from None
        user = replace(made, entry=found.entry)
        if self._memory.cache > 0:
            if len(self._remembered) >= MOST_REMEMBERED:
                self._remembered.pop(next(iter(self._remembered)))
            self._remembered.pop(name, None)
            self._remembered[name] = self._questions.clock.seconds() + self._memory.cache, user
        return user


def _is_askable(name: str) -> bool:
    """Return whether a user can have *name*, so that nothing else is ever sent to a source."""
    try:
        check_name(name)
    except ValueError:
        return False
    return True
