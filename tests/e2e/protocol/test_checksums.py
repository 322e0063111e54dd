"""Checksums: HASH, OPTS HASH, RANG and the X forms."""

from __future__ import annotations

import ftplib
import hashlib
import zlib
from pathlib import Path

import pytest

from tests.e2e.client import EXPLICIT, Sessions, Way, begin, code, content, download, next_code, read_all, reply, upload
from tests.e2e.daemon import Account

SIZE = 20_000_001
DATA = content(SIZE)


def test_the_hash_of_a_file(ftp: ftplib.FTP, home: Path) -> None:
    """SHA-256 unless something else was chosen; the range is that of the whole file."""
    (home / "a file").write_bytes(DATA)
    assert reply(ftp, "HASH a file") == f"213 SHA-256 0-{SIZE - 1} {hashlib.sha256(DATA).hexdigest()} a file"


def test_the_hash_of_what_was_just_uploaded(ftp: ftplib.FTP) -> None:
    """It was computed while the file came in, and is told at once."""
    upload(ftp, "file", DATA)
    assert reply(ftp, "HASH file").split()[3] == hashlib.sha256(DATA).hexdigest()


def test_a_file_that_was_changed_behind_our_back(ftp: ftplib.FTP, home: Path) -> None:
    """The digest that was known of it is forgotten."""
    upload(ftp, "file", b"one")
    (home / "file").write_bytes(b"another")
    assert reply(ftp, "HASH file").split()[3] == hashlib.sha256(b"another").hexdigest()


@pytest.mark.parametrize("algorithm", ["SHA-512", "SHA-1", "MD5"])
def test_an_algorithm_is_chosen(ftp: ftplib.FTP, home: Path, algorithm: str) -> None:
    """By OPTS HASH; FEAT has the star at it."""
    (home / "file").write_bytes(DATA)
    assert reply(ftp, f"OPTS HASH {algorithm}") == f"200 {algorithm}"
    assert f"{algorithm}*" in reply(ftp, "FEAT")
    expected = hashlib.new(algorithm.replace("-", ""), DATA).hexdigest()
    assert reply(ftp, "HASH file").split()[1::2] == [algorithm, expected]


def test_a_range(ftp: ftplib.FTP, home: Path) -> None:
    """RANG is for the next HASH or RETR, and for that one only."""
    (home / "file").write_bytes(DATA)
    first, last = 1_000_000, 1_999_999
    piece = DATA[first : last + 1]
    ftp.sendcmd("TYPE I")
    assert code(ftp, f"RANG {first} {last}") == 350
    assert reply(ftp, "HASH file") == f"213 SHA-256 {first}-{last} {hashlib.sha256(piece).hexdigest()} file"
    connection, _ = begin(ftp, "RETR file", after=f"RANG {first} {last}")
    assert read_all(connection) == piece
    assert next_code(ftp) == 226
    assert download(ftp, "file") == DATA


def test_answers(ftp: ftplib.FTP, home: Path) -> None:
    """The answer to each, character for character."""
    answers = {
        "XCRC file": f"250 {zlib.crc32(DATA):08x}",
        'XCRC "file" 0 1000': f"250 {zlib.crc32(DATA[:1000]):08x}",
        'XMD5 "file"': f"250 {hashlib.md5(DATA).hexdigest()}",
        "XSHA1 file": f"250 {hashlib.sha1(DATA).hexdigest()}",
        "XSHA256 file": f"250 {hashlib.sha256(DATA).hexdigest()}",
        "XSHA512 file": f"250 {hashlib.sha512(DATA).hexdigest()}",
        "HASH folder": "553 Is a directory, and directories have no checksum.",
        "XMD5 nothing": "550 No such file or directory.",
        "HASH ../../../etc/passwd": "550 No such file or directory.",
    }
    (home / "file").write_bytes(DATA)
    (home / "folder").mkdir()
    assert {line: reply(ftp, line) for line in answers} == answers


@pytest.mark.parametrize("way", [EXPLICIT], ids=str)
def test_a_huge_file_is_no_burden(sessions: Sessions, way: Way, account: Account, home: Path) -> None:
    """While 200 GiB are read, others are served; when the client goes, the reading ends."""
    with open(home / "huge", "wb") as file:
        file.truncate(200 << 30)
    (home / "file").write_bytes(b"data")
    busy = [sessions.log_in(account) for _ in range(6)]
    for ftp in busy:
        ftp.putcmd("XMD5 huge")
    other = sessions.log_in(account)
    assert download(other, "file") == b"data"
    for ftp in busy:
        ftp.close()
    assert reply(other, "XMD5 file") == f"250 {hashlib.md5(b'data').hexdigest()}"
