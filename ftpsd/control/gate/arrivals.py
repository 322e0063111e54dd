"""
Arrivals: how fast the connections and handshakes of one client come.

A client has a debt in seconds, which grows with every arrival and falls with time: so many may come at once, and then
as many as the rate allows. The table has a fixed size, and may be shared by several processes. In a full bucket the
client with the smallest debt is forgotten: only clients that come faster than others count for longer.
"""

from __future__ import annotations

import mmap
import secrets
import struct
from contextlib import AbstractContextManager
from typing import Final

from ftpsd.auth.slots import DIGEST, SLOTS_IN_BUCKET, Slots
from ftpsd.config.banning import ArrivalRate

CLIENTS = 16_384
# Seconds: a Unix time is exact to a quarter of a microsecond.
ROUNDING = 1e-5
_HEADER = struct.Struct("<q16s")
_DOUBLE = 8


class Arrivals:
    """The debts in *memory* of `size_of` some clients; *lock* is held for microseconds."""

    FORM: Final = f"1:{_HEADER.format}:{DIGEST}:{SLOTS_IN_BUCKET}"
    """As for records (record_table.py)."""

    def __init__(self, memory: mmap.mmap, lock: AbstractContextManager[object]) -> None:
        self._lock = lock
        slots, secret = _HEADER.unpack_from(memory)
        debts = _HEADER.size
        digests = debts + slots * _DOUBLE
        self._paid_at: memoryview[float] = memoryview(memory)[debts:digests].cast("d")
        self._keys = Slots(memory, digests, slots, secret)

    @staticmethod
    def size_of(clients: int = CLIENTS) -> int:
        """Return the bytes for so many *clients*, and no fewer than one bucket of them."""
        return _HEADER.size + _slots(clients) * (_DOUBLE + DIGEST)

    @staticmethod
    def prepare(memory: mmap.mmap, clients: int = CLIENTS) -> None:
        """Make *memory*, zeros, a table without debts."""
        _HEADER.pack_into(memory, 0, _slots(clients), secrets.token_bytes(16))

    def admits(self, key: str, rate: ArrivalRate, now: float) -> bool:
        """Count an arrival of *key* at the time *now*; False, and nothing counted: it is one too many for *rate*."""
        digest, slots = self._keys.place(key)
        with self._lock:
            slot = self._keys.find(digest, slots)
            paid_at = now if slot is None else max(now, self._paid_at[slot])
            if paid_at > now + rate.seconds + ROUNDING:
                paid_at = now  # the clock was set back, which must not keep a client out for ever
            if paid_at + rate.seconds / rate.arrivals > now + rate.seconds + ROUNDING:
                return False
            if slot is None:
                slot = min(slots, key=self._paid_at.__getitem__)
                self._keys.put(slot, digest)
            self._paid_at[slot] = paid_at + rate.seconds / rate.arrivals
        return True


def own_arrivals(clients: int = CLIENTS) -> mmap.mmap:
    """Return memory of this process for the debts of *clients*."""
    memory = mmap.mmap(-1, Arrivals.size_of(clients))
    Arrivals.prepare(memory, clients)
    return memory


def _slots(clients: int) -> int:
    return max(1, clients // SLOTS_IN_BUCKET) * SLOTS_IN_BUCKET
