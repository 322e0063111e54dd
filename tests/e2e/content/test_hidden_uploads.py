"""`accept: hidden` against a real clamd: 226 at once, nothing to be seen before the verdict, also behind a crash."""

from __future__ import annotations

import ftplib
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.client import CLEAR, download, log_in, reply, upload
from tests.e2e.conftest import StartDaemon
from tests.e2e.content.clamav import EICAR, ClamAV
from tests.e2e.content.storing import said
from tests.e2e.daemon import Account, Daemon
from tests.e2e.encrypted import make_keys
from tests.e2e.polling import eventually


@pytest.fixture
def daemon(start_daemon: StartDaemon, clamd: ClamAV, tmp_path: Path) -> Iterator[Daemon]:
    """A daemon that hides what comes to /in, of one user whose home is encrypted, and the events it records."""
    changes = {
        "tls": {"require": "none"},
        "accept": [
            {"paths": ["/in/**"], "scan": [clamd.url], "max_size": 100_000, "accept": "hidden"},
            {"paths": ["/data/**"], "program": ["/bin/true"]},
        ],
        "quarantine": {"directory": str(tmp_path / "held")},
        "encryption": make_keys(tmp_path / "keys"),
        "events": {"sinks": [{"name": "all", "file": str(tmp_path / "events.jsonl")}]},
    }
    daemon = start_daemon(changes)
    yield daemon
    clamd.resume()


def account_in(daemon: Daemon, *, is_encrypted: bool = False) -> Account:
    """Return a user with a directory /in."""
    account = daemon.account()
    (account.home / "in").mkdir()
    if is_encrypted:
        users = daemon.users
        users[account.name]["encryption"] = "main"
        daemon.write_users(users)
        assert daemon.order("reload").returncode == 0
    return account


def assert_invisible(ftp: ftplib.FTP, name: str) -> None:
    """No command of a client sees it."""
    assert name not in str(ftp.nlst("in"))
    assert name not in str(list(ftp.mlsd("in")))
    for command in (f"SIZE in/{name}", f"MDTM in/{name}", f"RNFR in/{name}", f"DELE in/{name}", f"MLST in/{name}"):
        assert reply(ftp, command).startswith("550"), command
    with pytest.raises(ftplib.error_perm, match="550"):
        ftp.voidcmd(f"HASH in/{name}")
    with pytest.raises(ftplib.error_perm, match="550"):
        download(ftp, f"in/{name}")


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_it_is_there_when_it_has_been_judged(daemon: Daemon, clamd: ClamAV, tmp_path: Path, is_encrypted: bool) -> None:
    """Clean files get their names, in the order they came; finds go into the quarantine; each is an event."""
    account = account_in(daemon, is_encrypted=is_encrypted)
    ftp = log_in(daemon, CLEAR, account)
    ftp.voidcmd("TYPE I")
    clamd.pause()
    for data in (b"first", b"second"):
        assert upload(ftp, "in/clean", data).startswith("226")
    assert upload(ftp, "in/bad", EICAR).startswith("226")
    unique = upload(ftp, "in/x", b"unique", "STOU").rpartition("stored as ")[2].rstrip(".")
    for name in ("clean", "bad", unique):
        assert_invisible(ftp, name)
    assert list((account.home / "in").iterdir()) == []
    assert said(ftp, "in/large", bytes(100_001)).startswith("552")
    assert daemon.wait_for_event("file-stored", path="/in/clean")["hidden"] is True
    clamd.resume()

    event = daemon.wait_for_event("upload-refused", path="/in/bad", user=account.name)
    assert (event["verdict"], event["kept"]) == ("infected", True)
    published = daemon.wait_for_event("upload-published", path="/in/clean", bytes=6, user=account.name)
    assert published["sha256"] is not None
    daemon.wait_for_event("upload-published", path=f"/in/{unique}")
    assert (download(ftp, "in/clean"), download(ftp, f"in/{unique}")) == (b"second", b"unique")
    assert (account.home / "in" / "clean").read_bytes() == b"second" or is_encrypted
    assert_invisible(ftp, "bad")
    listed = json.loads(daemon.order("quarantine", "list", "--json").stdout)
    assert [each["path"] for each in listed if each["owner"] == account.name] == ["/in/bad"]
    assert list((tmp_path / "held" / "hidden").glob("*/*")) == []

    def types() -> list[str]:
        lines = (tmp_path / "events.jsonl").read_text().splitlines()
        return [each["type"] for each in map(json.loads, lines) if each.get("subject") == "/in/clean"]

    eventually(lambda: types() == ["ftpsd.upload-published"] * 2, "both in the ledger, and no earlier event")
    # An upload that is built on a file is judged at once.
    assert said(ftp, "in/clean", EICAR, "APPE").startswith("550")
    assert download(ftp, "in/clean") == b"second"
    # A verdict is kept with it as with others, and a rescan passes it by.
    counts = json.loads(daemon.order("rescan", "--json").stdout)
    assert (counts["clean"], counts["found"]) == (0, 0)


def test_a_crash_before_the_verdict(daemon: Daemon, clamd: ClamAV, tmp_path: Path) -> None:
    """Nothing is published without one, and nothing is lost: they are settled by the next start."""
    account = account_in(daemon)
    ftp = log_in(daemon, CLEAR, account)
    clamd.pause()
    assert upload(ftp, "in/clean", b"clean").startswith("226")
    assert upload(ftp, "in/bad", EICAR).startswith("226")
    eventually(lambda: daemon.metrics()['ftpsd_quarantine_files{place="hidden"}'] == 2, "both in the metrics")
    assert "2 hidden uploads wait" in daemon.order("status").stdout
    daemon.signal(signal.SIGKILL)
    daemon.ended()
    assert len(list((tmp_path / "held" / "hidden").glob("*/*.held"))) == 2
    daemon.start()
    assert_invisible(log_in(daemon, CLEAR, account), "clean")
    clamd.resume()
    daemon.wait_for_event("upload-published", path="/in/clean")
    daemon.wait_for_event("upload-refused", path="/in/bad", kept=True)
    assert [(file.name, file.read_bytes()) for file in (account.home / "in").iterdir()] == [("clean", b"clean")]


