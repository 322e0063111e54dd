"""
The programs tests call that pip does not install: fail2ban, haproxy, lftp, promtool, systemd-analyze; and a folder that
other users can enter.

On a laptop a missing one skips the test by the program's name. Where FTPSD_TESTS_REQUIRE_ALL=1 it fails, so that a
build which has lost a tool does not stay green by testing less.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).parent.parent


def require_tool(name: str) -> str:
    """Return the path of the program *name*, looked for beside this Python first, or skip or fail the test."""
    beside = Path(sys.executable).parent / name
    if beside.exists():
        return str(beside)
    found = shutil.which(name)
    if found is None:
        missing(f"{name} is not installed")
    return found


def missing(what: str) -> NoReturn:
    """Skip the running test because of *what*, or fail it where everything must be there."""
    if os.environ.get("FTPSD_TESTS_REQUIRE_ALL") == "1":
        pytest.fail(f"{what}, and FTPSD_TESTS_REQUIRE_ALL=1", pytrace=False)
    pytest.skip(what)


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """A folder that every user of the machine can enter: pytest's own are closed, by each of its runs anew."""
    folder = Path(tempfile.mkdtemp(prefix="ftpsd-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
