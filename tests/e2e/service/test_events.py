"""Events on their way to other systems: one upload, rename, deletion or download is one event at each sink."""

from __future__ import annotations

import base64
import ftplib
import hmac
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import EXPLICIT, content, log_in, upload
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Account, Daemon
from tests.e2e.polling import eventually
from tests.events.receiver import Hooks

ALL = ["file-stored", "file-copied", "files-combined", "file-sent", "file-deleted", "file-renamed", "login-refused"]


@pytest.fixture
def hooks(tmp_path: Path) -> Iterator[Hooks]:
    """A receiver."""
    receiver = Hooks(tmp_path)
    yield receiver
    receiver.stop()


def lines(file: Path) -> list[dict[str, Any]]:
    """Return the events in a file."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def session(daemon: Daemon, account: Account) -> ftplib.FTP:
    """Return a session that stores as it is."""
    ftp = log_in(daemon, EXPLICIT, account)
    ftp.sendcmd("TYPE I")
    return ftp


def told(events: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    """Return what each event is about."""
    return [(event["type"].removeprefix("ftpsd."), event.get("subject")) for event in events]


@pytest.mark.parametrize("processes", [1, 2])
def test_each_sink_gets_each_event(start_daemon: StartDaemon, hooks: Hooks, tmp_path: Path, processes: int) -> None:
    """A webhook, a program and a file, each with the same ids, whichever process has the session."""
    file, made = tmp_path / "events.jsonl", tmp_path / "made"
    script = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read() + '\\n' + sys.argv[2] + '\\n')"
    program = {"name": "script", "program": [sys.executable, "-c", script, str(made), "{file}"], "at_once": 1}
    sinks = [hooks.sink(at_once=1), program, {"name": "lines", "file": str(file)}]
    daemon = start_daemon({"events": {"record": ALL, "sinks": sinks}, "processes": processes})
    account = daemon.account()
    ftp = session(daemon, account)
    data = content(200_000)
    assert upload(ftp, "a", data).startswith("226")
    ftp.sendcmd("SITE CPFR a")
    assert ftp.sendcmd("SITE CPTO b").startswith("250")
    ftp.retrbinary("RETR b", lambda _: None)
    ftp.rename("b", "c")
    ftp.delete("c")
    with pytest.raises(ftplib.error_perm):
        ftp.delete("missing")
    ftp.quit()
    expected = [
        ("file-stored", "/a"),
        ("file-copied", "/b"),
        ("file-sent", "/b"),
        ("file-renamed", "/c"),
        ("file-deleted", "/c"),
    ]
    eventually(lambda: len(lines(file)) >= 5 and len(hooks.taken) >= 5, "five events", 20)
    assert told(lines(file)) == expected
    assert sorted(told(hooks.taken)) == sorted(expected)
    ids = {event["id"] for event in lines(file)}
    assert len(ids) == 5
    assert {event["id"] for event in hooks.taken} == ids
    eventually(lambda: made.exists() and made.read_text().count("\n") >= 10, "the program", 20)
    said = made.read_text().splitlines()
    assert {json.loads(line)["id"] for line in said[::2]} == ids
    assert str(account.home / "a") in said
    first = next(event for event in hooks.taken if event["type"] == "ftpsd.file-stored")
    assert (first["specversion"], first["data"]["bytes"], first["data"]["user"]) == ("1.0", len(data), account.name)
    assert "file" not in first["data"]
    assert lines(file)[0]["data"]["file"] == str(account.home / "a")
    hook = hooks.got[0]
    signed = f"{hook.headers['webhook-id']}.{hook.headers['webhook-timestamp']}.".encode() + hook.body
    digest = base64.b64encode(hmac.digest(hooks.key, signed, "sha256")).decode()
    assert hook.headers["webhook-signature"] == f"v1,{digest}"
    metrics = daemon.metrics()
    assert metrics['ftpsd_event_deliveries_total{result="taken",sink="lines"}'] == 5
    assert metrics['ftpsd_event_queue_length{sink="lines"}'] == 0
