"""Backups and the way back: under load, after a loss of everything, damaged, by hand and as jobs."""

from __future__ import annotations

import ftplib
import json
import os
import shutil
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ftpsd.audit.evidence.keys import public_key_in
from ftpsd.backups.list_signatures import shown_key
from ftpsd.demo.authority import Demonstration
from tests.e2e.client import EXPLICIT, download, log_in, upload
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Account, Daemon
from tests.e2e.encrypted import encrypt_homes, make_keys
from tests.e2e.partners.counterparts import counterpart
from tests.tools import reachable_folder


def backed_up(daemon: Daemon, *arguments: str) -> dict[str, Any]:
    """Make a backup, and return what the command says of it."""
    done = daemon.order("backup", "--json", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def restored(daemon: Daemon, *arguments: str, code: int = 0) -> str:
    """Restore, and return all that the command says."""
    done = daemon.order("restore", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def tree(folder: Path) -> dict[str, bytes]:
    """Return the files below *folder*, without unfinished uploads."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".ftpsd-"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


class Uploader:
    """A client that uploads without end; *done* has the files that it has read a 226 for."""

    def __init__(self, daemon: Daemon, account: Account) -> None:
        self.done: dict[str, bytes] = {}
        self._daemon = daemon
        self._account = account
        self._is_over = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with suppress(OSError, EOFError, ftplib.Error):
            ftp = log_in(self._daemon, EXPLICIT, self._account)
            for number in range(10_000):
                if self._is_over:
                    return
                data = os.urandom(20_000 + number)
                if upload(ftp, f"f{number}", data).startswith("226"):
                    self.done[f"f{number}"] = data

    def stop(self) -> None:
        """End it."""
        self._is_over = True
        self._thread.join(20)


def test_a_drill(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """Back up under load, lose all, restore: users log in, and every file of a 226 before the backup is there."""
    daemon = start_daemon({"events": {}})
    accounts = [daemon.account(), daemon.account()]
    place = tmp_path / "backups"
    uploaders = [Uploader(daemon, account) for account in accounts]
    while min(len(each.done) for each in uploaders) < 10:
        time.sleep(0.01)
    before = [dict(each.done) for each in uploaders]
    told = backed_up(daemon, "--to", str(place))
    assert told["troubles"] == []
    line = daemon.wait_for_event("backup-made")
    assert len(daemon.audit("backup-made")) == 1
    assert (line["backup"], line["files"]) == (told["name"], told["files"])
    for each in uploaders:
        each.stop()
    config = daemon.config_file.read_text()
    signer = shown_key(public_key_in((daemon.folder / "backup.key.pub").read_bytes()))
    # Its ports stay its own: it is started again.
    daemon.signal(signal.SIGKILL)
    daemon.ended()
    kept = [name for name in os.listdir(daemon.folder) if name not in ("stderr", "stdout")]
    for name in kept:
        lost = daemon.folder / name
        shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
    assert not daemon.config_file.exists()
    # The key that signs is in no backup, and lost.
    assert f"signed by {signer}, a key that is not" in restored(daemon, "--from", str(place), "--dry-run", code=2)
    by = ("--signer", signer)
    shown = restored(daemon, "--from", str(place), "--dry-run", *by)
    assert f"new  {daemon.users_file}" in shown
    assert os.listdir(daemon.folder) == ["stderr", "stdout"] or not daemon.config_file.exists()
    # The audit log is lost too, so its line is among what the command says.
    assert '"event":"backup-restored"' in restored(daemon, "--from", str(place), *by)
    assert daemon.config_file.read_text() == config
    assert daemon.users_file.stat().st_mode & 0o777 == 0o600
    daemon.control_socket.parent.mkdir(exist_ok=True)
    daemon.start()
    for account, files in zip(accounts, before, strict=True):
        ftp = log_in(daemon, EXPLICIT, account)
        for name, data in files.items():
            assert download(ftp, name) == data
        ftp.quit()
    listed = json.loads(daemon.order("events", "list", "--limit", "10000", "--json").stdout)
    stored = {(each["user"], each["path"]) for each in listed}
    assert {(a.name, f"/{name}") for a, files in zip(accounts, before, strict=True) for name in files} <= stored
    again = restored(daemon, "--from", str(place), "--dry-run", "--only", "homes", "--json", *by)
    assert json.loads(again)["new"] == []


class Still:
    """A daemon whose files nobody changes, and where its backups are."""

    def __init__(self, folder: Path, tls: Demonstration) -> None:
        self.place = folder / "backups"
        secret = folder / "secret"
        self.daemon = Daemon(folder / "daemon", tls, {}, users=2)
        self.home = self.daemon.account().home
        key, keys = folder / "master", folder / "keys"
        key.write_bytes(os.urandom(32))
        key.chmod(0o600)
        keys.mkdir(mode=0o700)
        secret.write_text("s3cret\n")
        secret.chmod(0o600)
        partner = {"name": "acme", "host": "localhost", "user": "x", "password_file": str(secret)}
        jobs = [{"name": "own", "backup": {"directory": str(self.place), "keep": 2}}]
        self.daemon._changes = {"partners": [partner], "jobs": jobs}
        self.daemon.write_config()
        self.secret = secret
        (self.home / "deep" / "er").mkdir(parents=True)
        (self.home / "a").write_bytes(b"a" * 1000)
        (self.home / "deep" / "er" / "b").write_bytes(b"b" * 2000)
        (self.home / "copy").write_bytes(b"a" * 1000)
        (self.home / "link").symlink_to("a")
        (self.home / ".ftpsd-unfinished").write_bytes(b"x")
        os.utime(self.home / "a", ns=(1_600_000_000_123_456_789, 1_600_000_000_123_456_789))
        (self.home / "a").chmod(0o640)


@pytest.fixture
def still(tmp_path: Path, tls_files: Demonstration) -> Still:
    """One, which does not run: the commands need no server."""
    return Still(tmp_path, tls_files)


def test_only_what_has_changed_is_stored(still: Still) -> None:
    """Same bytes once, unchanged files never again; the oldest backups go, and with them what only they had."""
    first = backed_up(still.daemon)
    assert first["stored"] > 2
    objects = len([*(still.place / "objects").glob("??/*")])
    second = backed_up(still.daemon)
    assert (second["stored"], second["copied"], second["files"]) == (0, 0, first["files"])
    (still.home / "a").write_bytes(b"c" * 1000)
    third = backed_up(still.daemon)
    assert (third["stored"], third["copied"], third["removed"]) == (1, 1000, 1)
    assert len([*(still.place / "objects").glob("??/*")]) == objects + 1
    (still.home / "copy").unlink()
    backed_up(still.daemon)
    backed_up(still.daemon)
    listed = json.loads(restored(still.daemon, "--from", str(still.place), "--list", "--json"))
    assert [each["backup"] for each in listed] == sorted(each["backup"] for each in listed)
    assert len(listed) == 2
    assert len([*(still.place / "objects").glob("??/*")]) == objects
    assert still.place.stat().st_mode & 0o077 == 0
    for within in (still.home, still.home / "deep" / "backups"):
        done = still.daemon.order("backup", "--to", str(within), "--config", str(still.daemon.config_file))
        assert (done.returncode, "which belongs to the server" in done.stderr) == (2, True), done.stderr
    assert not (still.home / "objects").exists()


def test_nothing_is_replaced_silently(still: Still) -> None:
    """A file that differs is named, and bars everything unless it may be replaced; what came since stays."""
    told = backed_up(still.daemon)
    (still.home / "a").write_bytes(b"other")
    (still.home / "deep" / "er" / "b").unlink()
    (still.home / "since").write_bytes(b"new")
    before = tree(still.home)
    for arguments in (("--dry-run",), ()):
        shown = restored(still.daemon, "--job", "own", *arguments, code=1 if arguments else 2)
        assert f"replace  {still.home / 'a'}" in shown
        assert f"new  {still.home / 'deep' / 'er' / 'b'}" in shown
        assert tree(still.home) == before
    restored(still.daemon, told["name"], "--from", str(still.place), "--overwrite")
    assert tree(still.home) == {
        "a": b"a" * 1000,
        "copy": b"a" * 1000,
        "link": b"a" * 1000,
        "deep/er/b": b"b" * 2000,
        "since": b"new",
    }
    status = (still.home / "a").stat()
    assert (status.st_mtime_ns, status.st_mode & 0o777) == (1_600_000_000_123_456_789, 0o640)


def test_a_damaged_or_unfinished_backup_changes_nothing(still: Still) -> None:
    """A flipped bit, a missing object, a list that is cut off, changed or empty: refused before anything is touched."""
    backed_up(still.daemon)
    (list_,) = (still.place / "backups").iterdir()
    whole = list_.read_bytes()
    victim = max((still.place / "objects").glob("??/*"), key=lambda each: each.stat().st_size)
    data = victim.read_bytes()
    (still.home / "a").unlink()
    before = tree(still.home)

    def refused(word: str) -> None:
        for arguments in (("--dry-run",), ("--overwrite",)):
            assert word in restored(still.daemon, "--from", str(still.place), *arguments, code=2)
        assert tree(still.home) == before

    victim.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    refused("was changed")
    victim.unlink()
    refused("is missing")
    victim.write_bytes(data)
    lines = whole.splitlines(keepends=True)
    for changed, word in (
        (b"".join(lines[:-1]), "was not finished"),
        (b"".join(lines[:1] + lines[2:]), "its list was changed"),
        (whole.replace(b'"uid":0', b'"uid":1', 1), "its list was changed"),
        (whole[: len(whole) // 2], "cannot be read"),
        (b"", "cannot be read"),
    ):
        list_.write_bytes(changed)
        refused(word)
    list_.write_bytes(whole)
    restored(still.daemon, "--from", str(still.place))
    assert (still.home / "a").exists()
    assert "there is no backup" in restored(still.daemon, "20200101T000000Z-000000", "--from", str(still.place), code=2)


def test_a_link_in_a_home_leads_nowhere(still: Still, tmp_path: Path) -> None:
    """A user who puts a link where a directory was gets nothing written behind it."""
    backed_up(still.daemon)
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.rmtree(still.home / "deep")
    (still.home / "deep").symlink_to(outside)
    shown = restored(still.daemon, "--from", str(still.place), "--overwrite", "--only", "homes", code=1)
    assert "deep" in shown
    assert [*outside.iterdir()] == []


def test_a_held_file_stays_as_it_is(still: Still) -> None:
    """--overwrite replaces what no legal hold is about, and says what it has left."""
    backed_up(still.daemon)
    with still.daemon.running():
        added = still.daemon.order("hold", "add", "--path", "/a", "--reason", "a case", "--json")
    hold = json.loads(added.stdout)["hold"]
    files = {name: (still.home / name).read_bytes() for name in ("a", "copy")}
    for name in files:
        (still.home / name).write_bytes(b"evidence")
    shown = restored(still.daemon, "--from", str(still.place), "--overwrite", "--only", "homes", code=1)
    assert f"{still.home / 'a'}: left as it is, for the legal hold {hold} keeps it" in shown
    assert (still.home / "a").read_bytes() == b"evidence"
    assert (still.home / "copy").read_bytes() == files["copy"]


def test_keys_go_to_no_other_server(still: Still) -> None:
    """In a directory of this machine the password of a partner is in the backup, at a partner it is not."""
    backed_up(still.daemon)
    assert f"{still.secret.name}" in "".join(path.read_text() for path in (still.place / "backups").iterdir())
    assert any(path.read_bytes() == b"s3cret\n" for path in (still.place / "objects").glob("??/*"))


def test_keys_in_a_tree_stay_out_of_a_backup_without_keys(still: Still) -> None:
    """A tree of `also` that has a password file in it: where there are to be no keys, there is none."""
    tree = still.secret.parent
    backup = {"directory": str(still.place), "keys": False, "also": [str(tree)]}
    still.daemon._changes = {**still.daemon._changes, "jobs": [{"name": "own", "backup": backup}]}
    still.daemon.write_config()
    backed_up(still.daemon)
    stored = [path.read_bytes() for path in (still.place / "objects").glob("??/*")]
    assert b"a" * 1000 in stored
    assert b"s3cret\n" not in stored


def test_directories_above_come_back_with_their_modes(still: Still) -> None:
    """Directories above homes and files are as they were: with 0700 of root the daemon's user could not get through."""
    above = still.home.parent
    above.chmod(0o751)
    backed_up(still.daemon)
    shutil.rmtree(above)
    restored(still.daemon, "--from", str(still.place))
    assert above.stat().st_mode & 0o777 == 0o751
    moved = above.with_name("elsewhere")
    above.rename(moved)
    above.symlink_to(moved)
    again = restored(still.daemon, "--from", str(still.place), "--dry-run", "--json")
    assert json.loads(again)["replaced"] == []


def test_a_damaged_state_file_costs_no_home_its_backup(still: Still) -> None:
    """A file that cannot be read is told, and the backup is made all the same."""
    (still.daemon.folder / "state.db").write_bytes(b"no database at all, " * 100)
    done = still.daemon.order("backup", "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    (trouble,) = json.loads(done.stdout)["troubles"]
    assert "state.db" in trouble
    shutil.rmtree(still.home)
    restored(still.daemon, "--from", str(still.place), "--only", "homes")
    assert (still.home / "a").read_bytes() == b"a" * 1000


def test_encrypted_homes_stay_sealed(tmp_path: Path, tls_files: Demonstration) -> None:
    """Objects are the bytes of the disk, no key is among them; what comes back opens, and after a shred does not."""
    keys, place = tmp_path / "keys", tmp_path / "backups"
    daemon = Daemon(tmp_path / "daemon", tls_files, {"encryption": make_keys(keys)}, users=1)
    encrypt_homes(daemon)
    account = daemon.account()
    plain = b"nobody else may read this" * 1000
    with daemon.running():
        ftp = log_in(daemon, EXPLICIT, account)
        upload(ftp, "secret", plain)
        ftp.quit()
        sealed = (account.home / "secret").read_bytes()
        backed_up(daemon, "--to", str(place))
        objects = [path.read_bytes() for path in (place / "objects").glob("??/*")]
        assert sealed in objects
        never = [path.read_bytes() for path in keys.rglob("*") if path.is_file()]
        assert len(never) >= 2
        assert not any(plain[:25] in each or each in never for each in objects)
        (account.home / "secret").unlink()
        restored(daemon, "--from", str(place), "--only", "homes")
        ftp = log_in(daemon, EXPLICIT, account)
        assert download(ftp, "secret") == plain
        ftp.quit()
        assert daemon.order("shred", account.name, "--yes").returncode == 0
        (account.home / "secret").unlink(missing_ok=True)
        restored(daemon, "--from", str(place), "--only", "homes")
        ftp = log_in(daemon, EXPLICIT, account)
        with pytest.raises(ftplib.Error):
            download(ftp, "secret")
        ftp.close()


def test_a_job_backs_up_to_another_server(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """To vsftpd, as a job of two processes; a second one stores nothing; all comes back; no keys go there."""
    with reachable_folder() as folder, counterpart(folder / "a", "vsftpd") as there:
        there.make("")
        section = there.section(tmp_path, "vault")
        job = {"name": "off-site", "backup": {"partner": "vault", "target": "/safe/ftpsd"}, "attempts": 1}
        daemon = start_daemon({"partners": [section], "jobs": [job], "processes": 2})
        home = daemon.account().home
        (home / "a").write_bytes(os.urandom(300_000))
        before = tree(home)
        for stored in (True, False):
            run = daemon.order("jobs", "run", "off-site", "--json")
            assert run.returncode == 0, run.stdout + run.stderr
            objects = {path.name: path for path in (there.home / "safe" / "ftpsd" / "objects").glob("??/*")}
            if stored:
                first = set(objects)
        # The state alone has changed: it has the run in it.
        assert len(set(objects) - first) <= 1
        secret = (tmp_path / "vault.password").read_bytes()
        assert not any(path.read_bytes() == secret for path in objects.values())
        (home / "a").unlink()
        restored(daemon, "--job", "off-site", "--only", "homes")
        assert tree(home) == before
        (daemon.folder / "state.db").touch()
        shown = restored(daemon, "--job", "off-site", "--overwrite", code=2)
        assert "the server runs" in shown
