"""ABOR, and other commands while a transfer runs."""

from __future__ import annotations

import ftplib
import socket
from pathlib import Path

import pytest

from tests.e2e.client import CLEAR, Way, begin, code, content, download, next_code, read_all, reply
from tests.e2e.polling import eventually

# More than all socket buffers between server and client hold, so the transfer waits for the client.
BIG = 64 * 1024 * 1024


@pytest.fixture
def big(home: Path) -> Path:
    """A file too big to be on its way all at once."""
    with open(home / "big", "wb") as file:
        file.truncate(BIG)
    return home / "big"


def test_a_download_is_aborted(ftp: ftplib.FTP, home: Path, big: Path) -> None:
    """426 for the transfer, 226 for ABOR, and the session goes on."""
    (home / "file").write_bytes(content(1000))
    connection, _ = begin(ftp, "RETR big")
    connection.recv(1000)
    assert ftp.abort().startswith("426")
    assert next_code(ftp) == 226
    connection.close()
    assert download(ftp, "file") == content(1000)


@pytest.mark.parametrize("target", [None, b"old"])
@pytest.mark.parametrize("arrived", [0, 1000, 500_000])
def test_an_aborted_upload_is_not_published(ftp: ftplib.FTP, home: Path, arrived: int, target: bytes | None) -> None:
    """426 and 226; what was there before is still there, unchanged."""
    if target is not None:
        (home / "file").write_bytes(target)
    connection, _ = begin(ftp, "STOR file")
    connection.sendall(content(arrived))
    assert ftp.abort().startswith("426")
    assert next_code(ftp) == 226
    connection.close()
    assert ((home / "file").read_bytes() if (home / "file").exists() else None) == target


def test_abor_without_a_transfer_is_fine(ftp: ftplib.FTP) -> None:
    """226, as ftplib expects."""
    assert [code(ftp, line) for line in ("ABOR", "NOOP")] == [226, 200]


def test_abor_gives_the_agreed_port_up(ftp: ftplib.FTP, home: Path) -> None:
    """After PASV and ABOR a transfer needs a new PASV."""
    (home / "file").write_bytes(b"")
    assert [code(ftp, line) for line in ("EPSV", "ABOR", "RETR file")] == [229, 226, 425]


def test_abor_ends_the_wait_for_a_client_that_does_not_connect(ftp: ftplib.FTP, home: Path) -> None:
    """PASV, RETR, no connection, ABOR: the session is free again at once."""
    (home / "file").write_bytes(b"x")
    ftp.sendcmd("EPSV")
    assert [code(ftp, "RETR file"), code(ftp, "ABOR"), next_code(ftp), code(ftp, "NOOP")] == [150, 426, 226, 200]


@pytest.mark.parametrize("way", [CLEAR], ids=str)
@pytest.mark.parametrize("verb", ["RETR big", "STOR file"])
def test_abor_by_telnet_synch_aborts(ftp: ftplib.FTP, big: Path, verb: str, way: Way) -> None:
    """lftp and others send Telnet IP and Synch, partly as urgent data, before ABOR (RFC 959, 4.1.3)."""
    connection, _ = begin(ftp, verb)
    assert ftp.sock is not None
    ftp.sock.sendall(b"\xff\xf4")
    ftp.sock.send(b"\xff", socket.MSG_OOB)
    ftp.sock.sendall(b"\xf2ABOR\r\n")
    assert [next_code(ftp), next_code(ftp), code(ftp, "NOOP")] == [426, 226, 200]
    connection.close()


def test_stat_tells_how_far_a_transfer_is(ftp: ftplib.FTP, big: Path) -> None:
    """STAT is answered at once, on the control connection, while the download goes on."""
    connection, _ = begin(ftp, "RETR big")
    count = len(connection.recv(1000))
    assert f" of {BIG} bytes" in reply(ftp, "STAT")
    assert count + len(read_all(connection)) == BIG
    assert next_code(ftp) == 226


def test_other_commands_wait_for_the_end_of_a_transfer(ftp: ftplib.FTP, big: Path) -> None:
    """lftp and FluentFTP send NOOP meanwhile: its 200 comes after the 226."""
    connection, _ = begin(ftp, "RETR big")
    ftp.putcmd("NOOP")
    ftp.putcmd("PWD")
    read_all(connection)
    assert [next_code(ftp) for _ in range(3)] == [226, 200, 257]


def test_quit_waits_for_the_end_of_a_transfer(ftp: ftplib.FTP, big: Path) -> None:
    """QUIT during a download lets it finish."""
    connection, _ = begin(ftp, "RETR big")
    ftp.putcmd("QUIT")
    assert len(read_all(connection)) == BIG
    assert [next_code(ftp), next_code(ftp)] == [226, 221]


def test_a_client_that_vanishes_leaves_nothing_behind(ftp: ftplib.FTP, home: Path, big: Path) -> None:
    """Control and data connection gone in the middle of an upload: the file is not published."""
    connection, _ = begin(ftp, "STOR file")
    connection.sendall(content(200_000))
    eventually(lambda: "Transferring: 200000 bytes" in reply(ftp, "STAT"), "the bytes have arrived")
    ftp.close()
    connection.close()
    assert not (home / "file").exists()
