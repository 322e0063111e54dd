"""Retention and legal holds, by the real daemon and its commands. Ages are in seconds: nobody can set them back."""

from __future__ import annotations

import ftplib
import io
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ftpsd.cli.asking import PATIENCE, Server
from ftpsd.demo.authority import Demonstration
from tests.e2e.client import EXPLICIT_1_2, log_in
from tests.e2e.daemon import Account, Daemon
from tests.e2e.polling import eventually

AGE = 2.0
SOON = "1s"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, tls_files: Demonstration) -> Iterator[Daemon]:
    """A daemon with rules that delete, archive and stop."""
    with serving(tmp_path_factory.mktemp("retention"), tls_files, processes=1) as daemon:
        yield daemon


@contextmanager
def serving(folder: Path, tls_files: Demonstration, *, processes: int) -> Iterator[Daemon]:
    """Serve with so many processes."""
    archive = folder / "archive"
    archive.mkdir(parents=True)
    rules = [
        {"paths": ["/inbox/**"], "after": SOON, "at_once": 100},
        {"paths": ["/outbox/**"], "after": SOON, "archive": str(archive), "at_once": 100},
        {"paths": ["/many/**"], "after": SOON},
        {"paths": ["/late/**"], "after": "365d"},
    ]
    daemon = Daemon(folder, tls_files, {"retention": rules, "processes": processes}, users=8)
    users = daemon.users
    for entry in users.values():
        entry["quota"] = {"bytes": 1_000_000}
    daemon.write_users(users)
    with daemon.running():
        yield daemon


@pytest.fixture
def account(daemon: Daemon) -> Account:
    """A user of the test's own, with the folders of the rules."""
    return furnished(daemon)


@pytest.fixture
def home(account: Account) -> Path:
    """The home of that user."""
    return account.home


def furnished(daemon: Daemon) -> Account:
    """Return a user that no other test has."""
    account = daemon.account()
    for folder in ("inbox", "outbox", "many", "late", "free"):
        (account.home / folder).mkdir()
    return account


def asked(daemon: Daemon, question: str, **arguments: str) -> Any:
    """Ask at the control socket, as the commands do."""
    return Server(None, daemon.control_socket).ask(question, PATIENCE, **arguments)


def ordered(daemon: Daemon, *arguments: str) -> Any:
    """Give an order; return its JSON."""
    done = daemon.order(*arguments, "--json", "--config", str(daemon.config_file))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def grown_old(*files: Path) -> None:
    """Wait until all *files* are older than the rules want."""
    last = max(file.stat(follow_symlinks=False).st_ctime for file in files)
    eventually(lambda: time.time() > last + 1.1, "the age of files")


def made(home: Path, name: str, data: bytes = b"data") -> Path:
    """Make a file."""
    file = home / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def counted(daemon: Daemon) -> int:
    """Return the number of legal holds on the status page of now."""
    found = re.search(r'data-key="legal holds">(\d+)<', daemon.get("/")[1])
    assert found is not None
    return int(found[1])


def of(answer: Any, user: str) -> dict[str, str]:
    """Return what is told about the files of *user*."""
    return {each["path"]: each["action"] for each in answer["files"] if each["user"] == user}


def test_first_dry_then_for_good(daemon: Daemon, home: Path, tmp_path: Path) -> None:
    """A file that would go is told and stays; then it goes: deleted or archived, each an event. Links lead nowhere."""
    outside = made(tmp_path, "outside/secret")
    files = {name: made(home, name) for name in ("inbox/a", "inbox/deep/er/b", "outbox/c", "late/d", "free/e")}
    partial = made(home, "inbox/.ftpsd-0123456789abcdef-" + "a" * 32)
    (home / "inbox/link").symlink_to(outside)
    (home / "inbox/folder").symlink_to(outside.parent)
    grown_old(*files.values(), partial)
    user = home.name
    lines = daemon.order("explain", user, "read", "/outbox/c").stdout.splitlines()
    assert lines[2:] == [f"retention[1] (/outbox/**) moves it to {daemon.folder / 'archive'} 1s after its last change"]
    told = of(ordered(daemon, "retention", "--dry-run"), user)
    assert told == {"/inbox/a": "delete", "/inbox/deep/er/b": "delete", "/outbox/c": "archive"}
    assert all(file.exists() for file in files.values())
    assert ordered(daemon, "retention")["gone"] >= 3
    assert [name for name, file in files.items() if file.exists()] == ["late/d", "free/e"]
    assert partial.exists()
    assert outside.exists()
    assert (home / "inbox/link").is_symlink()
    archived = daemon.folder / "archive" / home.name / "outbox/c"
    assert archived.read_bytes() == b"data"
    event = daemon.wait_for_event("file-deleted", path="/inbox/deep/er/b", user=user)
    assert (event["reason"], event["rule"], event["bytes"]) == ("retention", "retention[0]", 4)
    assert daemon.wait_for_event("file-archived", path="/outbox/c", user=user)["target"] == str(archived)
    again = made(home, "outbox/c", b"newer")
    grown_old(again)
    asked(daemon, "retention")
    assert sorted(file.read_bytes() for file in archived.parent.iterdir()) == [b"data", b"newer"]