def test_what_clients_do_meanwhile(daemon: Daemon, clamd: ClamAV) -> None:
    """An upload still gets its name when its client sets times or removes the old file before there is a verdict."""
    account = account_in(daemon)
    ftp = log_in(daemon, CLEAR, account)
    ftp.voidcmd("TYPE I")
    for name in ("timed", "removed"):
        assert upload(ftp, f"in/{name}", b"old").startswith("226")
        daemon.wait_for_event("upload-published", path=f"/in/{name}", user=account.name)
    clamd.pause()
    for data in (b"new", b"newest"):
        for name in ("timed", "removed"):
            assert upload(ftp, f"in/{name}", data).startswith("226")
        if data == b"new":
            ftp.delete("in/removed")
        # They mean what they have sent just now, which cannot be seen.
        for second in (len(data), 9):
            assert reply(ftp, f"MFMT 2020010203040{second} in/timed").startswith("213 Modify=2020")
        assert reply(ftp, "SITE CHMOD 0640 in/timed").startswith("200")
        assert (account.home / "in" / "timed").stat().st_mtime > 1_600_000_000
    clamd.resume()
    for name in ("timed", "removed"):
        daemon.wait_for_event("upload-published", path=f"/in/{name}", bytes=6, user=account.name)
        assert download(ftp, f"in/{name}") == b"newest"
    assert reply(ftp, "MDTM in/timed") == "213 20200102030409"
    assert (account.home / "in" / "timed").stat().st_mode & 0o777 == 0o640
    assert account.name not in daemon.order("quarantine", "list").stdout


def test_a_rule_for_the_way_there_holds_for_the_verdict(daemon: Daemon) -> None:
    """Behind a link the rules of both paths are asked: that of the link's has the engine which finds something."""
    account = account_in(daemon)
    (account.home / "data").mkdir()
    (account.home / "in" / "link").symlink_to("../data")
    ftp = log_in(daemon, CLEAR, account)
    for name, data in (("bad", EICAR), ("clean", b"clean")):
        assert upload(ftp, f"in/link/{name}", data).startswith("226")
    refused = daemon.wait_for_event("upload-refused", path="/in/link/bad")
    assert (refused["verdict"], refused["kept"]) == ("infected", True)
    daemon.wait_for_event("upload-published", path="/in/link/clean")
    assert [file.name for file in (account.home / "data").iterdir()] == ["clean"]


def test_what_operators_do_meanwhile(daemon: Daemon, clamd: ClamAV, tmp_path: Path) -> None:
    """An upload follows the directory of the quarantine, counts, loses its record or its key, and is not lost."""
    account, gone = account_in(daemon), account_in(daemon, is_encrypted=True)
    users = daemon.users
    users[gone.name]["encryption"] = "main"
    users[account.name]["quota"] = {"bytes": 100_000}
    daemon.write_users(users)
    assert daemon.order("reload").returncode == 0
    ftp, other = (log_in(daemon, CLEAR, each) for each in (account, gone))
    clamd.stop()
    assert upload(ftp, "in/file", bytes(60_000)).startswith("226")
    assert said(ftp, "in/more", bytes(60_000)).startswith("552"), "the first counts"
    assert upload(ftp, "in/lost", b"lost").startswith("226")
    assert upload(other, "in/file", b"of a user who goes").startswith("226")
    assert daemon.order("shred", gone.name, "--yes").returncode == 0
    refused = daemon.wait_for_event("upload-refused", path="/in/file", user=gone.name)
    assert (refused["verdict"], refused["found"], refused["kept"]) == ("unreadable", "destroyed-key", True)

    # A reload brings it elsewhere, and so does a start.
    def move(before: str, after: str) -> None:
        text = daemon.config_file.read_text()
        daemon.config_file.write_text(text.replace(str(tmp_path / before), str(tmp_path / after)))

    move("held", "reloaded")
    assert daemon.order("reload").returncode == 0
    eventually(lambda: len(list((tmp_path / "reloaded" / "hidden").glob("*/*.held"))) == 2, "all are there")
    eventually(lambda: not list((tmp_path / "held" / "hidden").rglob("*.held")), "none is left")
    daemon.stop()
    for record in (tmp_path / "reloaded" / "hidden").glob("*/*.json"):
        if "/in/lost" in record.read_text():
            record.write_text("{")
    move("reloaded", "restarted")
    daemon.start()
    eventually(lambda: len(list((tmp_path / "restarted" / "hidden").glob("*/*.held"))) == 1, "that with a record")
    ftp = log_in(daemon, CLEAR, account)
    eventually(lambda: reply(ftp, "AVBL /") == "213 40000", "it counts on")
    clamd.start()
    daemon.wait_for_event("upload-published", path="/in/file", user=account.name)
    # The directory of before, put back: what has lost its record is not lost there.
    daemon.stop()
    move("restarted", "reloaded")
    daemon.start()
    found = daemon.wait_for_event("held-file-found", bytes=4)
    (listed,) = json.loads(daemon.order("quarantine", "list", "--json").stdout)
    assert (listed["incident"], listed["verdict"]) == (found["incident"], "no-record")
    why = daemon.order("quarantine", "release", found["incident"], "--reason", "try").stderr
    assert "nobody knows where" in why
    assert daemon.order("quarantine", "purge", found["incident"]).returncode == 0
