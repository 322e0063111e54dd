"""Encryption at rest as operators and clients meet it: alarms, new keys under load, destroyed keys, the raw disk."""

from __future__ import annotations

import ftplib
import json
import os
import shlex
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from ftpsd.audit.evidence.keys import make_key
from ftpsd.demo.authority import Demonstration
from tests.contracts.storages import get, put
from tests.e2e.client import EXPLICIT, code, content, download, log_in, reply, upload
from tests.e2e.daemon import Daemon
from tests.e2e.encrypted import MASTER, encrypt_homes, jail_of, make_keys
from tests.e2e.polling import eventually
from tests.tools import missing, require_tool

NEW = "bb" * 32
# Files that are rekeyed under load; 10,000 with FTPSD_TESTS_LARGE=1.
MANY = 10_000 if os.environ.get("FTPSD_TESTS_LARGE") == "1" else 400
HEADER = 192


@contextmanager
def running(
    folder: Path, tls: Demonstration, keys: Path, changes: dict[str, Any] | None = None, users: int = 6
) -> Iterator[Daemon]:
    """A daemon with encrypted homes."""
    section = make_keys(keys)
    daemon = Daemon(folder, tls, {"encryption": section, **(changes or {})}, users=users)
    encrypt_homes(daemon)
    with daemon.running():
        yield daemon


