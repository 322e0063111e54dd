"""TYPE A: line ends are CR LF on the wire and LF in files."""

from __future__ import annotations

import ftplib
import io
from pathlib import Path

import pytest

from tests.e2e.client import code, listing

# (what is sent, what is stored)
UPLOADS = [
    (b"", b""),
    (b"one\r\ntwo\r\n", b"one\ntwo\n"),
    (b"no end", b"no end"),
    (b"bare\nlf\n", b"bare\nlf\n"),
    (b"lone\rcr\r", b"lone\rcr\r"),
    (b"\r\r\n", b"\r\n"),
    (b"0123456789abcd\r\n" * 20_000, b"0123456789abcd\n" * 20_000),
    (b"x" * 65535 + b"\r\n" + b"y" * 65535 + b"\r\n", b"x" * 65535 + b"\n" + b"y" * 65535 + b"\n"),
]
# (what is stored, what is sent)
DOWNLOADS = [
    (b"", b""),
    (b"one\ntwo\n", b"one\r\ntwo\r\n"),
    (b"no end", b"no end"),
    (b"line\n" * 50_000, b"line\r\n" * 50_000),
]


def retrieve(ftp: ftplib.FTP, name: str) -> bytes:
    ftp.voidcmd("TYPE A")
    pieces = []
    with ftp.transfercmd(f"RETR {name}") as connection:
        while piece := connection.recv(65536):
            pieces.append(piece)
    ftp.voidresp()
    return b"".join(pieces)


@pytest.mark.parametrize(("sent", "stored"), UPLOADS, ids=range(len(UPLOADS)))
def test_an_upload_is_stored_with_lf(ftp: ftplib.FTP, home: Path, sent: bytes, stored: bytes) -> None:
    """CR LF becomes LF, wherever the network cuts the text; nothing else changes."""
    ftp.voidcmd("TYPE A")
    connection = ftp.transfercmd("STOR text")
    connection.sendall(sent)
    if hasattr(connection, "unwrap"):
        connection.unwrap()
    connection.close()
    assert ftp.voidresp().startswith("226")
    assert (home / "text").read_bytes() == stored


@pytest.mark.parametrize(("stored", "sent"), DOWNLOADS, ids=range(len(DOWNLOADS)))
def test_a_download_is_sent_with_cr_lf(ftp: ftplib.FTP, home: Path, stored: bytes, sent: bytes) -> None:
    """LF becomes CR LF."""
    (home / "text").write_bytes(stored)
    assert retrieve(ftp, "text") == sent


def test_a_round_trip_changes_nothing(ftp: ftplib.FTP) -> None:
    """ftplib's storlines and retrlines give back the lines that were given."""
    lines = [f"line {number}" for number in range(1000)]
    ftp.storlines("STOR text", io.BytesIO("\n".join([*lines, ""]).encode()))
    assert listing(ftp, "RETR text") == lines


def test_type_i_changes_nothing(ftp: ftplib.FTP, home: Path) -> None:
    """After TYPE I every byte is sent as it is."""
    (home / "text").write_bytes(b"a\nb\r\n")
    ftp.voidcmd("TYPE A")
    pieces: list[bytes] = []
    ftp.retrbinary("RETR text", pieces.append)
    assert b"".join(pieces) == b"a\nb\r\n"


def test_binary_is_what_a_session_starts_with(ftp: ftplib.FTP, home: Path) -> None:
    """A client that forgets TYPE gets the bytes."""
    (home / "text").write_bytes(b"a\nb\n")
    with ftp.transfercmd("RETR text") as connection:
        assert connection.recv(100) == b"a\nb\n"
    assert ftp.voidresp().startswith("226")


def test_appe_continues_text(ftp: ftplib.FTP, home: Path) -> None:
    """APPE in TYPE A converts too."""
    (home / "text").write_bytes(b"one\n")
    ftp.storlines("APPE text", io.BytesIO(b"two\n"))
    assert (home / "text").read_bytes() == b"one\ntwo\n"


def test_only_zero_may_be_the_offset_of_text(ftp: ftplib.FTP) -> None:
    """REST 0 is what some clients send before every transfer; other offsets of text are ambiguous."""
    assert [code(ftp, line) for line in ("TYPE A", "REST 0", "REST 5")] == [200, 350, 504]


def test_type_forms(ftp: ftplib.FTP) -> None:
    """The forms of RFC 959 that mean I and A are accepted, EBCDIC and odd byte sizes are not."""
    lines = (
        "TYPE I",
        "TYPE L 8",
        "TYPE A",
        "TYPE A N",
        "TYPE a",
        "TYPE i",
        "TYPE E",
        "TYPE L 36",
        "TYPE A T",
        "TYPE X",
    )
    assert [code(ftp, line) for line in lines] == [200, 200, 200, 200, 200, 200, 504, 504, 504, 501]
