"""
Limits that hold for the whole server where several processes serve: `Counts` and `Rates` (control/state/limits.py) over
a table that all of them share.
"""

from __future__ import annotations

import weakref

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ftpsd.control.state.limits import MOST_REFUSED, MOST_REFUSED_OF_CLIENT, UserRates, too_many
from ftpsd.data.carry.pace import Bucket, Pace
from ftpsd.processes.shared.count_table import CountTable, TableFull
from ftpsd.values.direction import Direction
from ftpsd.wire.address import client_of

# The key of all connections that were not admitted and are still open; one of an address has its address behind it.
ALL_REFUSED = "refused"

log = Logger()


class SharedCounts:
    """
    The counts of one of several processes; limits are compared with the sessions of all of them.

    A table without room counts as a limit that is reached: a session that cannot be counted is refused.
    """

    def __init__(self, table: CountTable) -> None:
        self.total = 0
        self.logged_in = 0
        self._table = table

    def admit(self, address: str, connections: int, per_address: int, *, is_known: bool = False) -> str | None:
        """Count a connection from *address*; or return why it is one too many, and count nothing."""
        table, key = self._table, _address(address)
        with table.lock:
            if refusal := too_many(table.sessions, table.logged_in, connections, is_known):
                return refusal
            if table.count(table.find(key)) >= per_address:
                return "too-many-from-address"
            try:
                table.claim(key)
            except TableFull:
                return self._full()
            table.add_sessions(1)
        self.total += 1
        return None

    def closed(self, address: str) -> None:
        """Count it no longer."""
        self.total -= 1
        with self._table.lock:
            self._table.add_sessions(-1)
            self._table.release(_address(address))

    def may_linger(self, address: str) -> bool:
        """
        Count a connection from *address* that was not admitted and stays open for the refusal; False: one too many.
        """
        table, key = self._table, _refused(address)
        with table.lock:
            if table.count(table.find(ALL_REFUSED)) >= MOST_REFUSED:
                return False
            if table.count(table.find(key)) >= MOST_REFUSED_OF_CLIENT:
                return False
            try:
                table.claim(ALL_REFUSED)
            except TableFull:
                return False
            try:
                table.claim(key)
            except TableFull:
                table.release(ALL_REFUSED)
                return False
        return True

    def lingered(self, address: str) -> None:
        """Count it no longer."""
        with self._table.lock:
            self._table.release(ALL_REFUSED)
            self._table.release(_refused(address))

    def log_in(self, user: str, limit: int | None) -> bool:
        """Count a login of *user*; False, and nothing counted, when *limit* sessions are open already."""
        table, key = self._table, _user(user)
        with table.lock:
            if limit is not None and table.count(table.find(key)) >= limit:
                return False
            try:
                table.claim(key)
            except TableFull:
                self._full()
                return False
            table.add_logged_in(1)
        self.logged_in += 1
        return True

    def log_out(self, user: str) -> None:
        """Count it no longer."""
        self.logged_in -= 1
        with self._table.lock:
            self._table.add_logged_in(-1)
            self._table.release(_user(user))

    def _full(self) -> str:
        log.error("the table of sessions is full: it is made at start for limits.connections; restart after raising it")
        return "too-many-connections"


class SharedDue:
    """The `Due` of a bucket that the sessions of all processes spend from, kept in *slot* of *table*."""

    def __init__(self, table: CountTable, slot: int) -> None:
        self._table = table
        self._slot = slot

    def at(self) -> float:
        """See `Due.at`."""
        return self._table.value(self._slot)

    def put_off(self, seconds: float, earliest: float) -> None:
        """See `Due.put_off`."""
        with self._table.lock:
            self._table.set_value(self._slot, max(self._table.value(self._slot), earliest) + seconds)


class SharedRates:
    """The maker of paces whose user's bucket is shared by all processes."""

    def __init__(self, clock: IReactorTime, table: CountTable) -> None:
        self._clock = clock
        self._table = table
        self._rates = UserRates(clock, self._bucket)

    def pace(self, user: str, direction: Direction, user_rate: int | None, session_rate: int | None) -> Pace:
        """Return the pace of one direction of a new session; rates in bytes per second, None sets none."""
        return self._rates.pace(user, direction, user_rate, session_rate)

    def _bucket(self, user: str, direction: Direction, rate: int) -> Bucket:
        key = f"rate\0{user}\0{direction}\0{rate}"
        try:
            with self._table.lock:
                slot = self._table.claim(key, self._clock.seconds())
        except TableFull:
            # Too slow is a promise kept; too fast is not.
            log.warn("the table of sessions is full: {user} gets a part of the rate in each process", user=user)
            return Bucket(max(1, rate // self._table.processes), self._clock)
        bucket = Bucket(rate, self._clock, SharedDue(self._table, slot))
        # It goes with the last session of this process that holds it.
        weakref.finalize(bucket, _release, self._table, key).atexit = False
        return bucket


def _release(table: CountTable, key: str) -> None:
    with table.lock:
        table.release(key)


def _refused(address: str) -> str:
    return f"refused\0{client_of(address)}"


def _address(address: str) -> str:
    return f"client\0{client_of(address)}"


def _user(user: str) -> str:
    return f"user\0{user}"
