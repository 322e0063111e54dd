"""
Child processes of the tour: forked, so that they have all code loaded, and in sessions of their own.

Ctrl-C on the terminal reaches the tour alone, which then ends its children. Where the tour is killed, the kernel ends
them, on Linux. Fork before the first thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

PAUSE: Final = 0.02
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# prctl(2)
_PR_SET_PDEATHSIG: Final = 1
_libc = ctypes.CDLL(None)


class Child(Protocol):
    """A process that can be ended."""

    def end(self, seconds: float = 10.0) -> None:
        """Ask the process to end, and kill it after so many *seconds*."""


class Offshoot:
    """A forked process that does *work*, whose result is its exit code; what it says is in the file *said*."""

    def __init__(self, work: Callable[[], int], said: Path) -> None:
        self.code: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        tour = os.getpid()
        # The tour's handlers would have the child do what the tour does at its end.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self._pid = os.fork()
        if self._pid == 0:
            _be_child(work, said, tour)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        if self.code is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def wait(self, seconds: float) -> int | None:
        """Wait for its end; return its exit code, None where it still runs."""
        until = time.monotonic() + seconds
        while self.poll() is None and time.monotonic() < until:
            time.sleep(PAUSE)
        return self.code

    def end(self, seconds: float = 10.0) -> None:
        """Ask the process to end, and kill it after so many *seconds*."""
        if self.poll() is None:
            os.kill(self._pid, signal.SIGTERM)
            if self.wait(seconds) is None:
                os.kill(self._pid, signal.SIGKILL)
                self.wait(seconds)


class Program:
    """Another program, *words*, in a session of its own."""

    def __init__(self, words: Sequence[str], said: Path) -> None:
        tour = os.getpid()
        with open(said, "ab") as out:
            self._process = subprocess.Popen(
                [*words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                preexec_fn=lambda: _end_with(tour),
            )

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        return self._process.poll()

    def end(self, seconds: float = 10.0) -> None:
        """Ask the process to end, and kill it after so many *seconds*."""
        self._process.terminate()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _end_with(tour: int) -> None:
    """Have the kernel end this process, a child of the process *tour*, with that one."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != tour:
        os._exit(1)  # it has ended meanwhile


def _be_child(work: Callable[[], int], said: Path, tour: int) -> None:
    """Do *work* in the process that was forked, and end it."""
    code = 1
    try:
        os.setsid()
        _end_with(tour)
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        nothing = os.open(os.devnull, os.O_RDONLY)
        out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        for source, target in ((nothing, 0), (out, 1), (out, 2)):
            os.dup2(source, target)
        code = work()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        # No buffer of the tour's is written a second time, no clean-up of the tour's is done here.
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
