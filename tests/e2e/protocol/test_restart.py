"""REST: transfers that go on where an earlier one stopped."""

from __future__ import annotations

import ftplib
import io
from pathlib import Path

import pytest

from tests.e2e.client import Sessions, begin, code, content, download, listing, next_code, upload
from tests.e2e.daemon import Account
from tests.e2e.polling import eventually

SIZE = 300_000


@pytest.mark.parametrize("offset", [1, 1000, SIZE - 1, SIZE])
def test_a_download_starts_at_the_offset(ftp: ftplib.FTP, home: Path, offset: int) -> None:
    """RETR after REST sends the rest of the file."""
    (home / "file").write_bytes(content(SIZE))
    assert download(ftp, "file", rest=offset) == content(SIZE)[offset:]


@pytest.mark.parametrize("offset", [1, 1000, SIZE - 1, SIZE])
def test_an_upload_starts_at_the_offset(ftp: ftplib.FTP, home: Path, offset: int) -> None:
    """STOR after REST keeps the bytes before the offset."""
    (home / "file").write_bytes(content(SIZE)[:offset])
    assert upload(ftp, "file", content(SIZE)[offset:], rest=offset).startswith("226")
    assert (home / "file").read_bytes() == content(SIZE)


def test_an_upload_that_starts_within_the_file_replaces_what_follows(ftp: ftplib.FTP, home: Path) -> None:
    """The bytes that were behind the offset do not come back."""
    (home / "file").write_bytes(content(SIZE))
    upload(ftp, "file", b"end", rest=100)
    assert (home / "file").read_bytes() == content(SIZE)[:100] + b"end"


def test_an_offset_is_used_once(ftp: ftplib.FTP, home: Path) -> None:
    """The next transfer starts at the beginning again (RFC 3659, 5.3)."""
    (home / "file").write_bytes(content(1000))
    assert download(ftp, "file", rest=900) == content(1000)[900:]
    assert download(ftp, "file") == content(1000)


def test_an_offset_is_used_up_by_a_listing(ftp: ftplib.FTP, home: Path) -> None:
    """REST, LIST, RETR sends the whole file."""
    (home / "file").write_bytes(content(1000))
    ftp.sendcmd("REST 900")
    listing(ftp, "NLST")
    assert download(ftp, "file") == content(1000)


@pytest.mark.parametrize("verb", ["RETR", "STOR"])
def test_an_offset_beyond_the_end_is_refused(ftp: ftplib.FTP, home: Path, verb: str) -> None:
    """554 before a data connection is used, and the file stays as it is."""
    (home / "file").write_bytes(content(1000))
    ftp.sendcmd("TYPE I")
    ftp.sendcmd("EPSV")
    assert [code(ftp, line) for line in ("REST 1001", f"{verb} file")] == [350, 554]
    assert (home / "file").read_bytes() == content(1000)


def test_an_offset_that_is_none_is_refused(ftp: ftplib.FTP) -> None:
    """REST takes a 64-bit number of bytes."""
    offsets = ["-1", "99999999999999999999", "1.5", "x", "0x10", "٣"]
    assert {offset: code(ftp, f"REST {offset}") for offset in offsets} == dict.fromkeys(offsets, 501)


def test_a_download_goes_on_beyond_4_gib(ftp: ftplib.FTP, home: Path) -> None:
    """Offsets have 64 bits."""
    with open(home / "huge", "wb") as file:
        file.truncate(5 * 2**30)
        file.seek(5 * 2**30)
        file.write(b"the end")
    assert download(ftp, "huge", rest=5 * 2**30) == b"the end"


@pytest.mark.parametrize("arrived", [1000, 200_000])
def test_an_interrupted_upload_is_resumed(sessions: Sessions, account: Account, home: Path, arrived: int) -> None:
    """An upload that had arrived in part has a SIZE, is not there for others, and STOR goes on behind it."""
    ftp = sessions.log_in(account)
    ftp.sendcmd("TYPE I")
    connection, _ = begin(ftp, "STOR file")
    connection.sendall(content(SIZE)[:arrived])
    other = sessions.log_in(account)
    other.sendcmd("TYPE I")
    eventually(lambda: f"Transferring: {arrived} bytes" in ftp.sendcmd("STAT"), "the bytes have arrived")
    assert code(ftp, "ABOR") == 426
    connection.close()
    assert next_code(ftp) == 226
    assert not (home / "file").exists()
    assert other.size("file") == arrived
    assert upload(other, "file", content(SIZE)[arrived:], rest=arrived).startswith("226")
    assert (home / "file").read_bytes() == content(SIZE)


def test_rest_before_appe_means_nothing(ftp: ftplib.FTP, home: Path) -> None:
    """Clients that send it mean the end of the file."""
    (home / "file").write_bytes(b"begin ")
    ftp.storbinary("APPE file", io.BytesIO(b"end"), rest=2)
    assert (home / "file").read_bytes() == b"begin end"
