"""
Turns: threads and processes that look at a name and then change it, one after the other.

Names share locks. The locks keep the threads of one process apart; where several processes serve the same trees they
are given locks that all of them share, before the first storage is opened.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from zlib import crc32

LOCKS = 64

Lock = AbstractContextManager[object]


class Turns:
    """The locks of one kind of turn."""

    def __init__(self) -> None:
        self._locks: Sequence[Lock] = tuple(threading.Lock() for _ in range(LOCKS))

    def share(self, locks: Sequence[Lock]) -> None:
        """Take turns by *locks* from now on, `LOCKS` of them; no thread may have a turn."""
        self._locks = tuple(locks)

    def of(self, name: bytes) -> Lock:
        """Return the lock for *name*."""
        return self._locks[_number(name)]

    @contextmanager
    def of_both(self, first: bytes, second: bytes) -> Iterator[None]:
        """Hold the locks of two names, which may be the same or share one."""
        with ExitStack() as held:
            for number in sorted({_number(first), _number(second)}):  # one order for all, so that none waits in a ring
                held.enter_context(self._locks[number])
            yield


# A name is looked at and then replaced.
REPLACING = Turns()
# A partial is made and reported (storage/uploads/partial.py).
MAKING = Turns()


def _number(name: bytes) -> int:
    # hash() is another one in every process.
    return crc32(name) % LOCKS
