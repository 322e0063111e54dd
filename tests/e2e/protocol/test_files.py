"""Files without their content: DELE, RNFR, RNTO, SIZE, MDTM, MFMT."""

from __future__ import annotations

import ftplib
import os
from pathlib import Path

import pytest

from ftpsd.wire.list_lines import format_time
from tests.e2e.client import code, reply

# 2021-02-03 04:05:06 UTC
SECONDS, STAMP = 1612325106, "20210203040506"


@pytest.mark.parametrize("line", ["MFMT {} file", "MDTM {} file", "MFF Modify={}; file"])
@pytest.mark.parametrize("stamp", ["18000101000000", "19700101000000", "20380119031408", "99991231235959"])
def test_the_time_that_is_kept_is_told(ftp: ftplib.FTP, home: Path, line: str, stamp: str) -> None:
    """ext4 keeps the years 1901 to 2446: the reply says what was kept, as MDTM does."""
    (home / "file").write_bytes(b"1")
    said = reply(ftp, line.format(stamp))
    kept = format_time(os.stat(home / "file").st_mtime_ns)
    assert f"Modify={kept};" in said
    assert reply(ftp, "MDTM file") == f"213 {kept}"


def test_a_file_is_deleted(ftp: ftplib.FTP, home: Path) -> None:
    """DELE removes it."""
    (home / "old").write_bytes(b"x")
    assert code(ftp, "DELE old") == 250
    assert not (home / "old").exists()


def test_what_is_not_there_is_not_deleted(ftp: ftplib.FTP) -> None:
    """550 with the words clients look for."""
    assert reply(ftp, "DELE nothing") == "550 No such file or directory."


def test_a_directory_is_not_deleted(ftp: ftplib.FTP, home: Path) -> None:
    """DELE is for files."""
    (home / "folder").mkdir()
    assert code(ftp, "DELE folder") == 550
    assert (home / "folder").is_dir()


def test_a_file_is_renamed(ftp: ftplib.FTP, home: Path) -> None:
    """RNFR and RNTO move it, into another directory too."""
    (home / "one").write_bytes(b"content")
    (home / "folder").mkdir()
    assert [code(ftp, line) for line in ("RNFR one", "RNTO folder/two")] == [350, 250]
    assert (home / "folder" / "two").read_bytes() == b"content"
    assert not (home / "one").exists()


def test_a_directory_is_renamed(ftp: ftplib.FTP, home: Path) -> None:
    """It takes along what is in it."""
    (home / "before").mkdir()
    (home / "before" / "file").write_bytes(b"x")
    assert [code(ftp, line) for line in ("RNFR before", "RNTO after")] == [350, 250]
    assert (home / "after" / "file").exists()


def test_what_is_missing_is_not_renamed(ftp: ftplib.FTP) -> None:
    """RNFR fails, and a following RNTO has nothing to rename."""
    assert [code(ftp, line) for line in ("RNFR missing", "RNTO other")] == [550, 503]


def test_rnto_needs_rnfr_each_time(ftp: ftplib.FTP, home: Path) -> None:
    """One RNFR is good for one RNTO."""
    (home / "a").write_bytes(b"")
    assert [code(ftp, line) for line in ("RNTO b", "RNFR a", "RNTO b", "RNTO c")] == [503, 350, 250, 503]


def test_size_tells_the_bytes(ftp: ftplib.FTP, home: Path) -> None:
    """SIZE in TYPE I is the length of the file."""
    (home / "file").write_bytes(b"x" * 12345)
    ftp.sendcmd("TYPE I")
    assert ftp.size("file") == 12345


def test_size_has_64_bits(ftp: ftplib.FTP, home: Path) -> None:
    """FileZilla asks for it before it resumes files beyond 4 GiB."""
    with open(home / "huge", "wb") as file:
        file.truncate(5 * 2**30 + 1)
    assert ftp.sendcmd("TYPE I")[:3] == "200"
    assert ftp.size("huge") == 5 * 2**30 + 1


def test_size_is_for_files(ftp: ftplib.FTP, home: Path) -> None:
    """A directory, or nothing, has no size."""
    (home / "folder").mkdir()
    assert [code(ftp, line) for line in ("SIZE folder", "SIZE nothing")] == [550, 550]


def test_size_of_converted_text_is_not_known(ftp: ftplib.FTP, home: Path) -> None:
    """SIZE in TYPE A is refused."""
    (home / "file").write_bytes(b"1\n2\n")
    ftp.sendcmd("TYPE A")
    assert code(ftp, "SIZE file") == 550


def test_mdtm_tells_the_time(ftp: ftplib.FTP, home: Path) -> None:
    """The time of the last change, in UTC."""
    (home / "file").write_bytes(b"")
    os.utime(home / "file", (SECONDS, SECONDS))
    assert reply(ftp, "MDTM file") == f"213 {STAMP}"


def test_mfmt_sets_the_time(ftp: ftplib.FTP, home: Path) -> None:
    """MFMT changes it and says so in the words of its draft."""
    (home / "file").write_bytes(b"")
    assert reply(ftp, f"MFMT {STAMP} file").startswith(f"213 Modify={STAMP}; ")
    assert (home / "file").stat().st_mtime == SECONDS


def test_mdtm_sets_the_time_too(ftp: ftplib.FTP, home: Path) -> None:
    """The form of vsftpd and IIS, which rclone uses."""
    (home / "a file").write_bytes(b"")
    assert code(ftp, f"MDTM {STAMP} a file") == 213
    assert (home / "a file").stat().st_mtime == SECONDS


def test_mdtm_of_a_file_that_looks_like_a_time(ftp: ftplib.FTP, home: Path) -> None:
    """A file may be called "20210203040506 x"."""
    (home / f"{STAMP} x").write_bytes(b"")
    (home / "x").write_bytes(b"")
    os.utime(home / f"{STAMP} x", (SECONDS, SECONDS))
    assert reply(ftp, f"MDTM {STAMP} x") == f"213 {STAMP}"
    assert (home / "x").stat().st_mtime != SECONDS


def test_a_time_that_is_none_is_refused(ftp: ftplib.FTP, home: Path) -> None:
    """MFMT with a month 13 is a bad argument."""
    (home / "file").write_bytes(b"")
    assert [code(ftp, line) for line in ("MFMT 20211303040506 file", "MFMT yesterday file", "MFMT 2021")] == [501] * 3
