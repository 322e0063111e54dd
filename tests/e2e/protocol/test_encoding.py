"""Clients and trees that do not know UTF-8: ftplib, curl and lftp in GBK and cp1251."""

from __future__ import annotations

import ftplib
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import CLEAR, EXPLICIT, Way, connect, download, listing, reply, upload
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Account, Daemon
from tests.tools import require_tool

NAME = "中文 文件.txt"
TAIL = "乗"  # its second byte is a backslash in GBK


class OldDaemon:
    """A daemon with a user whose client writes *encoding*, and who has a mount whose names are stored in *stored*."""

    def __init__(self, start: StartDaemon, folder: Path, encoding: str, stored: str) -> None:
        self.daemon: Daemon = start({"tls": {"require": "none"}})
        self.account: Account = self.daemon.account()
        self.tree = folder / "old tree"
        self.tree.mkdir()
        mount = {"path": "/old", "directory": str(self.tree), "stored_encoding": stored}
        users: dict[str, Any] = self.daemon.users
        users[self.account.name].update(encoding=encoding, mounts=[mount])
        self.daemon.write_users(users)
        self.daemon.reload()

    def log_in(self, encoding: str, way: Way = CLEAR) -> ftplib.FTP:
        """Return ftplib's client, which writes *encoding*."""
        ftp = connect(self.daemon, way)
        ftp.encoding = encoding
        assert ftp.sock is not None
        ftp.file = ftp.sock.makefile("r", encoding=encoding)
        ftp.sendcmd(f"USER {self.account.name}")
        ftp.sendcmd(f"PASS {self.account.password}")
        if isinstance(ftp, ftplib.FTP_TLS):
            ftp.prot_p()
        return ftp

    def stored_names(self) -> list[bytes]:
        """Return the names in the old tree, as they are on disk."""
        return sorted(os.listdir(os.fsencode(self.tree)))


@pytest.fixture
def gbk(start_daemon: StartDaemon, tmp_path: Path) -> OldDaemon:
    """GBK, for client and tree."""
    return OldDaemon(start_daemon, tmp_path, "gbk", "gbk")


@pytest.fixture
def cyrillic(start_daemon: StartDaemon, tmp_path: Path) -> OldDaemon:
    """A cp1251 client of a GBK tree."""
    return OldDaemon(start_daemon, tmp_path, "cp1251", "gbk")


@pytest.mark.parametrize("way", [CLEAR, EXPLICIT], ids=str)
def test_ftplib(gbk: OldDaemon, way: Way) -> None:
    """ftplib(encoding="gbk"): made, listed, read, renamed and removed; UTF-8 on disk."""
    ftp = gbk.log_in("gbk", way)
    home = gbk.account.home
    assert ftp.mkd(TAIL) == f"/{TAIL}"
    ftp.cwd(TAIL)
    assert ftp.pwd() == f"/{TAIL}"
    upload(ftp, NAME, b"content")
    assert os.listdir(os.fsencode(home / TAIL)) == [NAME.encode("utf-8")]
    assert ftp.nlst() == [NAME]
    assert [name for name, _ in ftp.mlsd()] == [NAME]
    assert listing(ftp, "LIST")[0].endswith(NAME)
    assert download(ftp, NAME) == b"content"
    assert ftp.size(f"/{TAIL}/{NAME}") == 7
    ftp.rename(NAME, "新.txt")
    assert (home / TAIL / "新.txt").exists()
    ftp.delete("新.txt")
    ftp.cwd("/")
    ftp.rmd(TAIL)
    assert os.listdir(home) == []
    ftp.close()


def test_a_tree_in_gbk(gbk: OldDaemon) -> None:
    """Names that an older server has stored, for a GBK client and for one that has changed to UTF-8."""
    (gbk.tree / os.fsdecode(NAME.encode("gbk"))).write_bytes(b"old")
    ftp = gbk.log_in("gbk")
    assert ftp.nlst("/old") == [f"/old/{NAME}"]
    assert download(ftp, f"/old/{NAME}") == b"old"
    upload(ftp, f"/old/{TAIL}", b"new")
    assert gbk.stored_names() == sorted([NAME.encode("gbk"), TAIL.encode("gbk")])
    ftp.close()
    modern = gbk.log_in("utf-8")
    assert reply(modern, "OPTS UTF8 ON").startswith("200")
    modern.cwd("/old")
    assert sorted(modern.nlst()) == sorted([NAME, TAIL])
    assert download(modern, NAME) == b"old"
    with pytest.raises(ftplib.error_perm, match=r"^550"):
        modern.mkd("😀")
    modern.close()


