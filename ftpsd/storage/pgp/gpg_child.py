"""
One gpg that works on a stream: bytes go in and others come out, through pipes that never block.

* `pump` moves what can be moved and waits at most as long as it is told. A gpg that takes nothing makes its caller keep
  the bytes, and so the client wait: no more than the pipes and one piece are in memory.
* gpg reads from a pipe and writes to one, so it makes no temporary file; it turns core dumps off itself.
* The end of our process closes its input and its output, and the kernel kills it besides (key_home.py).
"""

from __future__ import annotations

import fcntl
import os
import select
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic

from ftpsd.storage.pgp.gpg_status import MOST_STATUS, lines_of
from ftpsd.storage.pgp.key_home import KeyHome

# Bytes of a pipe, where the system gives them: gpg and we are woken less often.
PIPE = 256 * 1024
PIECE = 128 * 1024
# Seconds that a killed process may take to be gone.
_GONE = 5.0

Take = Callable[[memoryview], None]


class StatusTooLong(Exception):
    """gpg has said more than it ever should."""


class GpgChild:
    """A gpg with *arguments* on *home*, with an agent where it *needs_agent*. Raises: NoGnuPG, OSError."""

    def __init__(self, home: KeyHome, arguments: Sequence[str], *, needs_agent: bool) -> None:
        self.moved = monotonic()  # when bytes were moved last
        self._status = bytearray()
        self._view = home.view(needs_agent=needs_agent)
        self._poll = select.poll()
        self._buffer = memoryview(bytearray(PIECE))
        self._input = self._output = self._said = -1
        ours: list[int] = []
        theirs: list[int] = []
        try:
            for _ in range(3):
                reading, writing = os.pipe()
                ours.append(reading)
                theirs.append(writing)
            # The first one is gpg's input, so we have the other end of it.
            ours[0], theirs[0] = theirs[0], ours[0]
            for fd in ours:
                os.set_blocking(fd, False)
                with suppress(OSError):
                    fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE)
            status = f"--status-fd={theirs[2]}"
            self._process = subprocess.Popen(
                self._view.command(status, *arguments),
                stdin=theirs[0],
                stdout=theirs[1],
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs[2],),
                env=self._view.environment,
                cwd="/",
                start_new_session=True,
            )
        except BaseException:
            for fd in ours:
                os.close(fd)
            self._view.close()
            raise
        finally:
            for fd in theirs:
                os.close(fd)
        self._input, self._output, self._said = ours
        self._poll.register(self._output, select.POLLIN)
        self._poll.register(self._said, select.POLLIN)
        self._watches_input = False

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code, negative for the signal that ended it; None while it works."""
        return self._process.returncode

    @property
    def status(self) -> list[tuple[str, ...]]:
        """The status lines so far."""
        return lines_of(bytes(self._status))

    def pump(self, data: memoryview, wait: float, take: Take) -> int:
        """
        Give gpg what it takes of *data*, and *take* what it puts out, for up to *wait* s; return how much it took.

        It is over early when gpg has taken all and nothing comes out. A gpg that has ended takes everything. Raises:
        what *take* raises, StatusTooLong.
        """
        deadline = monotonic() + wait
        taken = 0
        while True:
            wants = taken < len(data) and self._input >= 0
            if taken < len(data) and self._input < 0:
                return len(data)
            self._watch_input(wanted=wants)
            pause = max(0.0, deadline - monotonic()) if wants else 0.0
            found = self._poll.poll(pause * 1000)
            for fd, _ in found:
                if fd == self._input:
                    taken += self._give(data[taken:])
                elif fd == self._output:
                    self._read_output(take)
                else:
                    self._read_status()
            if not found or monotonic() >= deadline:
                return taken

    def finish(self, wait: float, take: Take) -> bool:
        """
        Tell gpg that nothing more comes, and read the rest, for up to *wait* s; True when it has ended.

        Raises: what *take* raises, StatusTooLong.
        """
        self._close_input()
        deadline = monotonic() + wait
        while self._output >= 0 or self._said >= 0:
            found = self._poll.poll(max(0.0, deadline - monotonic()) * 1000)
            for fd, _ in found:
                if fd == self._output:
                    self._read_output(take)
                else:
                    self._read_status()
            if not found or (monotonic() >= deadline and (self._output >= 0 or self._said >= 0)):
                return False
        try:
            self._process.wait(max(0.001, deadline - monotonic()))
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self) -> None:
        """End it, whatever it does, and let everything go; idempotent."""
        if self._process.poll() is None:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_GONE)
        self._close_input()
        for fd in (self._output, self._said):
            if fd >= 0:
                os.close(fd)
        self._output = self._said = -1
        self._view.close()

    def _give(self, data: memoryview) -> int:
        try:
            count = os.write(self._input, data)
        except BlockingIOError:
            return 0
        except BrokenPipeError:  # it has ended, and has said why
            self._close_input()
            return len(data)
        self.moved = monotonic()
        return count

    def _read_output(self, take: Take) -> None:
        try:
            count = os.readv(self._output, [self._buffer])
        except BlockingIOError:
            return
        if not count:
            self._output = self._end(self._output)
            return
        self.moved = monotonic()
        take(self._buffer[:count])

    def _read_status(self) -> None:
        try:
            piece = os.read(self._said, 4096)
        except BlockingIOError:
            return
        if not piece:
            self._said = self._end(self._said)
            return
        self._status += piece
        if len(self._status) > MOST_STATUS:
            raise StatusTooLong

    def _watch_input(self, *, wanted: bool) -> None:
        if wanted and not self._watches_input:
            self._poll.register(self._input, select.POLLOUT)
        elif self._watches_input and not wanted and self._input >= 0:
            self._poll.unregister(self._input)
        self._watches_input = wanted

    def _close_input(self) -> None:
        if self._input >= 0:
            self._watch_input(wanted=False)
            os.close(self._input)
            self._input = -1

    def _end(self, fd: int) -> int:
        self._poll.unregister(fd)
        os.close(fd)
        return -1