def use_keys(daemon: Daemon, keys: Path, *masters: str) -> None:
    """Give the configuration other master keys, newest first."""
    daemon._changes = {**daemon._changes, "encryption": make_keys(keys, *masters)}
    daemon.write_config()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The keys of the daemon that tests share."""
    return tmp_path_factory.mktemp("shared") / "keys"


@pytest.fixture(scope="module")
def daemon(keys: Path, tls_files: Demonstration) -> Iterator[Daemon]:
    """One daemon for what does not change its keys."""
    with running(keys.parent / "daemon", tls_files, keys) as daemon:
        yield daemon


def must_be_told(daemon: Daemon, file: Path) -> None:
    """See that *file*, which was altered, is counted, on the page and on standard error."""
    name = 'ftpsd_damaged_files_total{reason="altered"}'
    eventually(lambda: daemon.metrics()[name] >= 1, "the damage is counted")
    assert "newest master keys" in daemon.get("/")[1]
    eventually(lambda: f"{file} cannot be decrypted (altered" in daemon.stderr, "the damage is told")


class TestShared:
    """The tests that do not change the keys."""

    def test_a_damaged_file_is_an_alarm(self, daemon: Daemon) -> None:
        """451, an audit event, a number and a line in the log; the transfer is not complete, and nothing is wrong."""
        account = daemon.account()
        ftp = log_in(daemon, EXPLICIT, account)
        data = content(1_000_000)
        assert upload(ftp, "file", data).startswith("226")
        file = account.home / "file"
        raw = bytearray(file.read_bytes())
        raw[-20] ^= 1
        file.write_bytes(raw)
        got = bytearray()
        connection = ftp.transfercmd("RETR file")
        with suppress(OSError):  # severed, without TLS's close_notify
            while piece := connection.recv(1 << 16):
                got += piece
        connection.close()
        with pytest.raises(ftplib.error_temp) as refusal:
            ftp.voidresp()
        said = str(refusal.value)
        assert (said[:4], "decrypted" in said, str(account.home) in said) == ("451 ", True, False)
        assert data.startswith(got)
        assert len(got) < len(data)
        event = daemon.wait_for_event("file-damaged", path=str(file))
        assert event["reason"] == "altered"
        must_be_told(daemon, file)
        assert daemon.wait_for_event("file-sent", user=account.name)["result"] == "failed"
        file.write_bytes(raw[:-1])
        assert (code(ftp, "HASH file"), code(ftp, "SIZE file")) == (451, 213)
        daemon.wait_for_event("file-damaged", path=str(file), reason="cut")
        ftp.close()

    def test_sizes_and_hashes_are_of_the_users_bytes(self, daemon: Daemon) -> None:
        """SIZE, MLST, HASH, ranges and copies on the server."""
        account = daemon.account()
        ftp = log_in(daemon, EXPLICIT, account)
        data = content(200_000)
        upload(ftp, "file", data)
        assert reply(ftp, "SIZE file") == "213 200000"
        assert "size=200000;" in reply(ftp, "MLST file").lower()
        assert reply(ftp, "SITE CPFR file").startswith("350")
        assert reply(ftp, "SITE CPTO copy").startswith("250")
        assert download(ftp, "copy") == data
        assert reply(ftp, "HASH copy") == reply(ftp, "HASH file").replace("file", "copy")
        ftp.sendcmd("RANG 10 19")
        assert upload(ftp, "file", b"0123456789").startswith("226")
        assert download(ftp, "file", rest=65_530) == data[65_530:]
        assert download(ftp, "file")[:30] == data[:10] + b"0123456789" + data[20:30]
        raw = (account.home / "file").read_bytes()
        assert data[100:200] not in raw
        assert b"0123456789" not in raw
        ftp.close()

    def test_explain_names_the_keys(self, daemon: Daemon) -> None:
        """And `user show` where that is written."""
        account = daemon.account()
        explained = daemon.order("explain", account.name, "read", "/file")
        assert "encrypted with the keys main" in explained.stdout
        rows = json.loads(daemon.order("user", "show", account.name, "--json").stdout)["settings"]
        (row,) = [row for row in rows if row["key"] == "encryption"]
        assert (row["value"], row["from"]) == ("main", f"user {account.name}")

    def test_shred(self, daemon: Daemon, keys: Path) -> None:
        """The running server gives out nothing more, no backup is read, others go on; it is asked for, and logged."""
        gone, other = daemon.account(), daemon.account()
        sessions = [log_in(daemon, EXPLICIT, account) for account in (gone, other)]
        for ftp in sessions:
            upload(ftp, "file", content(70_000))
        refused = daemon.order("shred", gone.name)
        assert refused.returncode != 0
        assert download(sessions[0], "file") == content(70_000)
        held = daemon.order("hold", "add", "--user", gone.name, "--path", "/file", "--reason", "a case", "--json")
        kept = daemon.order("shred", gone.name, "--yes")
        assert (kept.returncode, "the legal hold" in kept.stderr, kept.stdout) == (2, True, "")
        assert download(sessions[0], "file") == content(70_000)
        assert daemon.order("hold", "remove", json.loads(held.stdout)["hold"], "--reason", "over").returncode == 0
        ended = daemon.order("shred", gone.name, "--yes", "--json")
        assert json.loads(ended.stdout) == {
            "user": gone.name,
            "destroyed": {str(gone.home): 1},
            "stays": {},
        }, ended.stderr
        with pytest.raises(ftplib.error_temp) as refusal:
            download(sessions[0], "file")
        assert str(refusal.value).startswith("451 ")
        assert download(sessions[1], "file") == content(70_000)
        daemon.wait_for_event("file-damaged", reason="destroyed-key")
        event = daemon.wait_for_event("data-keys-destroyed", name=gone.name)
        assert (event["directory"], event["keys"]) == (str(gone.home), 1)
        again = daemon.order("shred", gone.name, "--yes")
        assert again.returncode == 1
        for ftp in sessions:
            ftp.close()


def test_rekeyed_under_load(tmp_path: Path, tls_files: Demonstration) -> None:
    """Many files take a new key while clients read, write, append and resume: not one transfer fails."""
    keys = tmp_path / "keys"
    with running(tmp_path / "daemon", tls_files, keys) as daemon:
        account = daemon.account()
        jail = jail_of(keys, account.home)
        for number in range(MANY):
            put(jail, f"/f{number:05}", b"file %d" % number)
        before = {path.name: path.stat().st_mtime_ns for path in account.home.iterdir()}
        use_keys(daemon, keys, NEW, MASTER)
        daemon.reload()
        is_over = threading.Event()
        failures: list[BaseException] = []
        done = [0]

        def work(number: int) -> None:
            try:
                ftp = log_in(daemon, EXPLICIT, account)
                turn = 0
                while not is_over.is_set() or turn < 5:
                    at = (turn * 7 + number * 101) % MANY
                    assert download(ftp, f"f{at:05}") == b"file %d" % at
                    own = f"own{number}"
                    assert upload(ftp, own, b"one").startswith("226")
                    assert upload(ftp, own, b"two", verb="APPE").startswith("226")
                    assert download(ftp, own) == b"onetwo"
                    turn += 1
                    done[0] += 1
                ftp.close()
            except BaseException as error:
                failures.append(error)

        workers = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        for worker in workers:
            worker.start()
        ended = daemon.order("rekey", "--json", patience=60.0 + MANY / 20)
        is_over.set()
        for worker in workers:
            worker.join()
        assert failures == []
        told = json.loads(ended.stdout)
        assert (told["failed"], told["done"] >= MANY, told["plain"]) == (0, True, 0), ended.stderr
        assert done[0] >= 15
        use_keys(daemon, keys, NEW)
        if told["busy"]:
            use_keys(daemon, keys, NEW, MASTER)
            assert json.loads(daemon.order("rekey", "--json").stdout)["complete"]
            use_keys(daemon, keys, NEW)
        assert daemon.order("check").returncode == 0
        daemon.reload()
        only_new = jail_of(keys, account.home, NEW)
        for name, modified in before.items():
            assert (account.home / name).stat().st_mtime_ns == modified
            assert get(only_new, f"/{name}") == b"file %d" % int(name[1:])
        daemon.wait_for_event("rekeyed", failed=0)


def test_lines_of_the_commands_are_in_the_chain(tmp_path: Path, tls_files: Demonstration) -> None:
    """With two processes that write the same log, and with none; where the log cannot be written nothing is done."""
    make_key(tmp_path / "audit.key", tmp_path / "audit.key.pub")
    chain = {"private_key": str(tmp_path / "audit.key"), "lines": 1000}
    changes = {"processes": 2, "audit": {"log": "audit.jsonl", "chain": chain}}
    with running(tmp_path / "daemon", tls_files, tmp_path / "keys", changes) as daemon:
        log = daemon.folder / "audit.jsonl"
        accounts = [daemon.account() for _ in range(3)]
        sessions = [log_in(daemon, EXPLICIT, account) for account in accounts]
        for ftp in sessions:
            upload(ftp, "before", b"before")
        daemon.wait_for_event("file-stored", user=accounts[2].name)
        os.chown(log, 65534, 65534)
        assert daemon.order("rekey").returncode == 0
        assert daemon.order("shred", accounts[0].name, "--yes").returncode == 0
        assert chain_of(daemon)["behind_last_checkpoint"] == 0
        assert (daemon.folder / "audit.jsonl.checkpoint").stat().st_uid == 65534
        for ftp in sessions[1:]:
            upload(ftp, "behind", b"behind")
            ftp.close()
        daemon.wait_for_event("file-stored", user=accounts[2].name, path="/behind")
        log.rename(f"{log}.1")
        refused = daemon.order("shred", accounts[1].name, "--yes")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr.startswith("nothing was done, for it belongs into the chained audit log"), refused.stderr
        assert get(jail_of(tmp_path / "keys", accounts[1].home), "/behind") == b"behind"
        daemon.reload()
        assert daemon.order("shred", accounts[1].name, "--yes").returncode == 0
        sessions[0].close()
        daemon.stop()
        assert daemon.order("rekey").returncode == 0
        told = chain_of(daemon)
        assert (told["behind_last_checkpoint"], told["lost"]) == (0, 0)
        found = daemon.order("audit", "search", "--json").stdout.splitlines()
        events = [json.loads(line)["event"] for line in found]
        assert [events.count(name) for name in ("rekeyed", "data-keys-destroyed")] == [2, 2]
        daemon.start()
        chain_of(daemon)


def chain_of(daemon: Daemon) -> dict[str, Any]:
    """Return what `ftpsd audit verify` says of the log, whose chain is whole."""
    result = daemon.order("audit", "verify", "--json")
    told: dict[str, Any] = json.loads(result.stdout)
    assert (result.returncode, told["broken"]) == (0, None)
    return told


def test_new_files_take_the_newest_key_at_once(tmp_path: Path, tls_files: Demonstration) -> None:
    """In each of several processes, behind a reload."""
    keys = tmp_path / "keys"
    with running(tmp_path / "daemon", tls_files, keys, {"processes": 2}) as daemon:
        account = daemon.account()
        ftp = log_in(daemon, EXPLICIT, account)
        upload(ftp, "old", b"old")
        use_keys(daemon, keys, NEW, MASTER)
        daemon.reload()
        for number in range(4):
            session = log_in(daemon, EXPLICIT, account)
            upload(session, f"new{number}", b"new")
            assert download(session, "old") == b"old"
            session.close()
        masters = {(account.home / name).read_bytes()[8:16] for name in ("new0", "new1", "new2", "new3")}
        assert len(masters) == 1
        assert (account.home / "old").read_bytes()[8:16] not in masters
        ftp.close()


def test_wrong_and_missing_keys(tmp_path: Path, tls_files: Demonstration) -> None:
    """Errors that name the key, for check, start and reload; the old configuration stays."""
    keys = tmp_path / "keys"
    with running(tmp_path / "daemon", tls_files, keys) as daemon:
        account = daemon.account()
        ftp = log_in(daemon, EXPLICIT, account)
        upload(ftp, "file", b"data")
        use_keys(daemon, keys, NEW)
        checked = daemon.order("check")
        assert checked.returncode == 2
        assert "needs the master key" in checked.stderr
        assert "encryption.keys.main" in checked.stderr
        assert NEW not in checked.stderr
        daemon._changes["encryption"]["keys"]["main"] = [{"file": "/nowhere/key"}]
        daemon.write_config()
        checked = daemon.order("check")
        assert "set main: /nowhere/key cannot be read" in checked.stderr
        ended = daemon.order("reload")
        assert ended.returncode == 2
        assert download(ftp, "file") == b"data"
        ftp.close()


def test_keys_from_a_program_and_a_credential(tmp_path: Path, tls_files: Demonstration) -> None:
    """The program gets no secret of our environment, and its output opens the files, as a credential does."""
    keys = tmp_path / "keys"
    section = make_keys(keys)
    program = tmp_path / "unwrap"
    program.write_text(f"#!/bin/sh\nenv >{shlex.quote(str(tmp_path / 'seen'))}\necho {MASTER}\n")
    program.chmod(0o755)
    section["keys"]["main"] = [{"program": [str(program), "ftpsd"], "timeout": "5s"}]
    daemon = Daemon(tmp_path / "daemon", tls_files, {"encryption": section}, users=2)
    daemon._environ["SECRET"] = "value"
    encrypt_homes(daemon)
    try:
        daemon.start()
        account = daemon.account()
        ftp = log_in(daemon, EXPLICIT, account)
        upload(ftp, "file", b"data")
        ftp.close()
        daemon.stop()
        assert "SECRET" not in (tmp_path / "seen").read_text()
        section["keys"]["main"] = [{"credential": "ftpsd-main"}]
        daemon.write_config()
        credentials = tmp_path / "credentials"
        credentials.mkdir()
        (credentials / "ftpsd-main").write_bytes(bytes.fromhex(MASTER))
        daemon._environ["CREDENTIALS_DIRECTORY"] = str(credentials)
        daemon.start()
        ftp = log_in(daemon, EXPLICIT, account)
        assert download(ftp, "file") == b"data"
        ftp.close()
        daemon.stop()
    finally:
        daemon.kill()


@contextmanager
def disk_image(folder: Path) -> Iterator[tuple[Path, Path]]:
    """An ext4 file system in a file, mounted; needs root and loop devices."""
    if os.geteuid() != 0:
        missing("root, for a mount")
    image, place = folder / "disk.img", folder / "mounted"
    place.mkdir()
    image.touch()
    os.truncate(image, 48 << 20)
    subprocess.run([require_tool("mkfs.ext4"), "-q", "-F", str(image)], check=True, capture_output=True)
    mounted = subprocess.run(["mount", "-o", "loop", str(image), str(place)], capture_output=True, text=True)
    if mounted.returncode:
        missing(f"a loop-mounted ext4 ({mounted.stderr.strip()})")
    try:
        yield image, place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_the_disk_never_sees_the_bytes(tmp_path: Path, tls_files: Demonstration) -> None:
    """Searched raw: homes, partials, state file, keys and logs are on that disk, and the marker is nowhere."""
    marker = b"MARKER-b6f1c3-of-plaintext"
    data = marker * 20_000
    with disk_image(tmp_path) as (image, place):
        keys = place / "keys"
        with running(place / "daemon", tls_files, keys, users=2) as daemon:
            account = daemon.account()
            ftp = log_in(daemon, EXPLICIT, account)
            assert upload(ftp, "large", data).startswith("226")
            assert upload(ftp, "small", marker).startswith("226")
            assert upload(ftp, "large", marker, verb="APPE").startswith("226")
            assert upload(ftp, "large", marker * 10, rest=70_000).startswith("226")
            connection = ftp.transfercmd("STOR broken-off")
            connection.sendall(data)
            eventually(lambda: any(p.name.startswith(".ftpsd-") for p in account.home.iterdir()), "a partial")
            ftp.putcmd("ABOR")
            eventually(lambda: daemon.audit('"file-stored"')[-1]["result"] != "complete", "it has ended")
            connection.close()
            ftp.close()
            assert os.getxattr(account.home / "small", "user.ftpsd.sha256")
        (place / "plain").write_bytes(b"CONTROL-" + b"of-the-search" * 3)
        os.sync()
        subprocess.run(["umount", str(place)], check=True)
        raw = image.read_bytes()
        subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=True)
    assert b"CONTROL-of-the-search" in raw
    assert marker not in raw
    assert marker[:12] not in raw
