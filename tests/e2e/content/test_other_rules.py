"""Names, types, sizes and the operator's program: what each of them refuses, and with which reply."""

from __future__ import annotations

import ftplib
import json
import re
from pathlib import Path

import pytest
import yaml

from tests.e2e.client import CLEAR, content, log_in, reply, upload
from tests.e2e.content.clamav import MIB
from tests.e2e.content.storing import said, there
from tests.e2e.daemon import Account, Daemon

PDF, EXE = b"%PDF-1.7\n" + bytes(500), b"MZ\x90\x00" + bytes(500)
FOLDERS = ("sized", "named", "typed", "judged", "out")


@pytest.fixture
def account(gated: Daemon) -> Account:
    """A user with a directory for each rule."""
    account = gated.account()
    for name in FOLDERS:
        (account.home / name).mkdir()
    return account


@pytest.fixture
def ftp(gated: Daemon, account: Account) -> ftplib.FTP:
    """A session of that user, in TYPE I."""
    ftp = log_in(gated, CLEAR, account)
    ftp.voidcmd("TYPE I")
    return ftp


def upload_to_the_reply(ftp: ftplib.FTP, name: str, data: bytes) -> None:
    """Upload; where the server cuts it, before the kernel has taken all of it, ftplib reads no reply itself."""
    try:
        upload(ftp, name, data)
    except OSError:
        ftp.voidresp()


def test_sizes(ftp: ftplib.FTP, account: Account) -> None:
    """552 at the first byte too many, also behind what is there already."""
    assert said(ftp, "sized/a", bytes(1000)).startswith("226")
    assert re.fullmatch(r"552 .* Incident [0-9a-f]{10}\.", said(ftp, "sized/b", bytes(1001)))
    assert said(ftp, "sized/a", b"1", "APPE").startswith("552")
    with pytest.raises(ftplib.error_perm, match="552"):
        upload_to_the_reply(ftp, "sized/c", content(4 * MIB))
    assert {name: len(data) for name, data in there(account).items()} == {"sized/a": 1000}


def test_names(ftp: ftplib.FTP, account: Account, gated: Daemon) -> None:
    """553 before a byte is sent, for uploads, copies and renames; letters of both kinds are alike."""
    for name in ("a.csv", "B.CSV"):
        assert said(ftp, f"named/{name}", b"1;2").startswith("226")
    answer = said(ftp, "named/a.exe", EXE)
    match = re.fullmatch(r"553 .* Incident ([0-9a-f]{10})\.", answer)
    assert match is not None, answer
    assert gated.wait_for_event("upload-refused", incident=match[1])["verdict"] == "name"
    reply(ftp, "RNFR named/a.csv")
    assert reply(ftp, "RNTO named/a.exe").startswith("553")
    reply(ftp, "SITE CPFR named/a.csv")
    assert reply(ftp, "SITE CPTO named/b.exe").startswith("553")
    assert sorted(there(account)) == ["named/B.CSV", "named/a.csv"]


def test_types(ftp: ftplib.FTP, account: Account, quarantine: Path) -> None:
    """Name and first bytes go together, or the file is kept in the quarantine."""
    good = {"a.pdf": PDF, "a.csv": b"1;2\n", "a.PDF": PDF, "empty.pdf": b""}
    for name, data in good.items():
        assert said(ftp, f"typed/{name}", data).startswith("226"), name
    bad = {"b.pdf": EXE, "b.csv": EXE, "c.pdf": b"1;2\n", "c.csv": PDF, "b.exe": EXE, "none": b"1"}
    for name, data in bad.items():
        match = re.fullmatch(r"550 The file is not .* Incident ([0-9a-f]{10})\.", said(ftp, f"typed/{name}", data))
        assert match is not None, name
        assert (quarantine / f"{match[1]}.held").read_bytes() == data, name
    for old, new, code in (("a.csv", "a.txt", "250"), ("a.txt", "x.pdf", "550"), ("a.pdf", "x.csv", "550")):
        reply(ftp, f"RNFR typed/{old}")
        assert reply(ftp, f"RNTO typed/{new}").startswith(code), (old, new)
    assert sorted(there(account)) == ["typed/a.PDF", "typed/a.pdf", "typed/a.txt", "typed/empty.pdf"]


def test_the_program(ftp: ftplib.FTP, account: Account, gated: Daemon) -> None:
    """Yes, no with its first line in the log, a failure, and one that hangs: killed, with its children."""
    assert said(ftp, "judged/yes", bytes(MIB)).startswith("226")
    match = re.fullmatch(r"550 .* Incident ([0-9a-f]{10})\.", said(ftp, "judged/no", b"say no"))
    assert match is not None
    event = gated.wait_for_event("upload-refused", incident=match[1])
    why = f"because {account.name} at /judged/no says no"
    assert (event["verdict"], event["engine"], event["found"]) == ("program", "program:/bin/sh", why)
    for word, why in {"fail": "it ended with -9", "hang": "silent for 8 s"}.items():
        assert said(ftp, f"judged/{word}", word.encode()).startswith("451"), word
        gated.wait_for_event("upload-refused", path=f"/judged/{word}", found=why)
    assert sorted(name for name in there(account) if not name.startswith("judged/.")) == ["judged/yes"]
    assert not [each for each in Path("/proc").glob("[0-9]*/cmdline") if b"sleep\x004711" in read(each)]


def read(path: Path) -> bytes:
    """Return the contents of *path*, nothing where it is gone."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_explain_and_doctor(gated: Daemon, account: Account) -> None:
    """They name the rule of a path, and ask the engine."""
    explained = gated.order("explain", account.name, "upload", "/typed/x")
    assert "accept rule 4 (/typed/**) has to take the file: types: pdf, csv, txt" in explained.stdout
    assert "accept rule" not in gated.order("explain", account.name, "upload", "/out/x").stdout


def test_rules_of_a_role(gated: Daemon, account: Account) -> None:
    """They hold for its users beside those of the server, from the reload on that brings them: sessions end with it."""
    session, before = log_in(gated, CLEAR, account), gated.users_file.read_text()
    written = json.loads(json.dumps(yaml.safe_load(before)))
    rule = {"paths": ["/named/**", "/out/**"], "max_size": 3}
    written["roles"] = {"small": {"rules": [{"path": "/**", "allow": "all"}], "accept": [rule]}}
    written["users"][account.name]["role"] = "small"
    gated.users_file.write_text(yaml.safe_dump(written))
    try:
        assert gated.order("reload").returncode == 0
        assert gated.wait_for_event("session-closed", user=account.name, reason="content-rules-changed")
        with pytest.raises((EOFError, ftplib.error_temp)):
            session.voidcmd("NOOP")
        with log_in(gated, CLEAR, account) as ftp:
            assert said(ftp, "out/a", b"abcd").startswith("552")
            assert said(ftp, "named/a.txt", b"abc").startswith("553")
            assert said(ftp, "named/a.csv", b"abcd").startswith("552")
            assert said(ftp, "named/a.csv", b"abc").startswith("226")
        explained = gated.order("explain", account.name, "upload", "/named/a.csv").stdout
        assert "accept rule 3 (/named/**)" in explained
        assert f"accept rule 1 of the roles of {account.name} (/named/**, /out/**)" in explained
    finally:
        gated.users_file.write_text(before)
        assert gated.order("reload").returncode == 0
