"""Forked daemons, as `subprocess.Popen` would show them; nursery.py is the process that they come from."""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
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

    def start(self, daemon: Path, config: Path, environ: Mapping[str, str], *, has_faults: bool = False) -> Forked:
        """Fork a daemon with *config* in the folder *daemon*."""
        (daemon / "stderr").write_bytes(b"")  # not what the one before has said
        wanted = {"folder": str(daemon), "config": str(config), "environ": dict(environ), "faults": has_faults}
        pid = self.ask({"start": wanted})
        assert pid is not None
        return Forked(self, pid)

    def close(self) -> None:
        """End it and all that came from it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


class Forked:
    """A forked daemon, as `subprocess.Popen` would show it."""

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
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            assert time.monotonic() < deadline, f"the daemon still runs after {timeout} s"
            time.sleep(0.002)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)