def test_a_hold_outlasts_it(daemon: Daemon, home: Path) -> None:
    """On paths, and on users; what is held is told as held, and goes when the hold is removed."""
    files = [made(home, "inbox/case/a"), made(home, "inbox/b"), made(home, "outbox/c")]
    first = ordered(daemon, "hold", "add", "--path", "/inbox/case/**", "--user", home.name, "--reason", "case 1")
    second = ordered(daemon, "hold", "add", "--user", home.name, "--path", "/outbox/**", "--reason", "case 2")
    grown_old(*files)
    told = of(asked(daemon, "retention-dry"), home.name)
    assert told == {"/inbox/case/a": "held", "/inbox/b": "delete", "/outbox/c": "held"}
    asked(daemon, "retention")
    assert [file.exists() for file in files] == [True, False, True]
    listed = {each["hold"]: each["reason"] for each in ordered(daemon, "hold", "list")}
    assert listed[first["hold"]] == "case 1"
    for hold in (first, second):
        done = daemon.order("hold", "remove", hold["hold"], "--reason", "over", "--config", str(daemon.config_file))
        assert done.returncode == 0, done.stderr
        daemon.wait_for_event("hold-added", hold=hold["hold"])
        daemon.wait_for_event("hold-removed", hold=hold["hold"], reason="over")
    asked(daemon, "retention")
    assert [file.exists() for file in files] == [False, False, False]
    for wrong, why in (
        (("--user", "misspelt", "--reason", "case"), "there is no user misspelt"),
        (("--path", "/**", "--reason", " "), "say why"),
    ):
        done = daemon.order("hold", "add", *wrong, "--config", str(daemon.config_file))
        assert (done.returncode, why in done.stderr) == (1, True), done.stderr
    done = daemon.order("hold", "remove", "nonsense", "--reason", "x", "--config", str(daemon.config_file))
    assert (done.returncode, "there is no hold" in done.stderr) == (1, True)


def test_no_client_destroys_what_is_held(daemon: Daemon, account: Account, home: Path) -> None:
    """By every verb that could: 550 that says why, the hold in the audit log, and the file as it was."""
    file, part = made(home, "free/case/a", b"evidence"), made(home, "free/part", b"part")
    holds = counted(daemon)
    hold = ordered(daemon, "hold", "add", "--path", "/free/case/**", "--user", home.name, "--reason", "case\n3")
    assert counted(daemon) == holds + 1, "counted when the order has ended"
    # Metrics that were asked for a moment ago are answered once more as they were.
    eventually(lambda: daemon.metrics()["ftpsd_legal_holds"] == holds + 1, "the metric")
    before = file.stat()
    told = daemon.order("explain", home.name, "delete", "/free/case/a").stdout
    assert f"the legal hold {hold['hold']} keeps it" in told
    assert "(case\\n3)" in told, "no reason begins a line, or moves a cursor"
    with log_in(daemon, EXPLICIT_1_2, account) as ftp:

        def stored(command: str) -> None:
            ftp.storbinary(command, io.BytesIO(b"new"))

        def over(*lines: str) -> None:
            for line in lines[:-1]:
                ftp.sendcmd(line)
            if lines[-1].startswith(("STOR", "APPE")):
                stored(lines[-1])
            else:
                ftp.voidcmd(lines[-1])

        for lines in (
            ["DELE /free/case/a"],
            ["STOR /free/case/a"],
            ["REST 3", "STOR /free/case/a"],
            ["RANG 0 2", "STOR /free/case/a"],
            ["APPE /free/case/a"],
            ["RNFR /free/case/a", "RNTO /free/b"],
            ["RNFR /free/case", "RNTO /free/elsewhere"],
            ["RNFR /free", "RNTO /late/free"],
            ["RNFR /free/part", "RNTO /free/case/a"],
            ["COMB /free/case/a /free/part"],
            ["SITE CPFR /free/part", "SITE CPTO /free/case/a"],
        ):
            with pytest.raises(ftplib.error_perm, match=r"^550 Permission denied: a legal hold") as refused:
                over(*lines)
            assert "evidence" not in str(refused.value), lines
            assert (file.read_bytes(), file.stat().st_ctime_ns) == (b"evidence", before.st_ctime_ns), lines
        event = daemon.wait_for_event("command", command="DELE", user=home.name)
        assert (event["code"], event["reason"]) == (550, f"legal hold {hold['hold']}")
        assert part.read_bytes() == b"part"
        # A joined file may be new, and a held part of it stays.
        ftp.voidcmd("COMB /free/joined /free/case/a /free/part")
        assert (home / "free/joined").read_bytes() == b"evidencepart"
        assert (file.exists(), part.exists()) == (True, False)
        done = daemon.order("hold", "remove", hold["hold"], "--reason", "over", "--config", str(daemon.config_file))
        assert done.returncode == 0, done.stderr
        ftp.delete("/free/case/a")
    assert not file.exists()


