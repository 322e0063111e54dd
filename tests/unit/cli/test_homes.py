"""`ftpsd user add --create-home`: whose the home is."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ftpsd.cli.program import main
from ftpsd.config.checks.owner import account_of
from tests.unit.service.site import Site

NOBODY = 65534

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The folder of a good configuration."""
    return Site(tmp_path).folder


def run(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=stdin)


def add_bob(site: Path, home: Path, *more: object) -> Result:
    options = ("--create-home", "--password-stdin", "--config", site / "ftpsd.yaml", *more)
    return run("user", "add", "bob", "--home", home, *options, stdin="pw\n")


@only_root
def test_a_home_belongs_to_the_owner_that_is_named(site: Path) -> None:
    """With the folders above it that were missing, and with nothing that was there."""
    result = add_bob(site, site / "new/deep/bob", "--owner", "nobody")
    assert result.exit_code == 0, result.output
    assert f"{site}/new/deep/bob belongs to nobody, as whom the daemon runs" in result.stderr
    assert {(site / path).stat().st_uid for path in ("new", "new/deep", "new/deep/bob")} == {NOBODY}
    assert site.stat().st_uid == 0


@only_root
@pytest.mark.parametrize("whose", ["users.yaml", "homes"])
def test_a_home_belongs_to_the_daemons_user(site: Path, whose: str) -> None:
    """Without a name it is the owner of the users file, or of the folder that the homes are in."""
    (site / "homes").mkdir()
    os.chown(site / whose, NOBODY, NOBODY)
    add_bob(site, site / "homes/bob")
    assert (site / "homes/bob").stat().st_uid == NOBODY


@only_root
def test_a_home_belongs_to_the_user_of_the_group(site: Path) -> None:
    """As installed: root:ftpsd, mode 0640, where the daemon reads through its group."""
    os.chown(site / "users.yaml", 0, NOBODY)
    add_bob(site, site / "bob")
    status = (site / "bob").stat()
    assert account_of(status.st_uid).gid == status.st_gid == NOBODY


@only_root
def test_a_home_belongs_to_the_user_ftpsd(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where files and folders are root's and tell nothing."""
    real = pwd.getpwnam
    monkeypatch.setattr(pwd, "getpwnam", lambda name: real("nobody" if name == "ftpsd" else name))
    add_bob(site, site / "bob")
    assert (site / "bob").stat().st_uid == NOBODY


@only_root
def test_a_home_that_was_there_is_not_given_away(site: Path) -> None:
    """Root would give away whatever a link leads to; the command to run is told."""
    (site / "bob").symlink_to("/etc")
    result = add_bob(site, site / "bob", "--owner", "nobody")
    assert result.exit_code == 0, result.output
    assert "was there and belongs to root, but the daemon runs as nobody" in result.stderr
    assert f"; run: chown nobody: {site}/bob" in result.stderr
    assert Path("/etc").stat().st_uid == 0


@only_root
def test_a_new_users_file_is_for_its_folders_group(site: Path) -> None:
    """A file of root's alone could not be read by the daemon."""
    (site / "new").mkdir()
    os.chown(site / "new", 0, NOBODY)
    run("user", "add", "bob", "--home", site, "--password-stdin", "--users", site / "new/users.yaml", stdin="pw\n")
    status = (site / "new/users.yaml").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (0, NOBODY, 0o640)


@pytest.mark.parametrize(
    ("more", "complaint"),
    [(("--create-home", "--owner", "no-such-user"), "has no user no-such-user"), (("--owner", "root"), "goes with")],
)
def test_an_owner_that_makes_no_sense(site: Path, more: tuple[str, ...], complaint: str) -> None:
    """Refused before a password is asked for."""
    result = run("user", "add", "bob", "--home", site / "bob", *more, "--config", site / "ftpsd.yaml")
    assert result.exit_code == 2
    assert complaint in result.stderr
