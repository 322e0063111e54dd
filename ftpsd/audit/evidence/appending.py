"""
Lines that a command adds to the audit log from its own process, beside the daemon or without it.

In a chained log such a line is numbered, linked and signed by the same writer as the daemon's lines, under the lock of
the file. It is signed at once, for the daemon may be stopped, and a command is over when it is over.
"""

from __future__ import annotations

import os
from pathlib import Path

from ftpsd.audit.evidence.hash_chain import Chain


class Appending:
    """
    The log at *path*, opened to be appended to until the command ends; it is not made, for the daemon has to own it.

    Raises: OSError where it cannot be opened.
    """

    def __init__(self, path: Path, chain: Chain | None) -> None:
        self._chain = chain
        # A chain is read at its end, to go on from there.
        access = os.O_WRONLY if chain is None else os.O_RDWR
        self._fd = os.open(path, access | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY | os.O_NONBLOCK)
        if chain is not None:
            try:
                chain.check(self._fd)
            except OSError:
                os.close(self._fd)
                raise

    def append(self, line: bytes) -> None:
        """Write *line*, and have it on the disk. Raises: OSError."""
        if self._chain is None:
            # One write to the end of the file, as the daemon's lines are.
            self._write(line)
            os.fsync(self._fd)
            return
        with self._chain.alone(lambda: self._fd):
            fresh = self._chain.follow(self._fd, is_ordered=False)
            if fresh is not None:
                os.close(self._fd)
                self._fd = fresh
            framed = self._chain.frame(self._fd, [line], is_last=False)
            is_whole = False
            try:
                self._write(b"".join((framed.before, *framed.lines, framed.behind)))
                is_whole = True
            finally:
                self._chain.written(self._fd, is_whole)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._fd, rest) :]
