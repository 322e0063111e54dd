"""
Forked daemons and commands, as `subprocess` would show them; nursery.py is the process that they come from.

    ftpsd("user", "show", "alice", "--config", path)     ->  a CompletedProcess, as of the installed `ftpsd`
"""

from __future__ import annotations

import atexit
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

from tests.tools import ROOT


@cache
def nursery() -> Nursery:
    """Return the nursery of this process, made when the first daemon is started."""
    made = Nursery()
    atexit.register(made.close)
    return made


class Nursery:
    """The process that daemons are forked from; may be used by several threads."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.nursery"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lock = threading.Lock()

    def ask(self, request: Mapping[str, Any]) -> int | None:
        """Send a request and return the answer."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with self._lock:
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
            return cast("int | None", json.loads(stdout.readline()))

    def start(
        self,
        daemon: Path,
        config: Path,
        environ: Mapping[str, str],
        *,
        has_faults: bool = False,
        is_upgraded: bool = False,
    ) -> Forked:
        """Fork a daemon with *config* in the folder *daemon*; one that *is_upgraded* forks its successors."""
        (daemon / "stderr").write_bytes(b"")  # not what the one before has said
        words = ["serve", "--config", str(config)]
        return self.fork(words, daemon, here=daemon, environ=environ, has_faults=has_faults, is_upgraded=is_upgraded)

    def fork(
        self,
        words: Sequence[str],
        folder: Path,
        *,
        here: Path,
        environ: Mapping[str, str],
        has_faults: bool = False,
        is_upgraded: bool = False,
    ) -> Forked:
        """Fork `ftpsd` with *words*, whose streams are in *folder*, to run in *here*."""
        wanted = {"words": list(words), "folder": str(folder), "here": str(here), "environ": dict(environ)}
        pid = self.ask({"start": {**wanted, "faults": has_faults, "upgraded": is_upgraded}})
        assert pid is not None
        return Forked(self, pid)

    def close(self) -> None:
        """End it and all that came from it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


class Forked:
    """A forked process, as `subprocess.Popen` would show it."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self._nursery = nursery
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        if self.returncode is None:
            self.returncode = self._nursery.ask({"poll": self.pid})
        return self.returncode

    def wait(self, timeout: float = 60.0) -> int:
        """Wait for its end."""
        if self.poll() is None:
            # It is there, as a zombie at least, until the nursery is asked again.
            pidfd = os.pidfd_open(self.pid)
            try:
                assert select.select([pidfd], [], [], timeout)[0], f"it still runs after {timeout} s"
            finally:
                os.close(pidfd)
        code = self.poll()
        assert code is not None
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)


class Command:
    """A command of `ftpsd` that has been started; *input* is what it reads."""

    def __init__(
        self, *words: object, environ: Mapping[str, str] | None = None, input: str | bytes | None = None
    ) -> None:
        self._words = [str(word) for word in words]
        self._folder = Path(tempfile.mkdtemp(prefix="ftpsd-command-"))
        if input is not None:
            (self._folder / "stdin").write_bytes(input.encode() if isinstance(input, str) else input)
        given = dict(os.environ if environ is None else environ)
        self._forked = nursery().fork(self._words, self._folder, here=ROOT, environ=given)

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        return self._forked.poll()

    def kill(self) -> None:
        """Kill it."""
        self._forked.kill()

    def wait(self, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Wait for its end; return how it ended, and what it said."""
        try:
            code = self._forked.wait(timeout)
            out, errors = ((self._folder / name).read_text() for name in ("stdout", "stderr"))
        finally:
            self._forked.kill()
            shutil.rmtree(self._folder)
        return subprocess.CompletedProcess(self._words, code, out, errors)


def ftpsd(
    *words: object, environ: Mapping[str, str] | None = None, input: str | bytes | None = None, patience: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run a command of `ftpsd`, for *patience* seconds at most; return how it ended, and what it said."""
    return Command(*words, environ=environ, input=input).wait(patience)
