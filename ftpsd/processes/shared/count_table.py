"""
The table of counts that all processes share: the count of each key in every one of them.

It is memory without a name (durable/byte_lock.py), mapped by all. A process writes into its own column only, and the
sum over the columns is the whole server's. When a process dies the supervisor clears its column: nothing it held
outlives it.

A slot (slots.py) whose columns are all zero is free; a full bucket takes no further key, and the caller has to refuse.
Every change is made under the table's lock, which is held for some microseconds; counts are single words, which reading
without the lock finds whole.
"""

from __future__ import annotations

import mmap
import os
import secrets
import struct

from ftpsd.auth.slots import DIGEST, SLOTS_IN_BUCKET, Slots
from ftpsd.durable.byte_lock import LOCK_TABLE, ByteLock, nameless_file

WORD = 8
_HEADER = struct.Struct("qq16s")


class TableFull(Exception):
    """There is no room for one more key: more connections than the table was made for."""


class CountTable:
    """The table in the file *fd*, seen by the process with the number *column*; the supervisor has none."""

    def __init__(self, fd: int, column: int | None = None) -> None:
        self.fd = fd
        self.lock = ByteLock(fd, LOCK_TABLE)
        self._map = mmap.mmap(fd, os.fstat(fd).st_size)
        self._slots, self.processes, secret = _HEADER.unpack_from(self._map)
        view = memoryview(self._map)
        place = _HEADER.size

        def words(count: int) -> memoryview[int]:
            nonlocal place
            begin, place = place, place + count * WORD
            return view[begin:place]

        self._sessions = words(self.processes).cast("q")
        self._logged_in = words(self.processes).cast("q")
        self._serving = words(self.processes).cast("q")
        self._values = words(self._slots).cast("d")
        self._columns = [words(self._slots).cast("q") for _ in range(self.processes)]
        self._keys = Slots(self._map, place, self._slots, secret)
        self.column = column

    @classmethod
    def create(cls, processes: int, keys: int) -> CountTable:
        """Make a table for that many *processes* and *keys*; most of it stays untouched, and so takes no memory."""
        # Four slots a key: a bucket overflows when 32 keys meet where 8 are expected, once in 10^10.
        slots = max(1, -(-4 * keys // SLOTS_IN_BUCKET)) * SLOTS_IN_BUCKET
        words = 3 * processes + slots * (1 + processes)
        fd = nameless_file(_HEADER.size + words * WORD + slots * DIGEST)
        os.pwrite(fd, _HEADER.pack(slots, processes, secrets.token_bytes(16)), 0)
        return cls(fd)

    # --- keys; with the lock held, unless said otherwise

    def find(self, key: str) -> int | None:
        """Return the slot of *key*."""
        return self._keys.find(*self._keys.place(key))

    def claim(self, key: str, value: float = 0.0) -> int:
        """
        Add one to *key* in the own column and return its slot; it begins with *value*.

        Raises: TableFull.
        """
        digest, slots = self._keys.place(key)
        slot = self._keys.find(digest, slots)
        if slot is None:
            slot = next((each for each in slots if not self.count(each)), None)
            if slot is None:
                raise TableFull
            self._keys.put(slot, digest)
        if not self.count(slot):
            self._values[slot] = value
        self._own[slot] += 1
        return slot

    def release(self, key: str) -> None:
        """Take one of *key* from the own column."""
        slot = self.find(key)
        if slot is not None and self._own[slot] > 0:
            self._own[slot] -= 1

    def count(self, slot: int | None) -> int:
        """Return how many there are in all processes; none without a slot."""
        return 0 if slot is None else sum(column[slot] for column in self._columns)

    def value(self, slot: int) -> float:
        """Return the number kept in *slot*; needs no lock."""
        return self._values[slot]

    def set_value(self, slot: int, value: float) -> None:
        """Keep *value* in *slot*, for as long as a session counts there."""
        self._values[slot] = value

    # --- sessions

    @property
    def sessions(self) -> int:
        """The number of sessions in all processes; needs no lock."""
        return sum(self._sessions)

    def add_sessions(self, count: int) -> None:
        """Add to the sessions of this process, with the lock held."""
        assert self.column is not None
        self._sessions[self.column] += count

    @property
    def logged_in(self) -> int:
        """The number of sessions with a user; needs no lock."""
        return sum(self._logged_in)

    def add_logged_in(self, count: int) -> None:
        """Add to the sessions of this process that have a user, with the lock held."""
        assert self.column is not None
        self._logged_in[self.column] += count

    def serves(self, is_serving: bool) -> None:
        """Note whether this process accepts connections."""
        assert self.column is not None
        self._serving[self.column] = int(is_serving)

    def sessions_of(self, column: int) -> int:
        """Return how many sessions one process has; needs no lock."""
        return self._sessions[column]

    @property
    def surplus(self) -> int:
        """The sessions of this process beyond those of the accepting process with the fewest; needs no lock."""
        assert self.column is not None
        serving = [count for count, serves in zip(self._sessions, self._serving, strict=True) if serves]
        return self._sessions[self.column] - min(serving, default=0)

    # --- the supervisor's

    def clear(self, column: int) -> None:
        """Forget all counts of the process with that number; it is dead."""
        with self.lock:
            self._sessions[column] = self._logged_in[column] = self._serving[column] = 0
            self._columns[column][:] = memoryview(bytes(self._slots * WORD)).cast("q")

    @property
    def _own(self) -> memoryview[int]:
        assert self.column is not None
        return self._columns[self.column]
