"""
Faults inside the daemon: its storage's system calls, each of which can be made to fail or to be the process's last.

    {"calls": ["rename", "fsync"], "at": 3, "do": "kill"}          SIGKILL before the third of these calls
    {"calls": ["rename", "fsync"], "at": 3, "do": "hold"}          the third of them is never made, and never ends
    {"calls": ["write"], "at": 1, "do": "EIO", "times": 1}         the first write raises OSError(EIO), once

A plan is a file, `PLAN` in the daemon's folder, which the test replaces whenever it likes; counting begins anew with
each plan. Only the workers that touch files for sessions are counted, or the "threads" of the plan, not the reactor,
the logins or the audit log. The faults done are written to `DONE`, one line a fault. `HALF` of a write means that half
of the bytes are written and told so, as a disk does that is nearly full. "HALF+EIO" is one after the other.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ftpsd.storage.disk import syscalls, turns

PLAN, DONE = "faults.json", "faults.done"
HALF = "HALF"
HOLD = "hold"
WORKERS = ("ftpsd-files", "ftpsd-transfer")
OF_WORKFLOWS = "ftpsd-workflow"

# Everything that leaves the disk in another state than before, and what follows it: a process that dies before the
# call that comes next has died after this one.
CHANGING = (
    "open",
    "write",
    "pwrite",
    "ftruncate",
    "copy_file_range",
    "fchmod",
    "setxattr",
    "removexattr",
    "fsync",
    "rename",
    "renameat2",
    "link",
    "unlink",
    "mkdir",
    "rmdir",
    "utime",
    "flock",
    "close",
)
# The calls that a local disk can refuse: closing is always done.
FAILING = tuple(name for name in CHANGING if name != "close")
READING = ("pread", "preadv", "sendfile", "stat", "fstat", "scandir", "getxattr")

_os_stat, _os_fstat, _os_write, _os_open, _os_close = os.stat, os.fstat, os.write, os.open, os.close


class Faults:
    """Counts the calls of the storage in this process, and does what the plan in *folder* says."""

    def __init__(self, folder: Path) -> None:
        self._plan_file = str(folder / PLAN)
        self._done_file = str(folder / DONE)
        # Collecting garbage while it is held closes directories, which is a call, too.
        self._lock = threading.RLock()
        self._version: tuple[int, int] | None = None
        self._plan: dict[str, Any] = {}
        self._seen = 0

    def install(self) -> None:
        """Put the counting in front of every call."""
        for name in (*CHANGING, *READING):
            if hasattr(os, name):
                setattr(os, name, self._wrapped(name, getattr(os, name)))
        fcntl.flock = self._wrapped("flock", fcntl.flock)
        if syscalls._renameat2 is not None:
            syscalls._renameat2 = self._wrapped("renameat2", syscalls._renameat2)
        # A call that is held keeps its turn, which other names share.
        turns._number = Places().number_of

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            name_of_thread = threading.current_thread().name
            if name_of_thread.startswith((*WORKERS, OF_WORKFLOWS)) and not (name == "write" and is_pipe(arguments[0])):
                fault = self._due(name, name_of_thread)
                if fault == HOLD:
                    threading.Event().wait()
                if fault == HALF:
                    fd, data = arguments
                    return real(fd, data[: max(1, len(data) // 2)])
                if fault is not None:
                    number = getattr(errno, fault)
                    raise OSError(number, os.strerror(number))
            return real(*arguments, **options)

        return call

    def _due(self, name: str, name_of_thread: str) -> str | None:
        """Count the call; return the error that it shall raise, or end the process."""
        with self._lock:
            self._look()
            plan = self._plan
            if name not in plan.get("calls", ()) or not name_of_thread.startswith(plan.get("threads", WORKERS)):
                return None
            self._seen += 1
            steps = plan["do"].split("+")
            turn = self._seen - plan["at"]
            if not 0 <= turn < plan.get("times", 1) * len(steps):
                return None
            step = steps[turn % len(steps)]
            fd = _os_open(self._done_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            _os_write(fd, f"{name}\n".encode())
            _os_close(fd)
            if step == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
                signal.pause()  # it may take a moment; nothing more is to happen
            return str(step)

    def _look(self) -> None:
        """Read the plan when it is another one."""
        try:
            status = _os_stat(self._plan_file)
        except FileNotFoundError:
            return
        version = (status.st_ino, status.st_mtime_ns)
        if version != self._version:
            self._version = version
            self._plan = json.loads(Path(self._plan_file).read_text())
            self._seen = 0


class Places:
    """Numbers for names in directories, each its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: dict[tuple[int, int, bytes], int] = {}

    def number_of(self, name: bytes, directory: int) -> int:
        """Return the number of *name* in the open *directory*."""
        status = _os_fstat(directory)
        with self._lock:
            return self._numbers.setdefault((status.st_dev, status.st_ino, name), len(self._numbers))


def is_pipe(fd: int) -> bool:
    """Tell whether *fd* is the reactor's, by which a worker wakes it."""
    return not stat.S_ISREG(_os_fstat(fd).st_mode)
