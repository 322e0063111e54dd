"""A jail over a temporary directory, with something outside that nobody may reach."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from ftpsd.storage.disk.walk import Symlinks
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.uploads.policy import UploadPolicy


class OpenJail(Protocol):
    """Opens a jail over the home."""

    def __call__(self, owner: str = ..., policy: UploadPolicy = ..., symlinks: Symlinks = ...) -> LocalJail:
        """Open it for one session of *owner*."""


FAST = UploadPolicy(durable=False)
# The content that a run of the tests must never read, change or remove.
SECRET = b"secret"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Return a directory beside the home, with a file in it."""
    directory = tmp_path / "outside"
    directory.mkdir()
    (directory / "secret").write_bytes(SECRET)
    return directory


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return the directory of the jail."""
    directory = tmp_path / "home"
    directory.mkdir()
    return directory


@pytest.fixture
def open_jail(home: Path) -> OpenJail:
    """Return a function that opens a jail over the home, for one session."""

    def opened(owner: str = "user", policy: UploadPolicy = FAST, symlinks: Symlinks = "inside") -> LocalJail:
        return LocalJail.open(home, uploads=policy, owner=owner, symlinks=symlinks)

    return opened


@pytest.fixture
def jail(open_jail: OpenJail) -> LocalJail:
    """Return a session's jail."""
    return open_jail()


@pytest.fixture
def unprivileged(home: Path) -> Iterator[Callable[[], None]]:
    """Return a function after which permission bits bind the test; the home is its own."""
    nobody = 65534

    def become_nobody() -> None:
        if os.geteuid() == 0:
            os.chown(home, nobody, nobody)
            os.seteuid(nobody)

    before = os.geteuid()
    yield become_nobody
    os.seteuid(before)
