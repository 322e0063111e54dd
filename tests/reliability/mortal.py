"""A daemon that can be killed and started again at once, and whose system calls fail when a test wants it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from tests.e2e.daemon import Daemon
from tests.e2e.polling import eventually
from tests.reliability.faults import CHANGING, DONE, PLAN
from tests.tools import ROOT


class Nursery:
    """The process that daemons are forked from; may be used by several threads."""

    def __init__(self) -> None:
        environ = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
        environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.reliability.nursery"],
            cwd=ROOT,
            env=environ,
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


class MortalDaemon(Daemon):
    """A daemon from the nursery; give it *nursery* and *has_faults* before it is started."""

    nursery: Nursery
    has_faults = True

    def spawn(self, *, pass_fds: Sequence[int] = (), before: Sequence[str] = ()) -> None:
        """Fork it and wait for nothing."""
        assert not pass_fds
        assert not before
        (self.folder / "stderr").write_bytes(b"")  # not what the one before has said
        wanted = {"folder": str(self.folder), "config": str(self.config_file), "faults": self.has_faults}
        pid = self.nursery.ask({"start": wanted})
        assert pid is not None
        self.process = cast("subprocess.Popen[bytes]", Forked(self.nursery, pid))

    def sigkill(self) -> None:
        """Kill it as the kernel would, and wait for its end."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def restart(self, changes: Mapping[str, Any] | None = None) -> None:
        """Start it again, with *changes* to its configuration, after it has died; without a plan."""
        assert self.exit_code is not None
        if changes is not None:
            self._changes = {**self._changes, **changes}
            self.write_config()
        self.forget_plan()
        self.start()

    def plan(self, do: str, at: int = 1, calls: Sequence[str] = CHANGING, *, times: int = 1) -> None:
        """Have the *at*-th of the system *calls* from now on, and *times* in all, fail; see faults.py."""
        (self.folder / DONE).unlink(missing_ok=True)
        self._use_plan({"calls": list(calls), "at": at, "do": do, "times": times})

    def forget_plan(self) -> None:
        """Have no call fail from now on; what has failed stays known."""
        self._use_plan({})

    def _use_plan(self, plan: Mapping[str, Any]) -> None:
        new = self.folder / "faults.new"
        new.write_text(json.dumps(plan))
        new.rename(self.folder / PLAN)

    @property
    def faults(self) -> list[str]:
        """The calls that have failed, or were the last, since the plan was made."""
        file = self.folder / DONE
        return file.read_text().splitlines() if file.exists() else []

    def opened(self, home: Path) -> list[str]:
        """Return what it has open in *home*, and *home* itself, once for each descriptor."""
        assert self.process is not None
        links = []
        for descriptor in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed since
                links.append(os.readlink(descriptor))
        return sorted(link for link in links if link.startswith(str(home)))

    def wait_until_dead(self) -> None:
        """Wait until a fault has killed it."""
        eventually(lambda: self.exit_code is not None, "the daemon has died")


def leftovers(home: Path, *expected: str) -> list[str]:
    """Return the names below *home* that are not among the *expected* ones."""
    found = (str(path.relative_to(home)) for path in home.rglob("*"))
    return sorted(name for name in found if name not in expected)
