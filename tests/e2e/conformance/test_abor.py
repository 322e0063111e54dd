"""ABOR in every form that clients send it, and everything it ends (RFC 959, 4.1.3)."""

from __future__ import annotations

import ftplib
import socket
from pathlib import Path

import pytest

from tests.e2e.client import CLEAR, EXPLICIT, EXPLICIT_1_2, Way, begin, code, next_code, reply

WAYS = pytest.mark.parametrize("way", [CLEAR, EXPLICIT, EXPLICIT_1_2], ids=str)
BIG = 64 * 1024 * 1024
# Two seconds of work for the fastest processor: ABOR is there long before.
HUGE = 8 << 30
FORMS = (
    b"ABOR",
    b"abor",
    b" ABOR",
    b"\xff\xf4\xff\xf2ABOR",
    b"\xff\xf4\xf2ABOR",
    b"\xff\xf4ABOR",
    b"\xff\xf2ABOR",
    b"\xf2ABOR",
)


@pytest.fixture
def home_with_files(home: Path) -> Path:
    """A home with a file too big to be on its way all at once, and one too big to be read in a moment."""
    for name, size in (("big", BIG), ("huge", HUGE)):
        with open(home / name, "wb") as file:
            file.truncate(size)
    return home


def begun(ftp: ftplib.FTP, line: str) -> socket.socket:
    """Begin a transfer."""
    connection, _ = begin(ftp, line)
    return connection


@WAYS
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_abor(ftp: ftplib.FTP, home_with_files: Path, form: bytes, way: Way) -> None:
    """426 for the transfer, 226 for ABOR, one each."""
    assert ftp.sock is not None
    connection = begun(ftp, "RETR big")
    connection.recv(1000)
    ftp.sock.sendall(form + b"\r\n")
    assert [next_code(ftp), next_code(ftp), code(ftp, "NOOP")] == [426, 226, 200]
    connection.close()


@WAYS
@pytest.mark.parametrize("line", ["RETR big", "STOR new", "APPE big", "STOU", "LIST", "NLST", "MLSD"])
def test_abor_before_the_data_connection(ftp: ftplib.FTP, home_with_files: Path, line: str, way: Way) -> None:
    """The client never connects: the wait for it is ended, and nothing is left behind."""
    before = sorted(path.name for path in home_with_files.iterdir())
    ftp.sendcmd("EPSV")
    assert [code(ftp, line), code(ftp, "ABOR"), next_code(ftp)] == [150, 426, 226]
    assert code(ftp, line) == 425
    assert sorted(path.name for path in home_with_files.iterdir()) == before


@WAYS
@pytest.mark.parametrize("line", ["HASH huge", "XSHA512 huge", "XCRC huge", "SITE CPTO copy", 'COMB "all" "huge"'])
def test_abor_ends_long_work(ftp: ftplib.FTP, home_with_files: Path, line: str, way: Way) -> None:
    """Checksums, copies and COMB too; nothing is published, nothing deleted."""
    if line.startswith("SITE"):
        assert reply(ftp, "SITE CPFR huge").startswith("350")
    ftp.putcmd(line)
    ftp.putcmd("ABOR")
    assert [next_code(ftp), next_code(ftp), code(ftp, "NOOP")] == [426, 226, 200]
    assert sorted(name for name in ftp.nlst() if name in ("all", "copy", "huge")) == ["huge"]


@WAYS
def test_abor_and_what_follows_it(ftp: ftplib.FTP, home_with_files: Path, way: Way) -> None:
    """Commands sent behind it are answered behind it; a new transfer works."""
    assert ftp.sock is not None
    connection = begun(ftp, "RETR big")
    connection.recv(1000)
    ftp.sock.sendall(b"ABOR\r\nPWD\r\nABOR\r\n")
    assert [next_code(ftp) for _ in range(4)] == [426, 226, 257, 226]
    connection.close()
    connection = begun(ftp, "RETR big")
    assert connection.recv(1000)
    ftp.sock.sendall(b"ABOR\r\n")
    assert [next_code(ftp), next_code(ftp)] == [426, 226]
    connection.close()
