"""Uploads through a real clamd: what is found never gets its name, in whatever way it comes."""

from __future__ import annotations

import ftplib
import hashlib
import io
import json
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.e2e.client import CLEAR, EXPLICIT, content, log_in, reply
from tests.e2e.content.clamav import EICAR, MIB, SIGNATURE, ClamAV
from tests.e2e.content.storing import REFUSED, assert_hanging_is_told, assert_refused_by_every_way, said, there
from tests.e2e.daemon import Account, Daemon
from tests.e2e.polling import eventually
from tests.tools import require_tool


@pytest.fixture
def account(gated: Daemon) -> Account:
    """A user with the directories /in, which is guarded, and /out."""
    account = gated.account()
    for name in ("in", "out"):
        (account.home / name).mkdir()
    return account


@pytest.fixture
def ftp(gated: Daemon, account: Account) -> ftplib.FTP:
    """A session of that user."""
    return log_in(gated, CLEAR, account)


def zipped(data: bytes) -> bytes:
    """Return an archive that holds *data*."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside.txt", data)
    return whole.getvalue()


def test_clean_files_are_taken(ftp: ftplib.FTP, gated: Daemon, account: Account) -> None:
    """Small, large, empty, and what no rule asks about; the log has the verdict, where there was one."""
    large = content(3 * MIB)
    for name, data in {"in/small": b"clean", "in/large": large, "in/nothing": b"", "out/any": EICAR}.items():
        assert said(ftp, name, data).startswith("226"), name
    assert there(account) == {"in/small": b"clean", "in/large": large, "in/nothing": b"", "out/any": EICAR}
    for name in ("in/small", "in/large"):
        assert gated.wait_for_event("file-stored", user=account.name, path=f"/{name}")["verdict"] == "clean", name
    assert "verdict" not in gated.wait_for_event("file-stored", user=account.name, path="/out/any")


def test_a_find_is_refused_and_kept(
    ftp: ftplib.FTP, account: Account, gated: Daemon, quarantine: Path, clamd: ClamAV
) -> None:
    """550 with the number of the incident; the log has the verdict; the file is in the quarantine and nowhere else."""
    match = REFUSED.fullmatch(said(ftp, "in/file", EICAR))
    assert match is not None
    event = gated.wait_for_event("upload-refused", incident=match[1])
    digest = hashlib.sha256(EICAR).hexdigest()
    expected = {"path": "/in/file", "verdict": "infected", "engine": clamd.url, "sha256": digest, "kept": True}
    assert expected.items() <= event.items()
    assert SIGNATURE in event["found"]
    assert event["signatures"].startswith("ClamAV")
    held = quarantine / f"{match[1]}.held"
    assert (held.read_bytes(), held.stat().st_mode & 0o777) == (EICAR, 0o600)
    record = json.loads((quarantine / f"{match[1]}.json").read_text())
    assert (record["owner"], record["path"], record["sha256"]) == (account.name, "/in/file", digest)
    assert there(account) == {}


def test_every_way_of_storing(ftp: ftplib.FTP, gated: Daemon, account: Account) -> None:
    """A file with a finding is refused, whichever command it comes by, and the file that was there stays."""
    assert_refused_by_every_way(ftp, log_in(gated, EXPLICIT, account), account)


def test_behind_60_mb_and_in_a_zip(ftp: ftplib.FTP, account: Account) -> None:
    """All of a file is looked at, and what is in an archive."""
    for data in (bytes(60 * MIB) + EICAR, zipped(EICAR)):
        assert REFUSED.fullmatch(said(ftp, "in/file", data))
    assert there(account) == {}


def test_over_tls(gated: Daemon, account: Account) -> None:
    """The same behind TLS."""
    secure = log_in(gated, EXPLICIT, account)
    assert REFUSED.fullmatch(said(secure, "in/file", EICAR * 2000))
    assert said(secure, "in/file", content(MIB)).startswith("226")


def test_curl_and_lftp_fail(gated: Daemon, account: Account, tmp_path: Path) -> None:
    """The programs report the failure, with the number of the incident in their output."""
    source = tmp_path / "source"
    source.write_bytes(EICAR)
    port = gated.ports.explicit
    user = f"{account.name}:{account.password}"
    curl = [require_tool("curl"), "-sSv", "--user", user, "-T", str(source), f"ftp://127.0.0.1:{port}/in/by-curl"]
    script = (
        "set cmd:fail-exit yes; set net:max-retries 1; set ftp:ssl-allow no; debug 3;"
        f"open -u {account.name},{account.password} ftp://127.0.0.1:{port}; put {source} -o in/by-lftp"
    )
    lftp = [require_tool("lftp"), "--norc", "-c", script]
    for command in (curl, lftp):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode != 0
        assert re.search(r"Incident [0-9a-f]{10}", done.stdout + done.stderr), done.stdout + done.stderr
    assert there(account) == {}


def test_no_rename_leads_past_it(ftp: ftplib.FTP, account: Account) -> None:
    """Neither a file nor a directory gets a guarded name from outside, nor does a link; inside they move, and out."""
    (account.home / "out" / "file").write_bytes(EICAR)
    (account.home / "out" / "dir").mkdir()
    for name in ("out/file", "out/dir", "out"):
        reply(ftp, f"RNFR {name}")
        assert reply(ftp, "RNTO in/moved").startswith("550"), name
    assert reply(ftp, "SITE SYMLINK in/link out/file").startswith("550")
    assert reply(ftp, "SITE SYMLINK out/file in/link").startswith("550")
    # A directory above the guarded one cannot be put in its place either.
    reply(ftp, "RNFR in")
    assert reply(ftp, "RNTO was-in").startswith("250")
    reply(ftp, "RNFR out")
    assert reply(ftp, "RNTO in").startswith("550")
    reply(ftp, "RNFR was-in")
    assert reply(ftp, "RNTO in").startswith("550")
    (account.home / "was-in").rename(account.home / "in")
    assert said(ftp, "in/a", b"clean").startswith("226")
    reply(ftp, "RNFR in/a")
    assert reply(ftp, "RNTO in/b").startswith("250")
    reply(ftp, "RNFR in/b")
    assert reply(ftp, "RNTO out/b").startswith("250")
    assert not any((account.home / "in").iterdir())


def test_a_link_of_the_operators_is_no_way_around(ftp: ftplib.FTP, account: Account) -> None:
    """The rule holds where the file lies, whatever name leads there."""
    (account.home / "side").symlink_to("in")
    assert REFUSED.fullmatch(said(ftp, "side/file", EICAR))
    assert there(account) == {}


def test_a_clamd_that_hangs_in_mid_file(ftp: ftplib.FTP, gated: Daemon, account: Account, clamd: ClamAV) -> None:
    """451 when its patience is over, and what came in can be resumed; others are served meanwhile."""
    data = content(12 * MIB)
    assert_hanging_is_told(ftp, log_in(gated, CLEAR, account), data, clamd)
    event = gated.wait_for_event("upload-refused", verdict="unavailable")
    assert (event["found"], event["kept"]) == ("silent for 8 s", False)
    assert not (account.home / "in" / "file").exists()
    assert said(ftp, "in/file", data).startswith("226")
    assert (account.home / "in" / "file").read_bytes() == data


def test_metrics(gated: Daemon, ftp: ftplib.FTP) -> None:
    """Verdicts and refusals are counted."""
    before = gated.metrics()
    said(ftp, "in/file", b"clean")
    said(ftp, "in/file", EICAR)
    names = ('ftpsd_scan_verdicts_total{verdict="clean"}', 'ftpsd_upload_refusals_total{verdict="infected"}')
    eventually(lambda: all(gated.metrics()[name] == before[name] + 1 for name in names), "one more of each")


def test_a_mount_of_the_same_directory_is_no_way_around(gated: Daemon) -> None:
    account = gated.account()
    (account.home / "in").mkdir(exist_ok=True)
    users = gated.users
    users[account.name]["mounts"] = [{"path": "/open", "directory": str(account.home / "in")}]
    gated.write_users(users)
    gated.reload()
    with log_in(gated, CLEAR, account) as ftp:
        assert said(ftp, "/open/found", EICAR).startswith("550 The server does not take this file.")
        assert said(ftp, "/open/clean", b"clean").startswith("226")
        assert said(ftp, "/found", EICAR).startswith("226")
    assert not (account.home / "in" / "found").exists()
