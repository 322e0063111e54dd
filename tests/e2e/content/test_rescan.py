"""`ftpsd rescan` against real daemons with a real clamd, while clients work."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.e2e.client import CLEAR, download, log_in, upload
from tests.e2e.conftest import StartDaemon
from tests.e2e.content.clamav import ClamAV
from tests.e2e.daemon import Account, Daemon
from tests.e2e.encrypted import encrypt_homes, make_keys
from tests.e2e.operator.test_top import read_until
from tests.tools import ROOT

MARK = b"nobody knew this yesterday"


def counts(daemon: Daemon, *options: str, code: int = 0) -> dict[str, object]:
    """Run a rescan, and return its result."""
    done = daemon.order("rescan", "--json", *options)
    assert done.returncode == code, done.stderr
    told = json.loads(done.stdout)
    assert isinstance(told, dict)
    return {name: told[name] for name in ("files", "current", "clean", "found", "unjudged", "complete")}


def as_counts(files: int, current: int, clean: int, found: int = 0) -> dict[str, object]:
    """Return what `counts` does of a complete run."""
    return {
        "files": files,
        "current": current,
        "clean": clean,
        "found": found,
        "unjudged": 0,
        "complete": True,
    }


def assert_held_for_others(daemon: Daemon, account: Account, incident: str) -> None:
    """A hold on another user who sees the directory keeps what a rescan has found in it."""
    users, other = daemon.users, daemon.account()
    users[other.name] = daemon.users[other.name] | {
        "mounts": [{"path": "/case", "directory": str(account.home / "in")}]
    }
    daemon.write_users(users)
    assert daemon.order("reload").returncode == 0
    made = daemon.order("hold", "add", "--path", "/case/**", "--user", other.name, "--reason", "a case", "--json")
    hold = json.loads(made.stdout)["hold"]
    purged = daemon.order("quarantine", "purge", incident)
    assert (purged.returncode, f"kept by the legal hold {hold}" in purged.stderr) == (1, True), purged.stderr
    assert daemon.order("hold", "remove", hold, "--reason", "over").returncode == 0


def assert_a_bar(daemon: Daemon) -> None:
    """On a terminal there is a bar for as long as files are looked at, and the result behind it."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 140, 0, 0))
    words = ["rescan", "--all", "--dry-run", "--socket", str(daemon.control_socket)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    with subprocess.Popen(
        [sys.executable, "-m", "ftpsd", *words], stdin=theirs, stdout=theirs, stderr=theirs, env=environ
    ) as rescan:
        os.close(theirs)  # so that its end ends the reading
        seen = read_until(ours, "3 files: 0 judged by these signatures before, 1 clean, 2 found")
        assert rescan.wait(60) == 0
    assert " files " in seen.partition("3 files: ")[0], "the bar was there before"
    os.close(ours)


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_new_signatures_find_what_is_stored(start_daemon: StartDaemon, tmp_path: Path, is_encrypted: bool) -> None:
    """Judged files are passed by; what is found is quarantined, once; also by two processes, and in encrypted homes."""
    clamd = ClamAV(tmp_path)
    changes = {
        "processes": 1 if is_encrypted else 2,
        "tls": {"require": "none"},
        "accept": [{"paths": ["/in/**"], "scan": [clamd.url]}],
        "quarantine": {"directory": str(tmp_path / "held")},
        **({"encryption": make_keys(tmp_path / "keys")} if is_encrypted else {}),
    }
    daemon = start_daemon(changes)
    if is_encrypted:
        encrypt_homes(daemon)
        assert daemon.order("reload").returncode == 0
    account = daemon.account()
    (account.home / "in").mkdir()
    try:
        assert daemon.order("rescan").returncode == 1  # there is no clamd yet
        clamd.start()
        ftp = log_in(daemon, CLEAR, account)
        for name, data in {"in/a": b"a", "in/b \u202e": MARK, "in/c": bytes(100_000) + MARK, "out": MARK}.items():
            assert upload(ftp, name, data).startswith("226")
        ftp.voidcmd("MFMT 20200102030405 in/a")
        assert counts(daemon) == as_counts(3, 3, 0)

        clamd.stop()
        clamd.write_signatures("New", MARK)
        clamd.start()
        assert counts(daemon) == as_counts(3, 3, 0)  # a signature of our own changes no version
        assert counts(daemon, "--all", "--dry-run") == as_counts(3, 0, 1, 2)
        assert download(ftp, "in/b \u202e") == MARK
        assert not (tmp_path / "held").exists()

        if not is_encrypted:
            assert_a_bar(daemon)
        (account.home / "in" / "link").symlink_to("../out")
        assert counts(daemon, "--all") == as_counts(3, 0, 1, 2)
        event = daemon.wait_for_event("file-quarantined", path="/in/c")
        assert (event["owner"], event["found"], event["kept"]) == (account.name, "New.UNOFFICIAL", True)
        assert daemon.wait_for_event("rescanned", found=2)["account"] == "root"
        assert sorted(os.listdir(account.home / "in")) == ["a", "link"]
        assert MARK in (account.home / "out").read_bytes() or is_encrypted
        assert counts(daemon, "--all") == as_counts(1, 0, 1)
        assert counts(daemon) == as_counts(1, 1, 0)

        if not is_encrypted:
            assert_held_for_others(daemon, account, event["incident"])
        released = daemon.order("quarantine", "release", event["incident"], "--reason", "a mistake")
        assert released.returncode == 0, released.stderr
        assert download(ftp, "in/c") == bytes(100_000) + MARK
    finally:
        clamd.stop()
