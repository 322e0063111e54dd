"""Daemons that may die, and file systems that may fill up."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ftpsd.demo.authority import Demonstration, create
from tests.e2e.client import EXPLICIT, Sessions
from tests.e2e.daemon import Account, Settings
from tests.reliability.mortal import MortalDaemon
from tests.tools import missing

StartMortal = Callable[..., MortalDaemon]
Mount = Callable[..., Path]

# Nothing here is about how many may come in.
LIMITS = {"connections_per_address": 500, "sessions_per_user": 100}

# Of the daemon that the tests of a file share.
USERS = 150


@pytest.fixture(scope="session")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> Demonstration:
    """An authority, and the certificate all daemons show."""
    return create(tmp_path_factory.mktemp("tls"))


def starting(stack: ExitStack, folders: Path, tls_files: Demonstration) -> StartMortal:
    """Return what starts daemons in *folders*; one that has not died must stop well when *stack* is closed."""

    def start(changes: Settings | None = None, *, users: int = 2, has_faults: bool = True) -> MortalDaemon:
        folder = folders / f"daemon-{len(list(folders.iterdir()))}"
        settings: dict[str, Any] = {"limits": LIMITS, **(changes or {})}
        daemon = MortalDaemon(folder, tls_files, settings, users=users)
        daemon.has_faults = has_faults
        stack.callback(daemon.kill)
        daemon.start()
        stack.callback(_stop, daemon)
        return daemon

    return start


def _stop(daemon: MortalDaemon) -> None:
    daemon.forget_plan()
    if daemon.exit_code is None:
        daemon.stop()
    assert "Traceback" not in daemon.stderr, daemon.stderr


@pytest.fixture
def start_mortal(tmp_path: Path, tls_files: Demonstration) -> Iterator[StartMortal]:
    """Starts a daemon of the test's own; one that has not died by the end must stop well."""
    with ExitStack() as stack:
        yield starting(stack, tmp_path, tls_files)


@pytest.fixture(scope="module")
def shared_mortal(tmp_path_factory: pytest.TempPathFactory, tls_files: Demonstration) -> Iterator[MortalDaemon]:
    """A daemon as it is by default, for the tests of a file."""
    with ExitStack() as stack:
        yield starting(stack, tmp_path_factory.mktemp("mortal"), tls_files)(users=USERS)


@pytest.fixture
def mortal(shared_mortal: MortalDaemon) -> Iterator[MortalDaemon]:
    """The daemon of this file's tests, alive; a test may kill it, and has users of its own."""
    if shared_mortal.exit_code is not None:
        shared_mortal.restart()
    yield shared_mortal
    shared_mortal.forget_plan()
    assert "Traceback" not in shared_mortal.stderr, shared_mortal.stderr


@pytest.fixture
def account(mortal: MortalDaemon) -> Account:
    """A user of it."""
    return mortal.account()


@pytest.fixture
def home(account: Account) -> Path:
    """Where the files of the user are."""
    return account.home


@pytest.fixture
def sessions(mortal: MortalDaemon) -> Iterator[Sessions]:
    """Opens sessions under TLS, and closes them after the test."""
    opened = Sessions(mortal, EXPLICIT)
    yield opened
    opened.close()


@pytest.fixture
def mount() -> Iterator[Mount]:
    """Mounts a tmpfs of some size over a directory; it is gone after the test."""
    with ExitStack() as stack:

        def mounted(directory: Path, size: str, *, inodes: int = 0) -> Path:
            options = f"size={size},mode=0700" + (f",nr_inodes={inodes}" if inodes else "")
            if os.geteuid() != 0:
                missing("only root may mount a tmpfs")
            done = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)], capture_output=True, text=True
            )
            if done.returncode:
                missing(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
            stack.callback(subprocess.run, ["umount", "--lazy", str(directory)], check=True)
            return directory

        yield mounted
