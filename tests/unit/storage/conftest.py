"""A jail over a temporary directory, with something outside that nobody may reach."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ftpsd.storage.jail import LocalJail
from ftpsd.storage.upload import UploadPolicy

OpenJail = Callable[..., LocalJail]

# What a run of the tests must never read, change or remove.
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

    def opened(owner: str = "user", policy: UploadPolicy | None = None, **options: str) -> LocalJail:
        return LocalJail.open(home, uploads=policy or UploadPolicy(durable=False), owner=owner, **options)  # type: ignore[arg-type]

    return opened


@pytest.fixture
def jail(open_jail: OpenJail) -> LocalJail:
    """Return a session's jail."""
    return open_jail()


@pytest.fixture
def unprivileged(home: Path) -> Iterator[None]:
    """Run the test as somebody whom permission bits bind; the home is his."""
    if os.geteuid() != 0:
        yield
        return
    nobody = 65534
    os.chown(home, nobody, nobody)
    os.seteuid(nobody)
    try:
        yield
    finally:
        os.seteuid(0)
