"""
Locks that processes share: a byte of a file that all of them have open.

They are the kernel's (fcntl record locks), so they die with their holder. They are owned by the process: between its
own threads a lock of Python's comes first. No process may close any of its descriptors of the file, which would drop
every lock it holds there.
"""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
import threading
import time
from contextlib import AbstractContextManager
from types import TracebackType

# Seconds.
BEFORE_NEXT_TRY = 0.0005
# Each byte of the file locks something: changes of the table of counts, of the homes, a line of the audit log, the
# configuration being replaced. The numbers are the same in every version: an upgrade leaves the file to the next one.
LOCK_TABLE, LOCK_HOMES, LOCK_AUDIT, LOCK_CONFIGURATION = range(4)
# The turns of storage/disk/turns.py begin here.
LOCK_TURNS = 64


class ByteLock(AbstractContextManager[None]):
    """
    The lock of byte number *byte* of the file *fd*; held for microseconds by code of the reactor thread.

    The thread that has it may take it again: finalizers run by the garbage collector may need it at any moment.
    """

    def __init__(self, fd: int, byte: int) -> None:
        self._fd = fd
        self._byte = byte
        self._own = threading.RLock()
        self._depth = 0

    def __enter__(self) -> None:
        self._own.acquire()
        try:
            if self._depth == 0:
                self._take()
        except BaseException:
            self._own.release()
            raise
        self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, self._byte)
        self._own.release()

    def _take(self) -> None:
        while True:
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX, 1, self._byte)
            except OSError as error:
                # The kernel knows processes and not their threads. Two processes whose threads wait for locks that
                # other threads of the other process hold look like a ring to it; the other threads go on.
                if error.errno != errno.EDEADLK:
                    raise
                time.sleep(BEFORE_NEXT_TRY)
            else:
                return


def nameless_file(size: int = 0) -> int:
    """Return a descriptor of a file of *size* zeros that has no name and goes with the last process that has it."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("ftpsd", os.MFD_CLOEXEC)
    else:  # macOS
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, size)
    return fd
