"""
Files beyond 4 GiB: FileZilla tries whether a server can go on with them before it does; curl and ftplib just go on.

The files have a hole of 4 GiB and hold 1 MiB behind it, so nothing of this takes time or disk.
"""

from __future__ import annotations

import ftplib
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.e2e.client import (
    CLEAR,
    EXPLICIT,
    EXPLICIT_1_2,
    Way,
    begin,
    code,
    content,
    finish,
    log_in,
    next_code,
    reply,
    upload,
)
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Account, Daemon
from tests.e2e.polling import eventually
from tests.e2e.programs.files import LARGE, MIB, digest
from tests.tools import require_tool

BORDER = 2**32
TAIL = content(MIB)
SIZE = BORDER + len(TAIL)
OFFSETS = pytest.mark.parametrize("offset", [BORDER - 1, BORDER, BORDER + 1])


@pytest.fixture(params=[CLEAR, EXPLICIT], ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    """In clear, by sendfile, and under TLS."""
    chosen: Way = request.param
    return chosen


def make_huge(path: Path) -> Path:
    """Write a hole of 4 GiB and `TAIL` behind it; return *path*."""
    with open(path, "wb") as file:
        file.seek(BORDER)
        file.write(TAIL)
    return path


def make_hole(path: Path) -> None:
    """Make the file at *path* 4 GiB long, without writing anything."""
    with open(path, "ab") as file:
        file.truncate(BORDER)


def tail_of(path: Path, offset: int = BORDER) -> bytes:
    """Return what is in the file from *offset* on."""
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read()


def expected(offset: int) -> bytes:
    """Return what follows *offset* in a huge file."""
    return b"\0" * max(0, BORDER - offset) + TAIL[max(0, offset - BORDER) :]


def curl(daemon: Daemon, way: Way, account: Account, *options: object) -> None:
    """Run curl for the path `huge`, explicit TLS where *way* is secure."""
    security = ["--ssl-reqd", "--cacert", daemon.tls.authority] if way.is_secure else []
    command = [require_tool("curl"), "-sS", "-m", "60", "-u", f"{account.name}:{account.password}", *security]
    url = f"ftp://127.0.0.1:{daemon.ports.explicit}/huge"
    done = subprocess.run([*map(str, command), *map(str, options), url], capture_output=True, text=True, timeout=70)
    assert done.returncode == 0, done.stderr


def test_the_size_is_told_everywhere(ftp: ftplib.FTP, home: Path) -> None:
    """SIZE, MLST, MLSD, LIST and the 150 of RETR: clients read it from one of these."""
    make_huge(home / "huge")
    ftp.sendcmd("TYPE I")
    assert ftp.size("huge") == SIZE
    assert f"size={SIZE};" in reply(ftp, "MLST huge").lower()
    assert dict(ftp.mlsd())["huge"]["size"] == str(SIZE)
    lines: list[str] = []
    ftp.retrlines("LIST", lines.append)
    assert lines[0].split()[4] == str(SIZE)
    connection, opening = begin(ftp, "RETR huge", after="TYPE I")
    assert f"({SIZE} bytes)" in opening
    assert code(ftp, "ABOR") == 426
    connection.close()
    assert next_code(ftp) == 226


@OFFSETS
def test_ftplib_goes_on_with_a_download(ftp: ftplib.FTP, home: Path, offset: int) -> None:
    """REST and RETR on both sides of the border."""
    make_huge(home / "huge")
    ftp.sendcmd("TYPE I")
    connection, _ = begin(ftp, "RETR huge", after=f"REST {offset}")
    received = b""
    # A server that lost the upper half of the offset would send 4 GiB.
    while len(received) <= len(TAIL) + 1 and (piece := connection.recv(MIB)):
        received += piece
    assert received == expected(offset)
    finish(connection)
    assert next_code(ftp) == 226


@OFFSETS
def test_curl_goes_on_with_a_download(
    daemon: Daemon, way: Way, account: Account, home: Path, tmp_path: Path, offset: int
) -> None:
    """`curl -C`."""
    make_huge(home / "huge")
    curl(daemon, way, account, "-C", offset, "-o", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == expected(offset)


@pytest.fixture
def unhashed(start_daemon: StartDaemon) -> Daemon:
    """A daemon that does not read again what has arrived, for its checksum: that takes seconds for 4 GiB."""
    return start_daemon({"audit": {"log": "audit.jsonl", "sha256": False}, "tls": {"require": "none"}})


def interrupted_upload(daemon: Daemon, way: Way, account: Account) -> ftplib.FTP:
    """Return a session after an upload of `huge` that was cut off; what had arrived is then made 4 GiB long."""
    ftp = log_in(daemon, way, account)
    ftp.sendcmd("TYPE I")
    connection, _ = begin(ftp, "STOR huge")
    connection.sendall(TAIL)
    eventually(lambda: f"Transferring: {len(TAIL)} bytes" in ftp.sendcmd("STAT"), "the bytes have arrived")
    assert code(ftp, "ABOR") == 426
    connection.close()
    assert next_code(ftp) == 226
    (partial,) = account.home.iterdir()
    make_hole(partial)
    return ftp


def test_ftplib_goes_on_with_an_upload(unhashed: Daemon, way: Way) -> None:
    """SIZE of what has arrived, REST and STOR; it is published whole."""
    account = unhashed.account()
    ftp = interrupted_upload(unhashed, way, account)
    assert ftp.size("huge") == BORDER
    assert upload(ftp, "huge", TAIL, rest=BORDER).startswith("226")
    assert (account.home / "huge").stat().st_size == ftp.size("huge") == SIZE
    assert tail_of(account.home / "huge") == TAIL
    ftp.close()


def test_curl_goes_on_with_an_upload(unhashed: Daemon, way: Way, tmp_path: Path) -> None:
    """`curl -C - -T`, by SIZE and APPE."""
    account = unhashed.account()
    interrupted_upload(unhashed, way, account).close()
    curl(unhashed, way, account, "-C", "-", "-T", make_huge(tmp_path / "source"))
    assert (account.home / "huge").stat().st_size == SIZE
    assert tail_of(account.home / "huge") == TAIL


@pytest.mark.skipif(LARGE <= 64 * MIB, reason="reads 4 GiB for a checksum: FTPSD_TESTS_LARGE=1")
def test_the_checksum_is_of_the_whole_upload(daemon: Daemon, way: Way, account: Account, home: Path) -> None:
    """The bytes that had arrived before the interruption are read again for the SHA-256 in the audit log."""
    ftp = interrupted_upload(daemon, way, account)
    assert upload(ftp, "huge", TAIL, rest=BORDER).startswith("226")
    ftp.close()
    assert daemon.wait_for_event("file-stored", user=account.name, result="complete")["sha256"] == digest(home / "huge")


@pytest.mark.skipif(LARGE <= 64 * MIB, reason="reads 4 GiB for a checksum: FTPSD_TESTS_LARGE=1")
def test_abor_ends_what_an_upload_needs_at_its_end(daemon: Daemon, way: Way, account: Account, home: Path) -> None:
    """The 150 comes before any of the 4 GiB are read; ABOR while they are is 426, and the client goes on later."""
    ftp = interrupted_upload(daemon, way, account)
    connection, _ = begin(ftp, "STOR huge", after=f"REST {BORDER}")
    connection.sendall(TAIL)
    eventually(lambda: f"Transferring: {len(TAIL)} bytes" in ftp.sendcmd("STAT"), "the bytes have arrived")
    finish(connection)
    assert code(ftp, "ABOR") == 426
    assert next_code(ftp) == 226
    assert not (home / "huge").exists()
    assert ftp.size("huge") == SIZE
    ftp.close()


@pytest.mark.skipif(LARGE <= 64 * MIB, reason="copies 4 GiB: FTPSD_TESTS_LARGE=1")
def test_abor_ends_the_copy_behind_a_range(daemon: Daemon, way: Way, account: Account, home: Path) -> None:
    """One byte of 4 GiB is replaced: the client does not wait for the end of the copy if it does not want to."""
    make_huge(home / "huge")
    ftp = log_in(daemon, way, account)
    ftp.sendcmd("TYPE I")
    connection, _ = begin(ftp, "STOR huge", after="RANG 0 0")
    connection.sendall(b"x")
    finish(connection)
    assert code(ftp, "ABOR") == 426
    assert next_code(ftp) == 226
    assert [path.name for path in home.iterdir()] == ["huge"]
    with open(home / "huge", "rb") as file:
        assert file.read(1) == b"\0"
    ftp.close()


def test_an_upload_in_place_goes_on(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """`uploads.mode: direct`: the bytes are written behind what the file has, by STOR and by APPE."""
    daemon = start_daemon({"uploads": {"mode": "direct"}})
    account = daemon.account()
    huge = account.home / "huge"
    ftp = log_in(daemon, EXPLICIT, account)
    make_hole(huge)
    assert upload(ftp, "huge", TAIL, rest=BORDER).startswith("226")
    ftp.close()
    assert (huge.stat().st_size, tail_of(huge)) == (SIZE, TAIL)
    huge.unlink()
    make_hole(huge)
    curl(daemon, EXPLICIT, account, "-C", "-", "-T", make_huge(tmp_path / "source"))
    assert (huge.stat().st_size, tail_of(huge)) == (SIZE, TAIL)


@pytest.mark.skipif(LARGE <= 64 * MIB, reason="sends 1 GiB: FTPSD_TESTS_LARGE=1")
@pytest.mark.parametrize("way", [EXPLICIT_1_2], ids=str)
def test_no_renegotiation_after_a_gigabyte(daemon: Daemon, way: Way, account: Account) -> None:
    """ProFTPD used to begin one in TLS 1.2 after 1 GB, and clients that refuse it lost the transfer."""
    make_huge(account.home / "huge")
    ftp = log_in(daemon, way, account)
    assert isinstance(ftp, ftplib.FTP_TLS)
    ftp.context.options |= ssl.OP_NO_RENEGOTIATION
    ftp.sendcmd("TYPE I")
    connection, _ = begin(ftp, "RETR huge", after=f"REST {BORDER - 2**30 - 100 * MIB}")
    assert isinstance(connection, ssl.SSLSocket)
    assert connection.version() == "TLSv1.2"
    count, buffer = 0, bytearray(MIB)
    while piece := connection.recv_into(buffer):
        count += piece
    finish(connection)
    assert count == 2**30 + 101 * MIB
    assert next_code(ftp) == 226
    ftp.close()
