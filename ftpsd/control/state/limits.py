"""
Counts of sessions, and the limits on them. They live as long as the server; the numbers to compare with come from the
configuration.

`Counts` and `Rates` are the interfaces for sessions; here are those of a server of one process. Those of several
processes are in processes/shared/counts.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Protocol
from weakref import WeakValueDictionary

from twisted.internet.interfaces import IReactorTime

from ftpsd.control.gate.penalties import BANNED, RATE
from ftpsd.data.carry.pace import NO_LIMIT, UNLIMITED, Bucket, Pace
from ftpsd.values.direction import Direction
from ftpsd.wire.address import client_of
from ftpsd.wire.reply import Reply

# Connections above a limit that are still open, until their clients have read why: in all, and of one client.
MOST_REFUSED = 64
MOST_REFUSED_OF_CLIENT = 4
# One in so many connections is for sessions that are logged in.
RESERVED = 4
WITHOUT_LOGIN = "too-many-without-login"

# The text for the client of a connection above a limit, in the greeting's place.
REJECTIONS = {
    "too-many-connections": Reply(421, "Too many connections to this server, try again later."),
    WITHOUT_LOGIN: Reply(421, "Too many connections that have not logged in, try again later."),
    "too-many-from-address": Reply(421, "Too many connections from your address, try again later."),
    BANNED: Reply(421, "Too many failures from your address, try again later."),
    RATE: Reply(421, "Too many connections from your address at once, try again later."),
    "stopping": Reply(421, "The server is shutting down, try again later."),
}


class Counts(Protocol):
    """
    Limits on the number of sessions: in all, by client (`client_of` its address), by user. Every answer comes at once.

    `total` and `logged_in` count the sessions of this process, whatever numbers the limits are compared with.
    """

    @property
    def total(self) -> int:
        """The number of counted connections."""

    @property
    def logged_in(self) -> int:
        """The number of sessions with a user."""

    def admit(self, address: str, connections: int, per_address: int, *, is_known: bool = False) -> str | None:
        """
        Count a connection from *address*; or return why it is one too many, and count nothing.

        The places of sessions that are logged in are open to a client that *is_known* for a good login of late.
        """

    def closed(self, address: str) -> None:
        """Count it no longer."""

    def may_linger(self, address: str) -> bool:
        """
        Count a connection from *address* that was not admitted and stays open for the refusal; False: one too many.
        """

    def lingered(self, address: str) -> None:
        """Count it no longer."""

    def log_in(self, user: str, limit: int | None) -> bool:
        """Count a login of *user*; False, and nothing counted, when *limit* sessions are open already."""

    def log_out(self, user: str) -> None:
        """Count it no longer."""


class Rates(Protocol):
    """Limits on the bandwidth of a session and of a user, who may have many sessions."""

    def pace(self, user: str, direction: Direction, user_rate: int | None, session_rate: int | None) -> Pace:
        """Return the pace of one direction of a new session; rates in bytes per second, None sets none."""


class SessionCounts:
    """The counts of a server of one process."""

    def __init__(self) -> None:
        self.total = 0
        self.logged_in = 0
        self._by_client: Counter[str] = Counter()
        self._by_user: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    def admit(self, address: str, connections: int, per_address: int, *, is_known: bool = False) -> str | None:
        """Count a connection from *address*; or return why it is one too many, and count nothing."""
        client = client_of(address)
        if refusal := too_many(self.total, self.logged_in, connections, is_known):
            return refusal
        if self._by_client[client] >= per_address:
            return "too-many-from-address"
        self.total += 1
        self._by_client[client] += 1
        return None

    def closed(self, address: str) -> None:
        """Count it no longer."""
        self.total -= 1
        _take_one(self._by_client, client_of(address))

    def may_linger(self, address: str) -> bool:
        """
        Count a connection from *address* that was not admitted and stays open for the refusal; False: one too many.
        """
        if self._refused.total() >= MOST_REFUSED or self._refused[client_of(address)] >= MOST_REFUSED_OF_CLIENT:
            return False
        self._refused[client_of(address)] += 1
        return True

    def lingered(self, address: str) -> None:
        """Count it no longer."""
        _take_one(self._refused, client_of(address))

    def log_in(self, user: str, limit: int | None) -> bool:
        """Count a login of *user*; False, and nothing counted, when *limit* sessions are open already."""
        if limit is not None and self._by_user[user] >= limit:
            return False
        self._by_user[user] += 1
        self.logged_in += 1
        return True

    def log_out(self, user: str) -> None:
        """Count it no longer."""
        self.logged_in -= 1
        _take_one(self._by_user, user)


class UserRates:
    """
    The maker of a session's pace: its own bucket, and one that all sessions of its user share.

    *bucket* makes the one of a user; without it that is a bucket of this process.
    """

    def __init__(self, clock: IReactorTime, bucket: Callable[[str, Direction, int], Bucket] | None = None) -> None:
        self._clock = clock
        self._bucket = bucket or self._own_bucket
        # Held by the sessions that share them; gone with the last.
        self._shared: WeakValueDictionary[tuple[str, Direction, int], Bucket] = WeakValueDictionary()

    def pace(self, user: str, direction: Direction, user_rate: int | None, session_rate: int | None) -> Pace:
        """Return the pace of one direction of a new session; rates in bytes per second, None sets none."""
        buckets: list[Bucket] = []
        if user_rate is not None and user_rate >= UNLIMITED:
            return NO_LIMIT
        if user_rate is not None:
            key = (user, direction, user_rate)
            bucket = self._shared.get(key)
            if bucket is None:
                bucket = self._shared[key] = self._bucket(*key)
            buckets.append(bucket)
        if session_rate is not None:
            buckets.append(Bucket(session_rate, self._clock))
        return Pace(*buckets) if buckets else NO_LIMIT

    def _own_bucket(self, user: str, direction: Direction, rate: int) -> Bucket:
        return Bucket(rate, self._clock)


def too_many(total: int, logged_in: int, connections: int, is_known: bool) -> str | None:
    """
    Return why one more is too many for a server of *connections*, of which there are *total*, *logged_in* with a user.

    A quarter is for sessions that are logged in, and for a client that *is_known* for one of late: clients without an
    account cannot fill the server.
    """
    if total >= connections:
        return "too-many-connections"
    if not is_known and total - logged_in >= connections - connections // RESERVED:
        return WITHOUT_LOGIN
    return None


def _take_one(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
