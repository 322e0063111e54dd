"""A daemon that is upgraded under a test: which processes it has, and clients that never stop."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from tests.e2e.client import EXPLICIT, Way, content, download, log_in, upload
from tests.e2e.daemon import Account, Daemon
from tests.e2e.forked import nursery
from tests.e2e.polling import eventually


class ForkedDaemon(Daemon):
    """A daemon whose successors are forked, as it is, from code that is loaded."""

    def spawn(self, *, pass_fds: Sequence[int] = (), before: Sequence[str] = ()) -> None:
        """See `Daemon`."""
        assert not pass_fds
        assert not before
        forked = nursery().start(self.folder, self.config_file, self.environ, is_upgraded=True)
        self.process = cast("subprocess.Popen[bytes]", forked)


def is_there(pid: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


class Upgraded:
    """A *daemon* with all the processes that it has had, the last one that which serves."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        assert daemon.process is not None
        self.pids = [daemon.process.pid]

    @property
    def now(self) -> int:
        """The process that serves."""
        return self.pids[-1]

    def upgrade(self) -> int:
        """Have a new process serve, and return its number."""
        done = self.daemon.order("upgrade", patience=260)
        assert done.returncode == 0, done.stdout + done.stderr + self.daemon.stderr
        pid = int(done.stdout.rpartition("pid ")[2])
        assert pid not in self.pids
        self.pids.append(pid)
        return pid

    def refused(self) -> str:
        """Have an upgrade fail, and return the reason."""
        done = self.daemon.order("upgrade", patience=260)
        assert done.returncode == 2, done.stdout + done.stderr + self.daemon.stderr
        assert not done.stdout
        return done.stderr

    def gone(self, pid: int) -> None:
        """Wait for the end of a process, which has to be a good one where its status can be seen."""
        if pid == self.pids[0]:
            assert self.daemon.ended() == 0, self.daemon.stderr
        eventually(lambda: not is_there(pid), f"the end of {pid}")

    def stop(self) -> None:
        """Stop the server as the service manager does, and see that nothing of it stays."""
        os.kill(self.now, signal.SIGTERM)
        for pid in self.pids:
            self.gone(pid)
        assert "Traceback" not in self.daemon.stderr, self.daemon.stderr

    def kill(self) -> None:
        """End what is left, for a test that failed."""
        for pid in self.pids[1:]:
            if is_there(pid):
                os.kill(pid, signal.SIGKILL)
        self.daemon.kill()


@contextmanager
def upgradable(daemon: Daemon) -> Iterator[Upgraded]:
    """Start *daemon*, and stop it and what has followed it."""
    daemon.start()
    upgraded = Upgraded(daemon)
    try:
        yield upgraded
        upgraded.stop()
    finally:
        upgraded.kill()


# Clients, and seconds between two sessions of each: the processes that start beside them need the processor, too.
CLIENTS, BREATH = 2, 0.1


@dataclass
class Busy:
    """Clients of *account* that connect, store, fetch and leave, again and again, until `end`."""

    daemon: Daemon
    account: Account
    way: Way = EXPLICIT
    stored: list[str] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    rounds: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int) -> None:
        data = content(20_000 + number)
        try:
            while not self._over.is_set():
                ftp = log_in(self.daemon, self.way, self.account)
                # Several files in a session: some of them cross the upgrade.
                for _ in range(4):
                    name = f"{number}-{self.rounds[number]}"
                    assert upload(ftp, name, data).startswith("226")
                    self.stored.append(name)
                    assert download(ftp, name) == data
                    self.rounds[number] += 1
                ftp.quit()
                self._over.wait(BREATH)
        except BaseException as failure:
            self.failures.append(failure)

    def more(self) -> None:
        """Wait until each of them has done something more."""
        before = self.rounds.copy()
        eventually(
            lambda: self.failures or all(self.rounds[number] > before[number] + 4 for number in range(CLIENTS)),
            "more rounds",
        )

    def end(self) -> None:
        """Have them end, and see that nothing has failed."""
        self._over.set()
        for thread in self._threads:
            thread.join(60)
        assert not self.failures, (self.failures, self.daemon.stderr)
