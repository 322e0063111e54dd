"""A daemon that can be killed and started again at once, and whose system calls fail when a test wants it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from tests.e2e.daemon import Daemon
from tests.e2e.forked import nursery
from tests.e2e.polling import eventually
from tests.reliability.faults import CHANGING, DONE, PLAN


class MortalDaemon(Daemon):
    """A daemon from the nursery; set *has_faults* before it is started."""

    has_faults = True

    def spawn(self, *, pass_fds: Sequence[int] = (), before: Sequence[str] = ()) -> None:
        """Fork it and wait for nothing."""
        assert not pass_fds
        assert not before
        forked = nursery().start(self.folder, self.config_file, self.environ, has_faults=self.has_faults)
        self.process = cast("subprocess.Popen[bytes]", forked)

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

    def plan(
        self, do: str, at: int = 1, calls: Sequence[str] = CHANGING, *, times: int = 1, threads: str | None = None
    ) -> None:
        """Have the *at*-th of the system *calls* from now on, and *times* in all, fail; see faults.py."""
        (self.folder / DONE).unlink(missing_ok=True)
        of = {} if threads is None else {"threads": threads}
        self._use_plan({"calls": list(calls), "at": at, "do": do, "times": times, **of})

    def forget_plan(self) -> None:
        """Have no call fail from now on; what has failed stays known."""
        self._use_plan({})

    def _use_plan(self, plan: Mapping[str, Any]) -> None:
        written_plan(self.folder, plan)

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


def written_plan(folder: Path, plan: Mapping[str, Any]) -> None:
    """Have the faults in *folder* follow *plan* from now on."""
    new = folder / "faults.new"
    new.write_text(json.dumps(plan))
    new.rename(folder / PLAN)


def leftovers(home: Path, *expected: str) -> list[str]:
    """Return the names below *home* that are not among the *expected* ones."""
    found = (str(path.relative_to(home)) for path in home.rglob("*"))
    return sorted(name for name in found if name not in expected)
