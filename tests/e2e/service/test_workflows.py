"""Workflows of the real daemon: every action behind a real upload, failures, orders, reloads, several processes."""

from __future__ import annotations

import ftplib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml

from tests.e2e.client import EXPLICIT, content, download, log_in, upload
from tests.e2e.conftest import StartDaemon
from tests.e2e.content.openpgp import Partner
from tests.e2e.daemon import Account, Daemon
from tests.e2e.encrypted import encrypt_homes, make_keys
from tests.e2e.forked import ftpsd
from tests.e2e.polling import eventually
from tests.events.post_office import PostOffice
from tests.events.receiver import Hooks


@pytest.fixture
def hooks(tmp_path: Path) -> Iterator[Hooks]:
    """A receiver."""
    receiver = Hooks(tmp_path)
    yield receiver
    receiver.stop()


@pytest.fixture
def post(tmp_path: Path) -> Iterator[PostOffice]:
    """A mail server."""
    office = PostOffice(tmp_path)
    yield office
    office.stop()


@pytest.fixture
def partner() -> Iterator[Partner]:
    """Somebody with a key."""
    made = Partner()
    yield made
    made.close()


def session(daemon: Daemon, account: Account) -> ftplib.FTP:
    """Return a session that stores as it is."""
    ftp = log_in(daemon, EXPLICIT, account)
    ftp.sendcmd("TYPE I")
    return ftp


def commanded(daemon: Daemon, *arguments: str) -> CompletedProcess[str]:
    """Run a command."""
    return ftpsd(*arguments[:2], "--config", daemon.config_file, *arguments[2:], environ=daemon.environ)


def runs_of(daemon: Daemon) -> list[dict[str, Any]]:
    """Return the runs that `ftpsd workflows history` lists."""
    listed: list[dict[str, Any]] = json.loads(commanded(daemon, "workflows", "history", "--json").stdout)
    return listed


