"""The daemon's user, and the unit that names it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ftpsd.config.checks.owner import Account, account_called, account_of, daemon_account, may_read, trusted_owners
from ftpsd.config.checks.unit import STOP_TIMEOUT, Unit, installed_unit

NOBODY = 65534

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="for everybody else it is themselves")


def unit_in(folder: Path, text: str, *drop_ins: str) -> Unit:
    """Return the unit of *text* and *drop_ins*, as they are installed in *folder*."""
    (folder / "ftpsd.service.d").mkdir(parents=True)
    (folder / "ftpsd.service").write_text(f"[Unit]\nUser=wrong\n[Service]\n{text}\n")
    for number, drop_in in enumerate(drop_ins):
        (folder / "ftpsd.service.d" / f"{number}.conf").write_text(f"[Service]\n{drop_in}\n")
    return installed_unit((folder,))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("TimeoutStopSec=6min", 360.0),
        ("TimeoutStopSec=90", 90.0),
        ("TimeoutStopSec=1h 30s", 3630.0),
        ("TimeoutStopSec=infinity", None),
        ("TimeoutStopSec=0", None),
        ("TimeoutSec=10min", 600.0),
        ("", STOP_TIMEOUT),
    ],
)
def test_how_long_a_unit_waits(tmp_path: Path, text: str, seconds: float | None) -> None:
    """As systemd.time(7) spells it."""
    assert unit_in(tmp_path / "system", text).stop_timeout == seconds


def test_drop_ins_go_before_the_unit(tmp_path: Path) -> None:
    """In the order of their names, the last wins."""
    unit = unit_in(tmp_path / "system", "User=ftpsd\nTimeoutStopSec=6min", "User=ftp", "TimeoutStopSec=1h")
    assert (unit.user, unit.stop_timeout) == ("ftp", 3600.0)


def test_no_unit_is_installed(tmp_path: Path) -> None:
    """Then the values are those of the one that comes with ftpsd."""
    assert installed_unit((tmp_path,)) == Unit(stop_timeout=STOP_TIMEOUT)


@only_root
def test_the_unit_that_serves_the_configuration_names_the_user(tmp_path: Path) -> None:
    """And a unit for another one does not."""
    text = f"User=nobody\nExecStart=/opt/ftpsd serve --config {tmp_path}/ftpsd.yaml"
    unit = unit_in(tmp_path / "system", text)
    assert daemon_account([tmp_path / "ftpsd.yaml"], unit).name == "nobody"
    (tmp_path / "else").mkdir()
    assert daemon_account([tmp_path / "else" / "ftpsd.yaml"], unit).uid == 0


@only_root
def test_the_group_of_the_files_names_the_user(tmp_path: Path) -> None:
    """root:ftp, mode 0640, is how a daemon reads what it may not write."""
    file = tmp_path / "users.yaml"
    file.touch()
    assert daemon_account([file], Unit()).uid == 0
    os.chown(file, 0, NOBODY)
    assert daemon_account([file], Unit()).gid == NOBODY


def test_the_user_is_ourselves_without_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that cannot be anybody else is the daemon's user."""
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    assert daemon_account([]).uid == NOBODY


def test_what_an_account_may_read(tmp_path: Path) -> None:
    """By owner, group and others, and every folder on the way."""
    file = tmp_path / "file"
    file.touch()
    file.chmod(0o600)
    nobody = account_of(NOBODY)
    us = account_of(os.geteuid())
    assert may_read(us, file)
    assert not may_read(nobody, file)
    assert not may_read(nobody, tmp_path / "absent")


def test_who_may_own_files() -> None:
    """Root, ourselves, and the user that is named."""
    assert trusted_owners(Account("x", 4711, 4711)) >= {0, os.geteuid(), 4711}
    assert 4711 not in trusted_owners()


def test_a_user_has_a_name_or_a_number() -> None:
    """Numbers are for users of containers, which often have no name."""
    assert account_called("root") == account_called("0") == account_of(0)
    assert account_of(4_000_001).name == "4000001"
    with pytest.raises(KeyError):
        account_called("no-such-user")
