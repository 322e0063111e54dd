"""`ftpsd quarantine` against real daemons, of one process and of two."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import CLEAR, download, log_in, upload
from tests.e2e.conftest import StartDaemon
from tests.e2e.content.clamav import EICAR, ClamAV
from tests.e2e.content.storing import said
from tests.e2e.daemon import Daemon
from tests.e2e.encrypted import encrypt_homes, make_keys
from tests.e2e.polling import eventually

INCIDENT = re.compile(r"Incident ([0-9a-f]{10})")


def refused(reply: str) -> str:
    """Return the incident in *reply*."""
    found = INCIDENT.search(reply)
    assert found is not None, reply
    return found[1]


def quota_of(daemon: Daemon, name: str, size: int) -> None:
    """Give the user *name* room for *size* bytes."""
    users: dict[str, Any] = daemon.users
    users[name]["quota"] = {"bytes": size}
    daemon.write_users(users)


@pytest.mark.parametrize("processes", [1, 2])
def test_an_operator_decides(start_daemon: StartDaemon, clamd: ClamAV, processes: int, tmp_path: Path) -> None:
    """List, show, release with a reason, never over what came since without --force, purge."""
    held = tmp_path / "held"
    daemon = start_daemon(
        {
            "processes": processes,
            "tls": {"require": "none"},
            "accept": [{"paths": ["/in/**"], "scan": [clamd.url]}],
            "quarantine": {"directory": str(held)},
            "events": {"sinks": [{"name": "all", "file": str(tmp_path / "events.jsonl")}]},
        }
    )
    account = daemon.account()
    target = account.home / "in" / "file \u202e"
    target.parent.mkdir()
    ftp = log_in(daemon, CLEAR, account)
    first, second = (refused(said(ftp, "in/file \u202e", EICAR + extra)) for extra in (b"", b"two"))

    listed = json.loads(daemon.order("quarantine", "list", "--json").stdout)
    assert [(each["incident"], each["path"], each["verdict"]) for each in listed] == [
        (first, "/in/file \u202e", "infected"),
        (second, "/in/file \u202e", "infected"),
    ]
    shown = daemon.order("quarantine", "show", first).stdout
    assert clamd.url in shown
    assert "ClamAV" in shown
    assert "\u202e" not in shown

    released = daemon.order("quarantine", "release", first, "--reason", "a test file")
    assert released.returncode == 0, released.stderr
    assert target.read_bytes() == EICAR
    event = daemon.wait_for_event("quarantine-released", incident=first)
    assert (event["owner"], event["account"], event["reason"]) == (account.name, "root", "a test file")

    def given() -> list[tuple[str, str]]:
        file = tmp_path / "events.jsonl"
        lines = map(json.loads, file.read_text().splitlines() if file.exists() else ())
        return [(each["type"], each["subject"]) for each in lines]

    eventually(
        lambda: given() == [("ftpsd.quarantine-released", "/in/file \u202e")], "in the sink, as what was not stored"
    )
    again = daemon.order("quarantine", "release", second, "--reason", "another")
    assert (again.returncode, "has come there since" in again.stderr) == (1, True)
    assert target.read_bytes() == EICAR
    # A legal hold keeps the file that is there, and the refused one.
    made = daemon.order("hold", "add", "--path", "/in/**", "--reason", "a case", "--json")
    hold = json.loads(made.stdout)["hold"]
    kept = daemon.order("quarantine", "release", second, "--reason", "another", "--force")
    assert (kept.returncode, "a legal hold keeps the file" in kept.stderr) == (1, True), kept.stderr
    purged = daemon.order("quarantine", "purge", second)
    assert (purged.returncode, f"kept by the legal hold {hold}" in purged.stderr) == (1, True), purged.stderr
    assert "1 file kept by legal holds" in daemon.order("quarantine", "purge", "all").stderr
    assert target.read_bytes() == EICAR
    assert daemon.order("hold", "remove", hold, "--reason", "over").returncode == 0
    assert daemon.order("quarantine", "release", second, "--reason", "another", "--force").returncode == 0
    assert target.read_bytes() == EICAR + b"two"

    if processes > 1:
        return
    assert daemon.order("quarantine", "release", first).returncode == 2  # no reason
    assert daemon.order("quarantine", "show", first).returncode == 1
    assert upload(ftp, "in/clean", b"clean").startswith("226")
    # One that was to replace a file does so, as long as that is the same.
    third = refused(said(ftp, "in/clean", EICAR))
    assert daemon.order("quarantine", "release", third, "--reason", "fine").returncode == 0
    assert (account.home / "in" / "clean").read_bytes() == EICAR
    fourth = refused(said(ftp, "in/clean", EICAR))
    table = daemon.order("quarantine", "list").stdout
    assert (fourth in table, "/in/clean" in table) == (True, True)
    assert daemon.order("quarantine", "purge", "../../etc/passwd").returncode == 1
    assert daemon.order("quarantine", "purge", fourth).stdout == "removed 1 file\n"
    assert daemon.wait_for_event("quarantine-purged", incident=fourth)["account"] == "root"
    assert list(held.iterdir()) == []
    empty = daemon.order("quarantine", "list")
    assert (empty.returncode, empty.stdout, empty.stderr) == (0, "", "the quarantine is empty\n")


def test_a_refused_file_gives_its_room_back(start_daemon: StartDaemon, clamd: ClamAV, tmp_path: Path) -> None:
    """It counts for no quota while it is kept; what does not fit into the quarantine is not kept, and that is told."""
    changes = {
        "tls": {"require": "none"},
        "accept": [{"paths": ["/**"], "scan": [clamd.url]}],
        "quarantine": {"directory": str(tmp_path / "held"), "max_size": 2000},
    }
    daemon = start_daemon(changes)
    account = daemon.account()
    quota_of(daemon, account.name, 1500)
    assert daemon.order("reload").returncode == 0
    ftp = log_in(daemon, CLEAR, account)
    bad = EICAR.ljust(1400)
    for is_kept in (True, False):
        incident = refused(said(ftp, "bad", bad))
        assert daemon.wait_for_event("upload-refused", incident=incident)["kept"] is is_kept
        assert upload(ftp, "good", bytes(1400)).startswith("226")
        ftp.delete("good")
    assert len([*(tmp_path / "held").glob("*.held")]) == 1
    assert [*account.home.iterdir()] == []


def test_an_encrypted_home(start_daemon: StartDaemon, clamd: ClamAV, tmp_path: Path) -> None:
    """The engine sees what the client sent; what is kept is encrypted, and is released into the home as it is."""
    held, keys = tmp_path / "held", tmp_path / "keys"
    daemon = start_daemon(
        {
            "tls": {"require": "none"},
            "accept": [{"paths": ["/**"], "scan": [clamd.url]}],
            "quarantine": {"directory": str(held)},
            "encryption": make_keys(keys),
        }
    )
    encrypt_homes(daemon)
    assert daemon.order("reload").returncode == 0
    account = daemon.account()
    ftp = log_in(daemon, CLEAR, account)
    incident = refused(said(ftp, "file", EICAR))
    assert EICAR not in (held / f"{incident}.held").read_bytes()
    released = daemon.order("quarantine", "release", incident, "--reason", "a test file")
    assert released.returncode == 0, released.stderr
    assert EICAR not in (account.home / "file").read_bytes()
    assert download(ftp, "file") == EICAR
