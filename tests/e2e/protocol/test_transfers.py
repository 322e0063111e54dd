"""Whole transfers: RETR, STOR, APPE, STOU."""

from __future__ import annotations

import ftplib
import re
from pathlib import Path

import pytest

from tests.e2e.client import Sessions, begin, code, content, download, finish, next_code, read_all, reply, upload
from tests.e2e.daemon import Account

KIB, MIB = 1024, 1024 * 1024
# Around 64 KiB the daemon changes from one way of moving bytes to another.
SIZES = (0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 5 * MIB)


@pytest.mark.parametrize("size", SIZES)
def test_an_upload_arrives_whole(ftp: ftplib.FTP, home: Path, size: int) -> None:
    """STOR answers 226 and the file is there, byte for byte."""
    assert upload(ftp, "file", content(size)).startswith("226")
    assert (home / "file").read_bytes() == content(size)


@pytest.mark.parametrize("size", SIZES)
def test_a_download_arrives_whole(ftp: ftplib.FTP, home: Path, size: int) -> None:
    """RETR sends the file byte for byte."""
    (home / "file").write_bytes(content(size))
    assert download(ftp, "file") == content(size)


def test_retr_announces_the_size(ftp: ftplib.FTP, home: Path) -> None:
    """ftplib and curl read it from the 150."""
    (home / "file").write_bytes(content(1000))
    ftp.voidcmd("TYPE I")
    connection, size = ftp.ntransfercmd("RETR file")
    with connection:
        while connection.recv(4096):
            pass
    assert size == 1000
    assert next_code(ftp) == 226


def test_a_missing_file_costs_no_data_connection(ftp: ftplib.FTP) -> None:
    """RETR of nothing is 550 and not 150."""
    ftp.sendcmd("EPSV")
    assert reply(ftp, "RETR missing") == "550 No such file or directory."


def test_a_directory_is_not_transferred(ftp: ftplib.FTP, home: Path) -> None:
    """RETR and STOR of a directory are refused before 150."""
    (home / "folder").mkdir()
    codes = []
    for line in ("RETR folder", "STOR folder", "APPE folder"):
        ftp.sendcmd("EPSV")
        codes.append(code(ftp, line))
    assert codes == [550, 550, 550]


def test_an_upload_replaces_the_file(ftp: ftplib.FTP, home: Path) -> None:
    """A second STOR leaves nothing of the first, longer one."""
    for size in (70_000, 10):
        upload(ftp, "file", content(size))
    assert (home / "file").read_bytes() == content(10)


def test_an_upload_into_a_missing_directory_is_refused(ftp: ftplib.FTP) -> None:
    """STOR makes no directories."""
    ftp.sendcmd("EPSV")
    assert code(ftp, "STOR missing/file") == 550


def test_uploads_are_private(ftp: ftplib.FTP, home: Path) -> None:
    """By default nobody else on the machine may read them."""
    upload(ftp, "file", b"x")
    assert (home / "file").stat().st_mode & 0o777 == 0o600


def test_nothing_else_is_left_beside_an_upload(ftp: ftplib.FTP, home: Path) -> None:
    """The hidden file in which it grew is gone."""
    upload(ftp, "file", content(100_000))
    assert [path.name for path in home.iterdir()] == ["file"]


@pytest.mark.parametrize(("first", "second"), [(0, 10), (10, 20), (70_000, 3), (3, 70_000), (70_000, 70_000)])
def test_appe_appends(ftp: ftplib.FTP, home: Path, first: int, second: int) -> None:
    """APPE adds to what is there."""
    (home / "file").write_bytes(content(first))
    assert upload(ftp, "file", content(second), "APPE").startswith("226")
    assert (home / "file").read_bytes() == content(first) + content(second)


def test_appe_makes_a_new_file(ftp: ftplib.FTP, home: Path) -> None:
    """APPE to nothing is STOR."""
    upload(ftp, "file", b"begun", "APPE")
    assert (home / "file").read_bytes() == b"begun"


def test_stou_names_the_file_it_makes(ftp: ftplib.FTP, home: Path) -> None:
    """The 150 carries the name in the form of RFC 1123; no file that exists is touched."""
    (home / "name").write_bytes(b"old")
    ftp.voidcmd("TYPE I")
    names = []
    for number in range(2):
        connection, opening = begin(ftp, "STOU name")
        connection.sendall(f"content {number}".encode())
        finish(connection)
        assert next_code(ftp) == 226
        found = re.fullmatch(r"150 FILE: (.+)", opening)
        assert found is not None
        names.append(found[1])
    assert [(home / name).read_text() for name in names] == ["content 0", "content 1"]
    assert (home / "name").read_bytes() == b"old"


def test_a_session_transfers_many_files(ftp: ftplib.FTP, home: Path) -> None:
    """One after the other, up and down."""
    for number in range(30):
        upload(ftp, f"file{number}", content(number * 100))
        assert download(ftp, f"file{number}") == content(number * 100)


def test_two_sessions_transfer_at_the_same_time(sessions: Sessions, account: Account, home: Path) -> None:
    """A download that stands half finished keeps no other session from its own."""
    (home / "file").write_bytes(content(5 * MIB))
    first, second = sessions.log_in(account), sessions.log_in(account)
    slow, _ = begin(first, "RETR file")
    received = slow.recv(1000)
    assert download(second, "file") == content(5 * MIB)
    assert upload(second, "other", content(MIB)).startswith("226")
    received += read_all(slow)
    assert received == content(5 * MIB)
    assert next_code(first) == 226


def test_two_uploads_to_one_name_do_not_mix(sessions: Sessions, account: Account, home: Path) -> None:
    """Both complete wholly, and the last one to end is what remains."""
    first, second = sessions.log_in(account), sessions.log_in(account)
    slow, _ = begin(first, "STOR file")
    slow.sendall(content(100_000))
    upload(second, "file", content(300_000))
    assert (home / "file").read_bytes() == content(300_000)
    finish(slow)
    assert next_code(first) == 226
    assert (home / "file").read_bytes() == content(100_000)
