"""The state file of a running server: made, shared by processes, missing, and mended without a restart."""

from __future__ import annotations

import ftplib
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.client import EXPLICIT, log_in, upload
from tests.e2e.conftest import StartDaemon
from tests.e2e.polling import eventually

USABLE, BROKEN = 'ftpsd_state_file{state="usable"}', 'ftpsd_state_file{state="broken"}'


@pytest.mark.parametrize("processes", [1, 2])
def test_a_server_makes_its_file(start_daemon: StartDaemon, processes: int) -> None:
    """Closed to others, whichever process comes first; nothing is said about it."""
    daemon = start_daemon({"processes": processes})
    metrics = daemon.metrics()
    assert (metrics[USABLE], metrics[BROKEN]) == (processes, 0)
    state = daemon.folder / "state.db"
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    assert "state" not in daemon.stderr
    daemon.stop()
    # The last to close it tidies up; where two close it in the same moment, neither is the last.
    assert processes > 1 or not state.with_name("state.db-wal").exists()


def test_a_server_without_its_file_serves_and_says_so(start_daemon: StartDaemon) -> None:
    """A login by password needs no state; the reason and the remedy are in the log and in the audit log."""
    daemon = start_daemon({"state": "missing/state.db"})
    event = daemon.wait_for_event("state-failed")
    assert "install -d" in event["reason"]
    assert "warning: state: " in daemon.stderr
    assert "missing/state.db cannot be used: the directory " in daemon.stderr
    eventually(lambda: daemon.metrics()[BROKEN] == 1, "the metric tells the failure")
    log_in(daemon, EXPLICIT, daemon.account()).quit()
    (daemon.folder / "missing").mkdir()
    daemon.wait_for_event("state-restored")
    eventually(lambda: daemon.metrics()[BROKEN] == 0, "the metric tells the mending")


@pytest.mark.parametrize("processes", [1, 2])
def test_a_file_that_is_removed_from_a_running_server(
    start_daemon: StartDaemon, tmp_path: Path, processes: int
) -> None:
    """It is told, and another one goes on in its place without a restart: events, holds and bans too."""
    lines = tmp_path / "events.jsonl"
    sinks = [{"name": "lines", "file": str(lines)}]
    daemon = start_daemon({"events": {"record": ["file-stored"], "sinks": sinks}, "processes": processes})
    account = daemon.account()
    where = ("--config", str(daemon.config_file))
    held = "hold add --path /held --reason case --user"
    assert daemon.order(*held.split(), account.name, *where).returncode == 0
    assert daemon.order("ban", "203.0.113.9", *where).returncode == 0
    ftp = log_in(daemon, EXPLICIT, account)
    for name in ("held", "first"):
        assert upload(ftp, name, b"data").startswith("226")
    eventually(lambda: lines.exists() and lines.read_text().count("\n") == 2, "delivered")
    state = daemon.folder / "state.db"
    eventually(lambda: _has_ban(state), "the ban is written down")
    for file in daemon.folder.glob("state.db*"):
        file.unlink()
    assert "it was removed or replaced" in daemon.wait_for_event("state-failed")["reason"]
    daemon.wait_for_event("state-restored")
    eventually(lambda: _uploads(ftp, "second"), "uploads are taken again")
    eventually(lambda: "/second" in lines.read_text(), "delivered")
    with pytest.raises(ftplib.error_perm, match="a legal hold"):
        ftp.delete("held")
    listed = daemon.order("hold", "list", *where)
    assert "case" in listed.stdout, listed.stdout + listed.stderr
    eventually(lambda: _has_ban(state), "the ban is written down again")
    ftp.quit()
    eventually(lambda: daemon.metrics()[BROKEN] == 0, "every process has found the other file")
    assert "another file is used now" in daemon.stderr
    assert "begun anew" in daemon.get("/")[1]


def _uploads(ftp: ftplib.FTP, name: str) -> bool:
    try:
        return upload(ftp, name, b"data").startswith("226")
    except ftplib.error_temp:
        return False


def _has_ban(state: Path) -> bool:
    with closing(sqlite3.connect(f"file:{state}?mode=ro", uri=True)) as connection:
        return bool(connection.execute("SELECT 1 FROM facts WHERE kind = 'penalty'").fetchall())