def test_every_action(
    start_daemon: StartDaemon, hooks: Hooks, post: PostOffice, partner: Partner, tmp_path: Path
) -> None:
    """In order, with two processes: what each gets is the file as it is by then; a failure is told and gone on with."""
    ours, theirs = partner.make_key("ours@example.com"), partner.make_key("theirs@example.com")
    seen, gate = tmp_path / "seen", tmp_path / "gate"
    note = "import sys; open(sys.argv[1], 'a').write(' '.join(sys.argv[2:]) + chr(10))"
    wait = "import os, sys; sys.exit(0 if os.path.exists(sys.argv[1]) else 'the gate is closed')"
    hook = {key: value for key, value in hooks.sink().items() if key != "name"}
    workflows = [
        {
            "name": "all",
            "paths": ["/in/**"],
            "names": ["*.CSV"],
            "steps": [
                {"copy": "/kept/{user}/"},
                {"program": [sys.executable, "-c", note, str(seen), "{file}", "{id}"]},
                {"pgp": {"encrypt_to": [theirs], "sign_with": ours, "to": "/sealed/{id}.pgp", "keep": False}},
                {"rename": "{date}-{name}"},
                hook,
                {"program": [sys.executable, "-c", wait, str(gate)]},
                {"move": "/done/"},
            ],
            "on_failure": [{"mail": {"to": ["ops@example.com"], "subject": "{name}: {step}: {reason}"}}],
            "attempts": 2,
            "longest_pause": "1s",
        },
        {"name": "letters", "paths": ["/letters/*"], "steps": [{"mail": {"to": ["a@example.com", "b@example.com"]}}]},
        {"name": "nobody", "paths": ["/bounced/*"], "steps": [{"mail": {"to": ["nobody@example.com"]}}], "attempts": 1},
    ]
    changes = {"events": {}, "workflows": workflows, "mail": post.section(), "processes": 2}
    daemon = start_daemon(changes)
    keys = tmp_path / "keys.asc"
    keys.write_bytes(partner.secret("ours@example.com") + partner.public("theirs@example.com"))
    imported = commanded(daemon, "keys", "import", str(keys))
    assert imported.returncode == 0, imported.stderr
    account = daemon.account()
    ftp = session(daemon, account)
    for folder in ("in", "letters", "bounced"):
        ftp.mkd(folder)
    data = content(100_000)
    assert upload(ftp, "in/a.csv", data).startswith("226")
    upload(ftp, "in/a.txt", b"not meant")
    failed = daemon.wait_for_event("workflow-failed", workflow="all")
    assert (failed["action"], failed["attempts"], failed["step"]) == ("program", 2, 6)
    assert failed["reason"] == "it ended with 1: the gate is closed"
    assert failed["user"] == account.name
    id = failed["id"]
    eventually(lambda: len(post.letters) == 1, "the mail about it", 20)
    envelope, letter = post.letters[0]
    assert envelope["to"] == "ops@example.com"
    assert letter["subject"].endswith(f"-{id}.pgp: program: it ended with 1: the gate is closed")
    assert letter["message-id"].startswith(f"<{id}.all.on-failure.0@")
    assert (account.home / "kept" / account.name / "a.csv").read_bytes() == data
    assert seen.read_text() == f"{account.home / 'in' / 'a.csv'} {id}\n"
    assert not (account.home / "in" / "a.csv").exists()
    (sealed,) = (account.home / "sealed").iterdir()
    assert partner.gpg("--decrypt", given=sealed.read_bytes()) == data
    (event,) = hooks.taken
    assert (event["id"], event["data"]["path"]) == (id, f"/sealed/{sealed.name}")
    assert event["data"]["workflow"] == "all"
    eventually(
        lambda: daemon.metrics().get('ftpsd_event_dead_letters{sink="workflow.all"}') == 1, "the dead letter", 20
    )
    (row,) = json.loads(commanded(daemon, "workflows", "list", "--json").stdout)[:1]
    assert (row["workflow"], row["failed"], row["done"]) == ("all", 1, 0)
    gate.touch()
    assert "1 run to be gone on with" in commanded(daemon, "workflows", "retry", id).stdout
    daemon.wait_for_event("workflow-finished", workflow="all", result="done")
    assert partner.gpg("--decrypt", given=(account.home / "done" / sealed.name).read_bytes()) == data
    assert len(hooks.taken) == 1
    assert seen.read_text().count("\n") == 1
    (told,) = json.loads(commanded(daemon, "workflows", "show", id).stdout)
    assert [line["action"] for line in told["history"] if line["result"] == "done"] == [
        *("copy", "program", "pgp", "rename", "webhook", "mail", "program", "move", "")
    ]
    name = 'ftpsd_workflow_steps_total{action="move",result="done",workflow="all"}'
    eventually(lambda: daemon.metrics()[name] == 1, "the step is counted")
    # Names and texts of mails; a mailbox that is not there.
    upload(ftp, "letters/x", b"12345")
    eventually(lambda: len(post.letters) == 3, "two letters", 20)
    assert {envelope["to"] for envelope, _ in post.letters[1:]} == {"a@example.com", "b@example.com"}
    text = post.letters[2][1].get_payload(decode=True)
    assert isinstance(text, bytes)
    assert f"/letters/x\nuser: {account.name}\nbytes: 5\n" in text.decode()
    upload(ftp, "bounced/x", b"12345")
    bounced = daemon.wait_for_event("workflow-failed", workflow="nobody")
    assert "does not take nobody@example.com" in bounced["reason"]
    # A mail server that another authority stands for gets no password and no mail.
    stranger = post.section(authority=str(hooks.identity.authority))
    daemon.config_file.write_text(yaml.safe_dump({**daemon.settings(), "mail": stranger}))
    daemon.reload()
    upload(ftp, "bounced/y", b"12345")
    eventually(lambda: len(daemon.audit("workflow-failed")) == 3, "the refusal of the server", 20)
    assert "is not to be trusted" in daemon.audit("workflow-failed")[-1]["reason"]
    assert len(post.letters) == 3
    # To another server, which here is this one, as another user: whole, under its name, and then it goes here.
    there, secret = daemon.account(), tmp_path / "there"
    secret.write_text(there.password)
    secret.chmod(0o600)
    here = {
        "name": "there",
        "host": "localhost",
        "port": daemon.ports.explicit,
        "user": there.name,
        "password_file": str(secret),
        "authority": str(daemon.tls.authority),
    }
    pushed = {"push": {"partner": "there", "to": "/got/{user}/"}}
    sending = {"name": "sending", "paths": ["/out/*"], "steps": [pushed, {"move": "/sent/"}], "longest_pause": "1s"}
    daemon.config_file.write_text(yaml.safe_dump({**daemon.settings(), "partners": [here], "workflows": [sending]}))
    daemon.reload()
    ftp.mkd("out")
    upload(ftp, "out/x.bin", data)
    daemon.wait_for_event("workflow-finished", workflow="sending", result="done")
    assert (there.home / "got" / account.name / "x.bin").read_bytes() == data
    assert [path.name for path in (there.home / "got" / account.name).iterdir()] == ["x.bin"]
    assert (account.home / "sent" / "x.bin").read_bytes() == data
    secret.write_text("not that one")
    daemon.config_file.write_text(
        yaml.safe_dump({**daemon.settings(), "partners": [here], "workflows": [{**sending, "attempts": 1}]})
    )
    daemon.reload()
    upload(ftp, "out/y.bin", data)
    refused = daemon.wait_for_event("workflow-failed", workflow="sending")
    assert refused["reason"].startswith("there: ")
    assert "not that one" not in daemon.audit_text() + daemon.stderr
    assert (account.home / "out" / "y.bin").exists()
    ftp.quit()


def test_in_an_encrypted_home(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """Files that a workflow copies and moves there are encrypted on the disk, and whole for their user."""
    steps = [{"copy": "/copies/"}, {"move": "/done/{date}/"}]
    changes = {"events": {}, "workflows": [{"name": "w", "paths": ["/in/*"], "steps": steps}]}
    daemon = start_daemon({**changes, "encryption": make_keys(tmp_path / "keys")})
    encrypt_homes(daemon)
    daemon.reload()
    account = daemon.account()
    ftp = session(daemon, account)
    ftp.mkd("in")
    data = b"plain text " * 10_000
    upload(ftp, "in/a", data)
    done = daemon.wait_for_event("workflow-finished", workflow="w", result="done")
    for path in ("/copies/a", done["path"]):
        assert download(ftp, path) == data
        assert b"plain text" not in (account.home / path.lstrip("/")).read_bytes()
    ftp.quit()
