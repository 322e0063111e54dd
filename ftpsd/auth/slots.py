"""
The slots of keys in a table of memory, which several processes may share.

A key is known by a keyed hash and lies in one of the 32 slots of its bucket, so no client can choose keys that share
one. The table decides which slots are free.
"""

from __future__ import annotations

import mmap
from hashlib import blake2b

SLOTS_IN_BUCKET = 32
DIGEST = 16


class Slots:
    """The digests of the keys in *slots* slots, in *memory* from byte *start* on; *secret* is the key of the hash."""

    def __init__(self, memory: mmap.mmap, start: int, slots: int, secret: bytes) -> None:
        self._memory = memory
        self._start = start
        self._count = slots // SLOTS_IN_BUCKET
        self._secret = secret

    def place(self, key: str) -> tuple[bytes, range]:
        """Return the digest of *key* and the slots of its bucket."""
        digest = blake2b(key.encode("utf-8", "surrogateescape"), digest_size=DIGEST, key=self._secret).digest()
        first = int.from_bytes(digest[:8], "little") % self._count * SLOTS_IN_BUCKET
        return digest, range(first, first + SLOTS_IN_BUCKET)

    def find(self, digest: bytes, slots: range) -> int | None:
        """Return which of *slots* has *digest*."""
        begin, end = (self._start + slot * DIGEST for slot in (slots.start, slots.stop))
        place = self._memory.find(digest, begin, end)
        while place >= 0:
            slot, rest = divmod(place - self._start, DIGEST)
            if rest == 0:
                return slot
            place = self._memory.find(digest, place + 1, end)
        return None

    def put(self, slot: int, digest: bytes) -> None:
        """Let *slot* have *digest*."""
        place = self._start + slot * DIGEST
        self._memory[place : place + DIGEST] = digest
