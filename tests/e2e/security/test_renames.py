"""Renames over FTP: neither what a rule denies nor what its operator made read-only is had by RNFR and RNTO."""

from __future__ import annotations

import ftplib
import signal
from pathlib import Path

import pytest

from tests.e2e.client import CLEAR, Sessions, code, upload
from tests.e2e.conftest import StartDaemon
from tests.e2e.polling import eventually

RULES = [
    {"path": "/kept/**", "allow": ["list", "rename", "upload"]},
    {"path": "/open/**", "allow": "all"},
    {"path": "/", "allow": ["list"]},
]


@pytest.fixture
def session(start_daemon: StartDaemon) -> tuple[ftplib.FTP, Path]:
    """A session of a user with these rules, and the home."""
    daemon = start_daemon({"tls": {"require": "none"}})
    account = daemon.account()
    for folder in ("kept/folder", "open"):
        (account.home / folder).mkdir(parents=True)
    for file in ("kept/file", "kept/folder/inner", "open/file"):
        (account.home / file).write_bytes(b"confidential")
    users = daemon.users
    users[account.name]["rules"] = RULES
    daemon.write_users(users)
    daemon.signal(signal.SIGHUP)
    eventually(lambda: daemon.audit("reloaded"), "the rules are read")
    return Sessions(daemon, CLEAR).log_in(account), account.home


def rename(ftp: ftplib.FTP, old: str, new: str) -> tuple[int, int]:
    """Return the codes of RNFR and RNTO."""
    return code(ftp, f"RNFR {old}"), code(ftp, f"RNTO {new}")


def test_no_rename_gives_a_right(session: tuple[ftplib.FTP, Path]) -> None:
    """Neither a file nor a directory goes to where it could be read or deleted; within its rule it goes."""
    ftp, home = session
    assert rename(ftp, "/kept/file", "/open/file-2") == (350, 550)
    assert rename(ftp, "/kept/file", "/open/file") == (350, 550)
    assert rename(ftp, "/kept/folder", "/open/folder") == (350, 550)
    assert rename(ftp, "/open/file", "/kept/given") == (350, 250)
    upload(ftp, "/kept/new.filepart", b"new")
    assert rename(ftp, "/kept/new.filepart", "/kept/new") == (350, 250)
    assert (home / "kept/new").read_bytes() == b"new"
    assert sorted(path.name for path in (home / "open").iterdir()) == []


def test_a_read_only_file_stays(session: tuple[ftplib.FTP, Path]) -> None:
    """It stays whatever is to take its name, also where the daemon could write it as root."""
    ftp, home = session
    (home / "open/mine").write_bytes(b"forged")
    (home / "open/file").chmod(0o444)
    assert rename(ftp, "/open/mine", "/open/file") == (350, 550)
    ftp.voidcmd("TYPE I")
    for line in ("STOR /open/file", "APPE /open/file"):
        ftp.makepasv()
        assert code(ftp, line) == 550
    assert code(ftp, 'COMB "/open/file" "/open/mine"') == 550
    assert (code(ftp, "SITE CPFR /open/mine"), code(ftp, "SITE CPTO /open/file")) == (350, 550)
    assert (home / "open/file").read_bytes() == b"confidential"
    assert rename(ftp, "/open/file", "/open/elsewhere") == (350, 250)
