"""
Turns: threads and processes that look at a name and then change it, one after the other.

Names of one file system share locks, those of two never do: a call that hangs in its turn holds up nobody elsewhere.
The locks keep the threads of one process apart; where several processes serve the same trees they are given locks that
all of them share, before the first storage is opened.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from zlib import crc32

# Of one file system, and file systems that are told apart; a lock is made when its turn first comes.
_NAMES, _FILE_SYSTEMS = 64, 1024
LOCKS = _NAMES * _FILE_SYSTEMS

Lock = AbstractContextManager[object]


class Turns:
    """The locks of one kind of turn, for names in open directories."""

    def __init__(self) -> None:
        self._make: Callable[[int], Lock] = lambda _: threading.Lock()
        self._locks: dict[int, Lock] = {}

    def share(self, make: Callable[[int], Lock]) -> None:
        """Take turns by locks that *make* makes from now on, from numbers below `LOCKS`; no thread may have a turn."""
        self._make = make
        self._locks = {}

    def of(self, name: bytes, directory: int) -> Lock:
        """Return the lock for *name* in *directory*."""
        return self._lock(_number(name, directory))

    @contextmanager
    def of_both(self, first: tuple[bytes, int], second: tuple[bytes, int]) -> Iterator[None]:
        """Hold the locks of two names, each with its directory, which may be the same or share one."""
        with ExitStack() as held:
            for number in sorted({_number(*first), _number(*second)}):  # one order for all: none waits in a ring
                held.enter_context(self._lock(number))
            yield

    def _lock(self, number: int) -> Lock:
        lock = self._locks.get(number)
        return self._locks.setdefault(number, self._make(number)) if lock is None else lock


# A name is looked at and then replaced.
REPLACING = Turns()
# A partial is made and reported (storage/uploads/partial.py).
MAKING = Turns()


def _number(name: bytes, directory: int) -> int:
    device = os.fstat(directory).st_dev
    # Numbers of file systems without a disk of their own (NFS, FUSE, tmpfs) follow each other.
    file_system = (os.minor(device) + 251 * os.major(device)) % _FILE_SYSTEMS
    # hash() is another one in every process.
    return file_system * _NAMES + crc32(name) % _NAMES
