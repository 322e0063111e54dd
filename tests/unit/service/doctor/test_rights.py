"""Homes, as the user of the running daemon can use them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ftpsd.doctor.finding import Level
from ftpsd.doctor.rights import look_at_homes, user_of
from ftpsd.service.load import load
from tests.unit.service.site import Site


def process(proc: Path, pid: int, uid: int) -> None:
    """Add a process of the user *uid*, started by root."""
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "status").write_text(f"Name:\tftpsd\nUid:\t0\t{uid}\t{uid}\t{uid}\nGid:\t0\t0\t0\t0\n")


def test_the_running_daemon_tells_its_user(tmp_path: Path) -> None:
    """A process that is gone tells nothing."""
    process(tmp_path, 10, 4711)
    found = user_of([9, 10], tmp_path)
    assert found is not None
    assert found.uid == 4711
    assert user_of([9], tmp_path) is None


def test_homes_that_can_be_used(tmp_path: Path) -> None:
    """One line for all."""
    site = Site(tmp_path)
    (tmp_path / "proc").mkdir()
    process(tmp_path / "proc", 10, os.geteuid())
    (finding,) = look_at_homes(load(site.path), site.path, [10], tmp_path / "proc")
    assert finding.level is Level.OK
    assert "all homes and mounts can be used as the rules allow" in finding.text


@pytest.mark.skipif(os.geteuid() != 0, reason="mode 000 is a warning to root alone")
def test_a_home_that_is_closed(tmp_path: Path) -> None:
    """Root is told of the mode, though root could use it."""
    site = Site(tmp_path)
    (tmp_path / "home").chmod(0)
    (finding,) = look_at_homes(load(site.path), site.path, [], tmp_path)
    assert finding.level is Level.WARNING
    assert finding.text.startswith("users.alice.home: ")
