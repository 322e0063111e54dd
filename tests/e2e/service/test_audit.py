"""The audit log: one JSON object a line, all that a session did, and no secret."""

from __future__ import annotations

import ftplib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.client import EXPLICIT, Sessions, Way, content, control, download, listing, reply, upload
from tests.e2e.daemon import Account, Daemon
from tests.e2e.polling import eventually

SECRET = "hunter2-the-wrong-one"


@pytest.fixture
def way() -> Way:
    """One is enough."""
    return EXPLICIT


@pytest.fixture
def events(daemon: Daemon, account: Account, ftp: ftplib.FTP) -> list[dict[str, Any]]:
    """The log of a session that does everything."""
    upload(ftp, "file", content(1000))
    download(ftp, "file")
    listing(ftp, "LIST")
    for line in ("MKD folder", "RMD folder", "RNFR file", "RNTO other", "DELE other", "XYZZY secret", 'MKD "},{\\'):
        reply(ftp, line)
    ftp.quit()
    closed = daemon.wait_for_event("session-closed", user=account.name)
    return daemon.audit(closed["session"])


def test_everything_a_session_does_is_logged(events: list[dict[str, Any]]) -> None:
    """From its beginning to its end, in order."""
    names = [event["event"] for event in events if event["event"] != "command"]
    assert names == [
        "session-opened",
        "tls-established",
        "logged-in",
        "tls-established",
        "file-stored",
        "tls-established",
        "file-sent",
        "tls-established",
        "directory-listed",
        "directory-made",
        "directory-removed",
        "file-renamed",
        "file-deleted",
        "directory-made",
        "session-closed",
    ]


def test_every_line_says_who_and_when(events: list[dict[str, Any]], account: Account) -> None:
    """Time in UTC with microseconds, session, peer, listener, and the user from the login on."""
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", event["time"]) for event in events)
    assert {event["peer"] for event in events} == {"127.0.0.1"}
    assert len({event["session"] for event in events}) == 1
    names = [event["event"] for event in events]
    assert {event.get("user") for event in events[names.index("logged-in") :]} == {account.name}


def test_a_transfer_is_logged_with_its_facts(events: list[dict[str, Any]]) -> None:
    """Path, bytes, result and how it was encrypted."""
    (stored,) = [event for event in events if event["event"] == "file-stored"]
    assert (stored["path"], stored["bytes"], stored["result"]) == ("/file", 1000, "complete")
    assert stored["tls"].startswith("TLSv1.3 ")
    assert stored["tls"].endswith(" resumed")


def test_every_command_is_logged(events: list[dict[str, Any]]) -> None:
    """With its reply code; what is unknown by no name a client could choose."""
    commands = [(event["command"], event["code"]) for event in events if event["event"] == "command"]
    assert ("RNTO", 250) in commands
    assert ("other", 500) in commands


def test_a_name_stays_inside_its_string(events: list[dict[str, Any]]) -> None:
    """Quotes and braces of a client do not become JSON of ours."""
    assert [event["path"] for event in events if event["event"] == "directory-made"] == ["/folder", '/"},{\\']


def test_a_refused_login_is_logged_with_its_reason(daemon: Daemon) -> None:
    """The client learns less than the log."""
    connection = control(daemon, EXPLICIT)
    connection.ask("USER no-such-user")
    connection.ask(f"PASS {SECRET}")
    assert daemon.wait_for_event("login-refused", name="no-such-user")["reason"] == "unknown user"


def test_no_password_appears_anywhere(daemon: Daemon, sessions: Sessions, account: Account) -> None:
    """Neither the right one nor a wrong one, in audit log, standard error, standard output, metrics or status page."""
    ftp = sessions.connect()
    lines = (
        f"USER {account.name}",
        f"PASS {SECRET}",
        f"pass {SECRET}",
        f"USER {account.name}",
        f"  PASS {account.password}",
        f"ACCT {SECRET}",
        f"PASS {SECRET}",
        "QUIT",
    )
    for line in lines:
        reply(ftp, line)
    daemon.wait_for_event("session-closed", user=account.name)
    text = daemon.audit_text() + daemon.stderr + (daemon.folder / "stdout").read_text()
    text += daemon.get("/metrics")[1] + daemon.get("/")[1]
    assert [secret for secret in (account.password, SECRET, "argon2") if secret in text] == []


def test_every_line_is_one_object(daemon: Daemon, events: list[dict[str, Any]]) -> None:
    """Flat: text, numbers and booleans only, and plain ASCII."""
    for line in daemon.audit_text().splitlines():
        assert line.isascii()
        event = json.loads(line)
        assert all(isinstance(value, str | int | float | bool) for value in event.values()), line


@pytest.mark.parametrize("processes", [1, 2])
def test_a_standard_output_that_is_closed_is_refused(tmp_path: Path, tls_files: Demonstration, processes: int) -> None:
    """Its number would be that of some file or socket of the server's: exit code 2, and what to write."""
    daemon = Daemon(tmp_path / "own", tls_files, {"audit": {"log": "stdout"}, "processes": processes}, users=1)
    try:
        daemon.spawn(before=["sh", "-c", 'exec "$@" >&-', "sh"])
        assert daemon.ended() == 2
        assert "audit.log: standard output is closed" in daemon.stderr
    finally:
        daemon.kill()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_log_that_is_thrown_away_is_told(tmp_path: Path, tls_files: Demonstration, processes: int) -> None:
    """Where standard output is /dev/null there is one warning, and the server serves."""
    daemon = Daemon(tmp_path / "own", tls_files, {"audit": {"log": "stdout"}, "processes": processes}, users=1)
    try:
        (daemon.folder / "stdout").symlink_to(os.devnull)
        daemon.spawn()
        eventually(lambda: daemon.is_ready or daemon.exit_code is not None, "ready or dead", 60)
        daemon.stop()
        assert daemon.stderr.count("the audit log is thrown away") == 1
    finally:
        daemon.kill()
