"""One daemon for the matrix, what was built for it, and what came of it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.daemon import SERVE, Account, Daemon
from tests.e2e.matrix.client import Client, TLSMode
from tests.e2e.matrix.results import Results

REQUIRED = "required"
OFFERED = "offered"
# Far more than cases: every case has a user of its own.
USERS = 1000


class MatrixDaemon:
    """The daemon as it is by default, with users that must resume TLS sessions and users that may."""

    def __init__(self, folder: Path, tls: Demonstration) -> None:
        self.daemon = Daemon(folder, tls, {}, users=2 * USERS, command=SERVE)
        users = self.daemon.users
        names = sorted(users)
        for name in names[USERS:]:
            users[name]["data_session_reuse"] = "offered"
        self.daemon.write_users(users)
        self._accounts = {
            REQUIRED: iter(names[:USERS]),
            OFFERED: iter(names[USERS:]),
        }
        self._users = users

    def account(self, policy: str) -> Account:
        """Return a user nobody has used yet, whose data connections fall under *policy*."""
        name = next(self._accounts[policy])
        return Account(name, Path(self._users[name]["home"]))

    def port(self, mode: TLSMode) -> int:
        """Return where *mode* is spoken."""
        return self.daemon.ports.implicit if mode == "implicit" else self.daemon.ports.explicit


@pytest.fixture(scope="session")
def matrix_daemon(tmp_path_factory: pytest.TempPathFactory, tls_files: Demonstration) -> Iterator[MatrixDaemon]:
    """The daemon all clients talk to."""
    matrix = MatrixDaemon(tmp_path_factory.mktemp("matrix"), tls_files)
    try:
        matrix.daemon.start()
        yield matrix
        matrix.daemon.stop()
    finally:
        matrix.daemon.kill()


class Workshop:
    """Builds the program of a client once, also where several workers of pytest-xdist want it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._built: set[str] = set()

    def build(self, client: Client) -> Path:
        """Return the folder with what *client* had compiled."""
        folder = self._folder / client.name.replace(" ", "-").replace("/", "-")
        if client.name not in self._built:
            folder.mkdir(exist_ok=True)
            done = folder / "done"
            with open(folder / "lock", "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not done.exists():
                    client.build(folder)
                    done.touch()
            self._built.add(client.name)
        return folder


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Where programs are built: a folder that all workers share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "built"
    folder.mkdir(exist_ok=True)
    return Workshop(folder)


@pytest.fixture(scope="session")
def results() -> Results:
    """The results of the cases of this run."""
    return Results()
