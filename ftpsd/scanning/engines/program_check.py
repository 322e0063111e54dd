"""
The operator's program as an engine: it reads the file from its standard input and says with its exit code whether that
is taken: 0 is yes, 1 is no, and everything else is a failure. The first line of its output says why.

It runs without a shell, with an environment of its own (PATH, LANG, FTPSD_USER, FTPSD_PATH) and in a process group that
is killed when it takes too long. At most `MOST` run in a process of the server; others wait for their turn.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from threading import BoundedSemaphore
from time import monotonic
from typing import IO

from ftpsd.scanning.verdict import OFFER, EngineFailed, Verdict, Word, said

MOST = 16
MOST_OUTPUT = 4096
# Bytes of its pipe, as Linux lets everybody have; 64 KiB at first.
_PIPE = 1 << 20
_turns = BoundedSemaphore(MOST)
YES, NO = 0, 1


class Program:
    """The program of the argument vector *arguments*, which may do nothing for *timeout* seconds; *environ* is its."""

    def __init__(self, arguments: Sequence[str], timeout: float, environ: Mapping[str, str]) -> None:
        self.name = f"program:{arguments[0]}"
        self._arguments = tuple(arguments)
        self._timeout = timeout
        self._environ = environ

    def begin(self) -> Run:
        """Begin to show it a file."""
        return Run(self.name, self._arguments, self._timeout, self._environ)


class Run:
    """One file on its way through the program."""

    signatures = ""

    def __init__(self, name: str, arguments: Sequence[str], timeout: float, environ: Mapping[str, str]) -> None:
        self._name = name
        self._arguments = arguments
        self._timeout = timeout
        self._environ = environ
        self._process: subprocess.Popen[bytes] | None = None
        self._has_turn = False
        self._is_taking = True
        self._output = bytearray()
        self._since = monotonic()

    def offer(self, data: memoryview | bytes, /) -> int:
        """See `Conversation.offer`."""
        process = self._started()
        if process is None:
            return self._no_progress()
        assert process.stdin is not None
        if process.stdin.closed:
            return len(data)
        view, taken, end = memoryview(data), 0, monotonic() + OFFER
        while taken < len(view):
            self._read(process)
            try:
                taken += os.write(process.stdin.fileno(), view[taken:])
            except BlockingIOError:
                # One that took some the last time empties its pipe at once; one that hangs costs its worker this once.
                if not (self._is_taking and self._waited(process.stdin, end - monotonic())):
                    self._is_taking = False
                    break
            except BrokenPipeError:  # it needs no more
                process.stdin.close()
                return len(data)
            else:
                self._is_taking, self._since = True, monotonic()
        return taken or self._no_progress()

    @staticmethod
    def _waited(pipe: IO[bytes], wait: float) -> bool:
        """Wait until *pipe* can be written to; False when that takes longer than *wait* seconds."""
        poll = select.poll()
        poll.register(pipe, select.POLLOUT)
        return wait > 0 and bool(poll.poll(wait * 1000))

    def early(self) -> Verdict | None:
        """See `Conversation.early`."""
        return None

    def answer(self, wait: float, /) -> Verdict | None:
        """See `Conversation.answer`."""
        process = self._started()
        if process is None:
            self._no_progress()
            return None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        if wait > 0:
            poll = select.poll()
            poll.register(process.stdout, select.POLLIN)
            poll.poll(wait * 1000)
        self._read(process)
        code = process.poll()
        if code is None:
            self._no_progress()
            return None
        first = said(bytes(self._output).partition(b"\n")[0].strip())
        if code not in (YES, NO):
            raise EngineFailed(f"it ended with {code}")
        return Verdict(Word.CLEAN if code == YES else Word.PROGRAM, self._name, "", first)

    def close(self) -> None:
        """See `Conversation.close`; a program that still runs is killed, with all that it has started."""
        process, self._process = self._process, None
        if process is not None:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(1)
        if self._has_turn:
            self._has_turn = False
            _turns.release()

    def _started(self) -> subprocess.Popen[bytes] | None:
        """Return it, None while others have all turns. Raises: EngineFailed."""
        if self._process is not None:
            return self._process
        if not _turns.acquire(blocking=False):
            return None
        self._has_turn = True
        try:
            process = subprocess.Popen(
                self._arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._environ,
                cwd="/",
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise EngineFailed(f"it cannot be run: {error.strerror}") from error
        self._process = process
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
        with suppress(OSError, AttributeError):  # beyond what the machine allows; another system
            assert process.stdin is not None
            fcntl.fcntl(process.stdin, fcntl.F_SETPIPE_SZ, _PIPE)
        return process

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        """Read what it has said, of which the beginning is kept, so that it never waits for us."""
        assert process.stdout is not None
        with suppress(BlockingIOError):
            data = os.read(process.stdout.fileno(), 65536)
            self._output += data[: MOST_OUTPUT - len(self._output)]

    def _no_progress(self) -> int:
        if monotonic() - self._since > self._timeout:
            raise EngineFailed(f"silent for {self._timeout:g} s")
        return 0
