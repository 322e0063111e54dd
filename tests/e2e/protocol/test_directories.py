"""Directories: PWD, CWD, CDUP, MKD, RMD and their X forms."""

from __future__ import annotations

import ftplib
from pathlib import Path

import pytest

from tests.e2e.client import code, reply


def test_a_session_starts_in_the_root(ftp: ftplib.FTP) -> None:
    """The home is the root, and the working directory after login."""
    assert ftp.pwd() == "/"


def test_a_directory_is_made(ftp: ftplib.FTP, home: Path) -> None:
    """MKD answers 257 with the whole path in quotes, and the directory is there."""
    assert reply(ftp, "MKD new").startswith('257 "/new" ')
    assert (home / "new").is_dir()


def test_a_quote_in_a_name_is_doubled(ftp: ftplib.FTP) -> None:
    """RFC 959, appendix II: ftplib reads the name back as it was given."""
    assert ftp.mkd('say "hello"') == '/say "hello"'
    ftp.cwd('say "hello"')
    assert ftp.pwd() == '/say "hello"'


def test_the_working_directory_changes(ftp: ftplib.FTP, home: Path) -> None:
    """CWD takes relative and absolute paths, CDUP goes up."""
    (home / "a" / "b").mkdir(parents=True)
    seen = []
    for line in ("CWD a", "CWD b", "CWD /a", "CDUP", "CWD a/b", "CWD ..", "CWD .", "CWD /"):
        assert code(ftp, line) == 250
        seen.append(ftp.pwd())
    assert seen == ["/a", "/a/b", "/a", "/", "/a/b", "/a", "/a", "/"]


@pytest.mark.parametrize("line", ["CDUP", "CWD ..", "CWD ../../../../..", "CWD /.."])
def test_there_is_nothing_above_the_root(ftp: ftplib.FTP, line: str) -> None:
    """Climbing out ends in the root."""
    assert code(ftp, line) == 250
    assert ftp.pwd() == "/"


def test_a_link_out_of_the_home_leads_nowhere(ftp: ftplib.FTP, home: Path) -> None:
    """A symbolic link to a place outside is as good as missing."""
    (home / "out").symlink_to("/etc")
    assert [code(ftp, line) for line in ("CWD out", "SIZE out/passwd", "MLST out/passwd")] == [550, 550, 550]


def test_a_missing_directory_is_reported(ftp: ftplib.FTP) -> None:
    """550 with the words clients look for; the working directory stays."""
    assert reply(ftp, "CWD nowhere") == "550 No such file or directory."
    assert ftp.pwd() == "/"


def test_a_file_is_no_directory(ftp: ftplib.FTP, home: Path) -> None:
    """CWD and RMD of a file are refused."""
    (home / "file").write_bytes(b"x")
    assert [code(ftp, line) for line in ("CWD file", "RMD file")] == [550, 550]


def test_a_directory_is_not_made_twice(ftp: ftplib.FTP) -> None:
    """The second MKD says that it exists."""
    ftp.mkd("one")
    assert reply(ftp, "MKD one") == "550 File exists."


def test_an_empty_directory_is_removed(ftp: ftplib.FTP, home: Path) -> None:
    """RMD removes it."""
    (home / "empty").mkdir()
    assert code(ftp, "RMD empty") == 250
    assert not (home / "empty").exists()


def test_a_full_directory_is_not_removed(ftp: ftplib.FTP, home: Path) -> None:
    """RMD is not recursive."""
    (home / "full").mkdir()
    (home / "full" / "file").write_bytes(b"x")
    assert code(ftp, "RMD full") == 550
    assert (home / "full" / "file").exists()


def test_the_root_is_not_removed(ftp: ftplib.FTP, home: Path) -> None:
    """RMD / is refused."""
    assert code(ftp, "RMD /") == 550
    assert home.is_dir()


def test_the_old_verbs_work(ftp: ftplib.FTP) -> None:
    """XMKD, XCWD, XPWD, XCUP and XRMD (RFC 775) do what their successors do."""
    codes = [code(ftp, line) for line in ("XMKD x", "XCWD x", "XPWD", "XCUP", "XRMD x")]
    assert codes == [257, 250, 257, 250, 250]