def test_too_many_at_once_need_a_word(daemon: Daemon, home: Path) -> None:
    """As after a jump of the clock: nothing goes under that rule, it is told, and goes when that is confirmed."""
    files = [made(home, f"many/{number}") for number in range(30)]
    grown_old(*files)
    answer = asked(daemon, "retention")
    assert [rule["stopped"] for rule in answer["rules"]] == [False, False, True, False]
    assert all(file.exists() for file in files)
    daemon.wait_for_event("retention-stopped", rule="retention[2]")
    asked(daemon, "retention", confirm="yes")
    assert not any(file.exists() for file in files)


def test_an_invented_time_saves_nothing_and_harms_nothing(daemon: Daemon, home: Path) -> None:
    """A time of modification in the past lets nothing go early, one in the future keeps nothing."""
    old, new = made(home, "late/old"), made(home, "inbox/new")
    os.utime(old, (1.0, 1.0))
    os.utime(new, (4e9, 4e9))
    grown_old(old, new)
    asked(daemon, "retention")
    assert (old.exists(), new.exists()) == (True, False)


def test_the_quota_is_released(daemon: Daemon, account: Account, home: Path) -> None:
    """A file that has gone makes room at once."""
    with log_in(daemon, EXPLICIT_1_2, account) as ftp:
        ftp.storbinary("STOR /inbox/big", io.BytesIO(bytes(900_000)))
        with pytest.raises(ftplib.error_perm, match="552"):
            ftp.storbinary("STOR /free/next", io.BytesIO(bytes(900_000)))
        grown_old(home / "inbox/big")
        asked(daemon, "retention")
        assert ftp.storbinary("STOR /free/next", io.BytesIO(bytes(900_000))).startswith("226")


def test_one_process_of_several_does_it(tmp_path: Path, tls_files: Demonstration) -> None:
    """Orders reach it through the supervisor, and its events are in the one audit log, once."""
    with serving(tmp_path / "several", tls_files, processes=2) as daemon:
        account = furnished(daemon)
        home = account.home
        files = [made(home, "inbox/a"), made(home, "inbox/b")]
        hold = asked(daemon, "hold", reason="case", by="me", paths="/inbox/a")
        for _ in range(4):  # whichever process has the session
            with log_in(daemon, EXPLICIT_1_2, account) as ftp, pytest.raises(ftplib.error_perm, match="legal hold"):
                ftp.delete("/inbox/a")
        grown_old(*files)
        assert asked(daemon, "retention-dry")["overdue"] == 1
        assert asked(daemon, "retention")["gone"] == 1
        assert [file.exists() for file in files] == [True, False]
        daemon.wait_for_event("hold-added", hold=hold["hold"])
        daemon.wait_for_event("file-deleted", path="/inbox/b")
        assert len(daemon.audit("file-deleted")) == len(daemon.audit("hold-added")) == 1


def test_a_directory_that_cannot_be_read_is_told(daemon: Daemon, home: Path) -> None:
    """An archive that is gone: the file stays, and an event says why."""
    archive = daemon.folder / "archive"
    file = made(home, "outbox/stays")
    grown_old(file)
    archive.rename(daemon.folder / "elsewhere")
    try:
        assert asked(daemon, "retention")["gone"] == 0
    finally:
        (daemon.folder / "elsewhere").rename(archive)
    assert file.exists()
    failed = daemon.wait_for_event("retention-failed")
    assert "outbox/stays" in failed["reason"]
