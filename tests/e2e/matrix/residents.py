"""
Processes of clients that do one job after the other, and load what takes long (a JVM, Twisted, OTP) once.

A job is as it is with a process of its own: another user, connections and TLS sessions of its own. A resident reads
the folder of a job from its standard input, a line each; in the folder are the operations and `job.env`, which stands
for the environment. It ends what it prints with a line of \\x1e and the exit code that a process would have had.
"""

from __future__ import annotations

import atexit
import os
import re
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

ENVIRONMENT_FILE = "job.env"
END = re.compile(rb"\x1e(-?\d+)\n$")


@cache
def resident(arguments: tuple[str, ...], environ: tuple[tuple[str, str], ...]) -> Resident:
    """Return the process that runs *arguments*, started when it is wanted first."""
    made = Resident(arguments, dict(environ))
    atexit.register(made.kill)
    return made


class Resident:
    """One of them; started anew where a job has ended it."""

    def __init__(self, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
        self._arguments = arguments
        self._environ = environ
        self._errors = os.memfd_create("errors")
        self._process: subprocess.Popen[bytes] | None = None

    def work(self, folder: Path, environ: Mapping[str, str], seconds: float) -> tuple[int, str, str]:
        """Let it do the job in *folder*; return the exit code and both streams."""
        (folder / ENVIRONMENT_FILE).write_text("".join(f"{key}={value}\n" for key, value in environ.items()))
        if self._process is None or self._process.poll() is not None:
            self._process = self._started()
        os.ftruncate(self._errors, 0)
        os.lseek(self._errors, 0, os.SEEK_SET)
        assert self._process.stdin is not None
        self._process.stdin.write(os.fsencode(folder) + b"\n")
        self._process.stdin.flush()
        said = self._answer(self._process, seconds)
        ended = END.search(said)
        if ended is None:  # it hangs, or has gone
            self.kill()
        code = int(ended[1]) if ended else -1
        out = END.sub(b"", said).decode("utf-8", "replace")
        errors = os.pread(self._errors, 1 << 20, 0).decode("utf-8", "replace")
        return code, out, errors if ended else f"{errors}\n[dead, or not done after {seconds} s]"

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._arguments,
            env=self._environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )

    def _answer(self, process: subprocess.Popen[bytes], seconds: float) -> bytes:
        assert process.stdout is not None
        fd, said, deadline = process.stdout.fileno(), b"", time.monotonic() + seconds
        while END.search(said) is None and (left := deadline - time.monotonic()) > 0:
            if select.select([fd], [], [], left)[0]:
                piece = os.read(fd, 65536)
                if not piece:
                    break
                said += piece
        return said

    def kill(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
