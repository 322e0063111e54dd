"""
The turn of the one process that delivers: a lock beside the state file, which ends with the process that has it.

Processes whose supervisor was killed live on for a moment while the next server starts. Two of them at one workflow
would do its steps twice.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

SUFFIX: Final = "-deliver"
MODE: Final = 0o600


class SoleTurn:
    """The turn beside the state file *path*; None: there is none to share. `take` blocks for a moment."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._fd: int | None = None

    def take(self) -> bool:
        """Take the turn; return whether it is ours. Raises: OSError."""
        if self._path is None or self._fd is not None:
            return True
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self._path.with_name(self._path.name + SUFFIX), flags, MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        return True

    def give_back(self) -> None:
        """Let another process have it."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)