def test_names_beyond_the_encoding(cyrillic: OldDaemon) -> None:
    """A cp1251 client works with Chinese names by their escapes, and "я", Telnet's IAC, is a letter."""
    ftp = cyrillic.log_in("cp1251")
    home = cyrillic.account.home
    (home / "中").write_bytes(b"zhong")
    (home / "%u4E2D").write_bytes(b"escape")
    assert sorted(ftp.nlst()) == ["%u0025u4E2D", "%u4E2D", "old"]
    assert (download(ftp, "%u4E2D"), download(ftp, "%u0025u4E2D")) == (b"zhong", b"escape")
    upload(ftp, "яблоко и ямщик", b"apple")
    assert (home / "яблоко и ямщик").read_bytes() == b"apple"
    assert "яблоко и ямщик" in ftp.nlst()
    ftp.delete("%u4E2D")
    assert not (home / "中").exists()
    ftp.close()


def test_bytes_that_are_no_text(gbk: OldDaemon) -> None:
    """501, and nothing is made."""
    ftp = gbk.log_in("iso8859-1")
    assert reply(ftp, "MKD \xd6\xd0\xce").startswith("501")
    assert os.listdir(gbk.account.home) == []
    ftp.close()


def test_curl(gbk: OldDaemon, tmp_path: Path) -> None:
    """curl sends the bytes of the URL as they are, and prints those of a listing."""
    program = require_tool("curl")
    name = "中文.txt".encode("gbk")
    url = f"ftp://127.0.0.1:{gbk.daemon.ports.explicit}/"
    path = "".join(f"%{byte:02X}" for byte in name)
    (tmp_path / "source").write_bytes(b"content")
    common = [program, "--silent", "--show-error", "--max-time", "60", "--user"]
    common += [f"{gbk.account.name}:{gbk.account.password}"]
    subprocess.run([*common, "-T", str(tmp_path / "source"), url + path], check=True)
    assert (gbk.account.home / "中文.txt").read_bytes() == b"content"
    listed = subprocess.run([*common, "--list-only", url], check=True, capture_output=True)
    assert listed.stdout.split() == [b"old", name]
    got = subprocess.run([*common, url + path], check=True, capture_output=True)
    assert got.stdout == b"content"


@pytest.mark.parametrize("use_feat", ["no", "yes"])
def test_lftp(gbk: OldDaemon, tmp_path: Path, use_feat: str) -> None:
    """lftp with `ftp:charset gbk` writes that; where it has seen UTF8 in FEAT it asks for UTF-8 and writes that."""
    program = require_tool("lftp")
    (tmp_path / "本地.txt").write_bytes(b"content")
    script = [
        "set cmd:fail-exit yes",
        "set net:max-retries 1",
        "set ftp:ssl-allow no",
        "set file:charset utf-8",
        "set ftp:charset gbk",
        f"set ftp:use-feat {use_feat}",
        f"open -u {gbk.account.name},{gbk.account.password} ftp://127.0.0.1:{gbk.daemon.ports.explicit}",
        f"mkdir {TAIL}",
        f"put 本地.txt -o {TAIL}/本地.txt",
        f"cls -1 {TAIL}",
        f"cat {TAIL}/本地.txt",
    ]
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [program, "--norc", "-c", ";".join(script)], cwd=tmp_path, env=environ, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == f"{TAIL}/本地.txt\ncontent"
    assert os.listdir(os.fsencode(gbk.account.home / TAIL)) == ["本地.txt".encode()]
    gbk.daemon.wait_for_event("session-closed")
    asked = [event for event in gbk.daemon.audit('"OPTS UTF8"') if event["event"] == "command"]
    assert bool(asked) == (use_feat == "yes")
