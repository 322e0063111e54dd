"""`ftpsd check` about password hashes that cost too much, and those that stay of an older kind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from ftpsd.cli.program import main
from ftpsd.service.load import load
from tests.unit.service.site import Site

NOBODY = 65534

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site in which nothing is wrong."""
    return Site(tmp_path)


def user(line: str) -> str:
    return f"users:\n  alice:\n    home: home\n    {line}\n"


def test_a_hash_that_costs_too_much(site: Site) -> None:
    """An error at its line, before a login holds a worker for minutes."""
    for stored, asked in (
        ("$5$rounds=999999999$salt$" + "d" * 43, "rounds than 1000000"),
        ("$2b$31$" + "x" * 53, "bcrypt cost than 15"),
        ("$pbkdf2-sha256$9999999$c2FsdA$" + "A" * 43, "rounds than 5000000"),
    ):
        site.write_users(user(f"password: '{stored}'"))
        result = CliRunner().invoke(main, ["check", "--config", str(site.path)])
        assert result.exit_code == 2
        line = result.stderr.replace(f"{site.folder}/", "").splitlines()[0]
        assert line.startswith(f"users.yaml:4:15: users.alice.password: the password hash asks for more {asked}")
        assert stored not in line


@only_root
def test_old_hashes_that_stay_are_told_here_alone(site: Site) -> None:
    """Where the file is root's, and the daemon is somebody else: a hint of `ftpsd check`, and none of a start."""
    site.write_users(user(f"password: '$2b$12${'x' * 53}'"))
    site.folder.chmod(0o755)
    for folder in (site.folder, *site.folder.parents):
        folder.chmod(folder.stat().st_mode | 0o055)
    os.chown(site.users, 0, NOBODY)
    site.users.chmod(0o640)
    result = CliRunner().invoke(main, ["check", "--config", str(site.path), "--as", str(NOBODY)])
    assert "users: password hashes of older kinds stay as they are ($2b$ 1 times)" in result.stderr
    assert not any("older kinds" in str(complaint) for complaint in load(site.path).warnings)
