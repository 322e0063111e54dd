"""Events on their way to other systems: one upload, rename, deletion or download is one event at each sink."""

from __future__ import annotations

import base64
import ftplib
import hmac
import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.e2e.client import EXPLICIT, content, log_in, upload
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Account, Daemon
from tests.e2e.forked import ftpsd
from tests.e2e.polling import eventually
from tests.events.receiver import Hooks, take

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


def commanded(daemon: Daemon, *arguments: str) -> CompletedProcess[str]:
    """Run `ftpsd events`."""
    return ftpsd("events", arguments[0], "--config", daemon.config_file, *arguments[1:], environ=daemon.environ)


def test_temporary_names_and_the_command_line(start_daemon: StartDaemon, hooks: Hooks, tmp_path: Path) -> None:
    """One event for an upload that is renamed; given up, shown, delivered again, and gone on with after a restart."""
    file = tmp_path / "events.jsonl"
    hooks.answer = lambda _, event: 500 if event["subject"] == "/bad" else 200
    sinks = [hooks.sink(attempts=2), {"name": "lines", "file": str(file)}]
    daemon = start_daemon({"events": {"sinks": sinks}})
    account = daemon.account()
    ftp = session(daemon, account)
    for temporary, name in (("a.filepart", "a"), (".in.b.", "b"), ("C.TMP", "c"), ("d.tmp", "d.part")):
        assert upload(ftp, temporary, b"data").startswith("226")
        ftp.rename(temporary, name)
    ftp.mkd("way")
    upload(ftp, "way/held.part", b"data")
    ftp.rename("way", "moved")
    with closing(sqlite3.connect(daemon.folder / "state.db", timeout=10)) as state:
        held = state.execute("SELECT place, json_extract(data, '$.path') FROM intents WHERE is_held").fetchall()
    assert (os.fsencode(account.home / "moved" / "held.part"), "/moved/held.part") in held
    upload(ftp, "gone.tmp", b"data")
    ftp.delete("gone.tmp")
    upload(ftp, "e.tmp", b"old")
    upload(ftp, "e.tmp", b"new data")
    ftp.rename("e.tmp", "e")
    ftp.rename("d.part", "d")
    upload(ftp, "bad", b"data")
    expected = [("file-stored", f"/{name}") for name in ("a", "b", "c", "e", "d", "bad")]
    eventually(lambda: len(lines(file)) >= 6, "six events", 20)
    assert told(lines(file)) == expected
    assert [event["data"].get("uploaded_as") for event in lines(file)][:2] == ["/a.filepart", "/.in.b."]
    assert [event["data"]["bytes"] for event in lines(file)] == [4, 4, 4, 8, 4, 4]
    given_up = daemon.wait_for_event("event-given-up", sink="hooks")
    assert (given_up["reason"], given_up["attempts"]) == ("it answered 500", 2)
    eventually(lambda: daemon.metrics()['ftpsd_event_dead_letters{sink="hooks"}'] == 1, "the dead letter is counted")
    (row,) = json.loads(commanded(daemon, "list", "--state", "dead", "--json").stdout)
    assert (row["id"], row["path"], row["sink"], row["reason"]) == (given_up["id"], "/bad", "hooks", "it answered 500")
    assert "/bad" in commanded(daemon, "list").stdout
    shown = json.loads(commanded(daemon, "show", row["id"]).stdout)
    assert (shown["event"]["subject"], shown["sinks"]["hooks"]["state"]) == ("/bad", "dead")
    assert commanded(daemon, "show", "none").returncode == 1
    assert commanded(daemon, "replay").returncode == 2
    hooks.answer = take
    assert "1 event to be delivered again" in commanded(daemon, "replay", "--dead").stdout
    eventually(lambda: "/bad" in [event["subject"] for event in hooks.taken], "the delivery", 20)
    assert next(event for event in hooks.taken if event["subject"] == "/bad")["id"] == row["id"]
    eventually(lambda: daemon.metrics()['ftpsd_event_dead_letters{sink="hooks"}'] == 0, "no dead letter", 20)
    count = len(hooks.got)
    hooks.answer = lambda _, __: 503
    upload(ftp, "later", b"data")
    eventually(lambda: len(hooks.got) > count, "an attempt", 20)
    ftp.quit()
    daemon.stop()
    assert "dropped" in commanded(daemon, "drop", "--all", "--sink", "lines").stdout
    hooks.answer = take
    daemon.start()
    eventually(lambda: hooks.taken[-1]["subject"] == "/later", "the delivery behind a restart", 20)
    assert len({event["id"] for event in hooks.taken}) == 7
    assert len(lines(file)) == 7


def test_a_dead_receiver_costs_no_client_anything(start_daemon: StartDaemon, hooks: Hooks) -> None:
    """Uploads are answered, the operator is told once, and a reload with another address delivers them all."""
    sink = hooks.sink(longest_pause="1s")
    hooks.answer = lambda _, __: 503
    daemon = start_daemon({"events": {"sinks": [sink]}})
    ftp = session(daemon, daemon.account())
    for number in range(20):
        assert upload(ftp, f"f{number}", b"data").startswith("226")
    ftp.quit()
    daemon.wait_for_event("sink-failing", sink="hooks")
    # The last one is in the ledger before its 226, and comes out of it a moment later.
    eventually(lambda: daemon.metrics()['ftpsd_event_queue_length{sink="hooks"}'] == 20, "all of them wait", 20)
    assert daemon.metrics()['ftpsd_event_queue_age_seconds{sink="hooks"}'] > 0
    hooks.answer = take
    eventually(lambda: len({event["id"] for event in hooks.taken}) == 20, "all of them", 30)
    daemon.wait_for_event("sink-restored", sink="hooks")
    assert len(daemon.audit("sink-failing")) == 1
