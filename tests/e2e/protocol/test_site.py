"""SITE: modes, times, copies, links, the idle timeout; and MFF, PRET, LANG, CSID."""

from __future__ import annotations

import ftplib
import os
import stat
from pathlib import Path

import pytest

from tests.e2e.client import CLEAR, code, content, download, reply

# 2021-02-03 04:05:06 UTC
SECONDS, STAMP = 1612325106, "20210203040506"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_chmod(ftp: ftplib.FTP, home: Path) -> None:
    """SITE CHMOD changes the bits of a file whose name has spaces."""
    (home / "a file").write_bytes(b"")
    assert reply(ftp, "SITE CHMOD 640 a file") == "200 Mode changed."
    assert mode(home / "a file") == 0o640
    assert [code(ftp, line) for line in ("SITE CHMOD 4755 a file", "SITE CHMOD 640 nothing", "SITE CHMOD x a")] == [
        550,
        550,
        501,
    ]


@pytest.mark.parametrize(
    "line", [f"SITE UTIME {STAMP} a file", f"SITE UTIME a file 20200101000000 {STAMP} 20200101000000 UTC"]
)
def test_utime(ftp: ftplib.FTP, home: Path, line: str) -> None:
    """SITE UTIME sets the time, in both forms."""
    (home / "a file").write_bytes(b"")
    assert code(ftp, line) == 200
    assert (home / "a file").stat().st_mtime == SECONDS


def test_a_file_is_copied(ftp: ftplib.FTP, home: Path) -> None:
    """SITE CPFR and CPTO; the copy is whole and a file of its own."""
    (home / "file").write_bytes(content(20_000_000))
    (home / "folder").mkdir()
    assert [code(ftp, line) for line in ("SITE CPFR file", "SITE CPTO folder/a copy")] == [350, 250]
    assert (home / "folder" / "a copy").read_bytes() == content(20_000_000)
    assert (home / "folder" / "a copy").stat().st_ino != (home / "file").stat().st_ino
    assert download(ftp, "folder/a copy") == content(20_000_000)


def test_what_is_not_copied(ftp: ftplib.FTP, home: Path) -> None:
    """Files outside, directories, a file onto itself by a link."""
    (home / "file").write_bytes(b"data")
    (home / "folder").mkdir()
    os.symlink("file", home / "link")
    os.symlink("/etc/passwd", home / "out")
    lines = ("SITE CPFR out", "SITE CPFR folder", "SITE CPFR file", "SITE CPTO link", "SITE CPTO new")
    assert [code(ftp, line) for line in lines] == [550, 550, 350, 553, 503]
    assert (home / "file").read_bytes() == b"data"


def test_a_link_is_made(ftp: ftplib.FTP, home: Path) -> None:
    """SITE SYMLINK: other programs see the same link, and DELE removes it alone."""
    (home / "a file").write_bytes(b"data")
    (home / "folder").mkdir()
    assert reply(ftp, 'SITE SYMLINK "/a file" "folder/a link"') == '200 "/folder/a link" leads to "/a file".'
    assert os.readlink(home / "folder/a link") == "../a file"
    assert download(ftp, "folder/a link") == (home / "folder/a link").read_bytes() == b"data"
    assert code(ftp, "DELE folder/a link") == 250
    assert sorted(os.listdir(home)) == ["a file", "folder"]


def test_a_link_to_a_directory(ftp: ftplib.FTP, home: Path) -> None:
    """The release that is current: entered, written to, and exchanged for the next one."""
    for name in ("1", "2"):
        (home / "releases" / name).mkdir(parents=True)
    assert code(ftp, "SITE SYMLINK releases/1 current") == 200
    assert [code(ftp, line) for line in ("MKD current/made", "RNFR current/made", "RNTO current/there")] == [
        257,
        350,
        250,
    ]
    assert code(ftp, "SITE SYMLINK releases/2 current") == 550
    assert code(ftp, "SITE SYMLINK releases/2 next") == 200
    assert [code(ftp, line) for line in ("RNFR next", "RNTO current")] == [350, 250]
    assert os.readlink(home / "current") == "releases/2"
    assert [code(ftp, line) for line in ("CWD current", "CWD there", "CWD /releases/1/there")] == [250, 550, 250]


def test_links_that_are_not_made(ftp: ftplib.FTP, home: Path) -> None:
    """Hard links, over what is there, to nothing, to outside."""
    (home / "file").write_bytes(b"data")
    os.symlink("/etc", home / "out")
    lines = (
        "LINK file link",
        "SYMLINK file file",
        "SYMLINK none link",
        "SYMLINK /etc/passwd link",
        "SYMLINK out/passwd l",
    )
    assert [code(ftp, f"SITE {line}") for line in lines] == [500, 550, 550, 550, 550]
    assert sorted(os.listdir(home)) == ["file", "out"]


def test_help(ftp: ftplib.FTP) -> None:
    """SITE HELP lists what there is."""
    lines = reply(ftp, "SITE HELP").split("\n")
    assert lines[0].startswith("214-")
    assert lines[-1].startswith("214 ")
    assert any("CHMOD" in line for line in lines[1:-1])


@pytest.mark.parametrize("way", [CLEAR], ids=str)
def test_idle(ftp: ftplib.FTP) -> None:
    """SITE IDLE lowers the timeout and never raises it."""
    assert [code(ftp, line) for line in ("SITE IDLE", "SITE IDLE 60", "SITE IDLE 3600", "SITE IDLE 600")] == [
        200,
        200,
        501,
        200,
    ]


def test_facts_are_changed(ftp: ftplib.FTP, home: Path) -> None:
    """MFF changes time and mode at once, or neither."""
    (home / "a file").write_bytes(b"")
    assert reply(ftp, f"MFF Modify={STAMP};UNIX.mode=0640; a file") == f"213 Modify={STAMP};UNIX.mode=0640; /a file"
    assert ((home / "a file").stat().st_mtime, mode(home / "a file")) == (SECONDS, 0o640)
    assert code(ftp, "MFF modify=20220203040506;UNIX.mode=4755; a file") == 550
    assert ((home / "a file").stat().st_mtime, mode(home / "a file")) == (SECONDS, 0o640)
    assert code(ftp, f"MFCT {STAMP} a file") == 504


def test_a_transfer_is_announced(ftp: ftplib.FTP, home: Path) -> None:
    """PRET answers what the transfer would."""
    (home / "file").write_bytes(b"data")
    lines = ("PRET RETR file", "PRET RETR nothing", "PRET STOR new", "PRET STOR nothing/new", "PRET LIST -la")
    assert [code(ftp, line) for line in lines] == [200, 550, 200, 200, 200]
    assert download(ftp, "file") == b"data"


def test_the_language_is_english(ftp: ftplib.FTP) -> None:
    """LANG (RFC 2640), and CSID without a version."""
    assert [code(ftp, line) for line in ("LANG", "LANG en-US", "LANG fr")] == [200, 200, 504]
    assert not any(sign.isdigit() for sign in reply(ftp, "CSID Name=test; Version=1;")[4:].replace("Sensitive=1", ""))
