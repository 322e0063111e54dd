"""Receipts of the real daemon, by the steps of the page: openssl is the judge."""

from __future__ import annotations

import ftplib
import hashlib
import io
import json
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.client import EXPLICIT, content, log_in, upload
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Account, Daemon
from tests.e2e.encrypted import make_keys
from tests.e2e.polling import eventually
from tests.tools import ROOT, require_tool


def step(name: str) -> str:
    """Return a step of the page."""
    page = (ROOT / "docs" / "automation.md").read_text()
    found = re.search(rf"<!-- recipe: {name} -->\n```\w+\n(.*?)```", page, re.DOTALL)
    assert found is not None
    return found[1]


def run(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a step as a person would paste it."""
    require_tool("openssl")
    return subprocess.run(["bash", "-ec", text], cwd=folder, capture_output=True, text=True)


def prepared(folder: Path) -> dict[str, Any]:
    """Follow the page up to the configuration; return its sections."""
    made = run(step("signer"), folder)
    assert made.returncode == 0, made.stderr
    sections: dict[str, Any] = yaml.safe_load(step("receipts"))
    sections["receipts"] = {key: str(folder / name) for key, name in sections["receipts"].items()}
    (folder / "receipts.key").chmod(0o400)
    return sections


def begun(start_daemon: StartDaemon, sections: dict[str, Any], **keys: Any) -> Daemon:
    """Start a daemon whose users have receipts as the page has them."""
    (role,) = yaml.safe_load(step("receiving"))["roles"].values()
    daemon = start_daemon(sections)
    daemon.write_users({name: {**user, **role, **keys} for name, user in daemon.users.items()})
    daemon.reload()
    return daemon


def session(daemon: Daemon, account: Account) -> ftplib.FTP:
    """Return a session that stores as it is."""
    ftp = log_in(daemon, EXPLICIT, account)
    ftp.sendcmd("TYPE I")
    return ftp


def receipts_of(ftp: ftplib.FTP, count: int) -> list[bytes]:
    """Fetch the receipts as soon as there are so many."""

    def names() -> list[str]:
        try:
            return sorted(ftp.nlst("/receipts"))
        except ftplib.error_perm:
            return []

    eventually(lambda: len(names()) >= count, f"{count} receipts", 20)
    found = []
    for name in names():
        into = io.BytesIO()
        ftp.retrbinary(f"RETR /receipts/{name.rpartition('/')[2]}", into.write)
        found.append(into.getvalue())
    return found


def verified(receipt: bytes, folder: Path) -> dict[str, Any] | None:
    """Verify a receipt as the page says."""
    (folder / "receipt.eml").write_bytes(receipt)
    done = run(step("verify"), folder)
    return json.loads(done.stdout) if done.returncode == 0 else None


def test_a_partner_verifies_what_was_transferred(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """Uploads, a temporary name and a download, over two processes; the partner changes nothing of the receipts."""
    sections = prepared(tmp_path)
    daemon = begun(start_daemon, {**sections, "processes": 2}, quota={"files": 2})
    account = daemon.account()
    ftp = session(daemon, account)
    data = content(50_000)
    assert upload(ftp, "b.csv.part", data).startswith("226")
    ftp.rename("b.csv.part", "b.csv")
    ftp.retrbinary("RETR b.csv", lambda _: None)
    with_receipts = receipts_of(ftp, 2)
    assert len(with_receipts) == 2
    told = [verified(receipt, tmp_path) for receipt in with_receipts]
    by_kind = {each["transfer"]: each for each in told if each is not None}
    stored, sent = by_kind["file-stored"], by_kind["file-sent"]
    digest = hashlib.sha256(data).hexdigest()
    for each in (stored, sent):
        assert (each["user"], each["path"], each["bytes"], each["sha256"]) == (account.name, "/b.csv", 50_000, digest)
        assert each["tls"].startswith("TLSv1.")
        assert each["peer"] == "127.0.0.1"
    assert stored["uploaded_as"] == "/b.csv.part"
    event = daemon.wait_for_event("file-sent", path="/b.csv")
    assert (sent["time"], sent["session"]) == (event["time"], event["session"])
    assert verified(with_receipts[0].replace(account.name.encode(), b"mallory"), tmp_path) is None
    # Nothing there can be changed, and the quota of two files is no matter of receipts.
    name = sorted(ftp.nlst("/receipts"))[0].rpartition("/")[2]
    for command in (
        *(f"DELE /receipts/{name}", "RMD /receipts", "MKD /receipts/x", "SITE CHMOD 777 /receipts"),
        f"MFMT 20200101000000 /receipts/{name}",
    ):
        with pytest.raises(ftplib.error_perm, match=r"^550"):
            ftp.sendcmd(command)
    for old, new in ((f"/receipts/{name}", "/x"), ("/receipts", "/old"), ("/b.csv", f"/receipts/{name}")):
        with pytest.raises(ftplib.error_perm, match=r"^550"):
            ftp.rename(old, new)
    for command in ("STOR", "APPE"):
        with pytest.raises(ftplib.error_perm, match=r"^550"):
            ftp.storbinary(f"{command} /receipts/{name}", io.BytesIO(b"forged"))
    ftp.quit()
    explained = daemon.order("explain", account.name, "delete", f"/receipts/{name}")
    assert explained.returncode == 1
    assert "receipts: they are the server's" in explained.stdout
    name = 'ftpsd_event_deliveries_total{result="taken",sink="receipts.signed"}'
    eventually(lambda: daemon.metrics()[name] >= 2, "the receipts are counted")


def test_none_is_missing_after_a_crash(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """Killed behind each 226, with encrypted homes: at the end each upload has its receipt, and just one."""
    sections = prepared(tmp_path)
    keys = tmp_path / "keys"
    daemon = begun(start_daemon, {**sections, "encryption": make_keys(keys)}, encryption="main")
    account = daemon.account()
    done: dict[str, str] = {}
    for number in range(4):
        ftp = session(daemon, account)
        data = content(1000 + number)
        assert upload(ftp, f"{number}.bin", data).startswith("226")
        done[f"/{number}.bin"] = hashlib.sha256(data).hexdigest()
        assert daemon.process is not None
        daemon.signal(signal.SIGKILL)
        daemon.process.wait(20)
        daemon.start()
    ftp = session(daemon, account)
    receipts = receipts_of(ftp, 4)
    told = [verified(receipt, tmp_path) for receipt in receipts]
    facts = sorted((each["path"], each["sha256"]) for each in told if each is not None)
    assert facts == sorted(done.items())
    raw = [path.read_bytes() for path in (account.home / "receipts").iterdir()]
    assert raw
    assert all(b"transfer" not in each for each in raw), "they lie encrypted"
    ftp.quit()
