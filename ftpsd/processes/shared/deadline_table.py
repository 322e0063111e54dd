"""
Deadlines that hold for all processes of a server (auth/deadlines.py), in memory that they share.

A deadline outlives the process that has set it. A full bucket forgets the one that ends first.
"""

from __future__ import annotations

import mmap
import os
import secrets
import struct

from twisted.internet.interfaces import IReactorTime

from ftpsd.auth.slots import DIGEST, SLOTS_IN_BUCKET, Slots
from ftpsd.durable.byte_lock import ByteLock, nameless_file

WORD = 8
_HEADER = struct.Struct("q16s32s")


class DeadlineTable:
    """The table in the file *fd*, seen by one process; *clock* is the machine's. Every process knows its *secret*."""

    def __init__(self, fd: int, clock: IReactorTime) -> None:
        self.fd = fd
        self._clock = clock
        self._lock = ByteLock(fd, 0)
        memory = mmap.mmap(fd, os.fstat(fd).st_size)
        slots, key, self.secret = _HEADER.unpack_from(memory)
        digests = _HEADER.size + slots * WORD
        self._ends: memoryview[float] = memoryview(memory)[_HEADER.size : digests].cast("d")
        self._keys = Slots(memory, digests, slots, key)

    @classmethod
    def create(cls, keys: int, clock: IReactorTime) -> DeadlineTable:
        """Make a table for at most so many *keys*, and no fewer than one bucket of them."""
        slots = max(1, keys // SLOTS_IN_BUCKET) * SLOTS_IN_BUCKET
        fd = nameless_file(_HEADER.size + slots * (WORD + DIGEST))
        os.pwrite(fd, _HEADER.pack(slots, secrets.token_bytes(16), secrets.token_bytes(32)), 0)
        return cls(fd, clock)

    def until(self, key: str) -> float:
        """Return the deadline of *key*; 0 when there is none, or it is over."""
        digest, slots = self._keys.place(key)
        with self._lock:
            slot = self._keys.find(digest, slots)
            end = 0.0 if slot is None else self._ends[slot]
        return end if end > self._clock.seconds() else 0.0

    def set(self, key: str, until: float) -> None:
        """Give *key* the deadline *until*, in place of the one it has; one in the past ends it."""
        digest, slots = self._keys.place(key)
        with self._lock:
            slot = self._keys.find(digest, slots)
            if slot is None:
                slot = min(slots, key=self._ends.__getitem__)
                if self._ends[slot] > max(until, self._clock.seconds()):
                    return
                # In this order: a process that dies in between leaves no key with the deadline of another.
                self._ends[slot] = 0.0
                self._keys.put(slot, digest)
            self._ends[slot] = until
