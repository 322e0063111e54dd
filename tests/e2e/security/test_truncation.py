"""Uploads that end too early: never published, never answered 226."""

from __future__ import annotations

import ftplib
import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.client import (
    SECURE_WAYS,
    TIMEOUT,
    ReusedFTP_TLS,
    Sessions,
    Way,
    begin,
    code,
    content,
    log_in,
    next_code,
    reply,
    upload,
)
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Account, Daemon
from tests.e2e.polling import eventually

SIZES = pytest.mark.parametrize("size", [0, 10, 64 * 1024, 500_000])


@pytest.fixture(params=SECURE_WAYS, ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    """In turn every way with TLS: in clear a FIN is the only end there is."""
    chosen: Way = request.param
    return chosen


def cut(connection: socket.socket, how: str) -> None:
    """End *connection* without close_notify: by FIN, or by RST."""
    assert isinstance(connection, ssl.SSLSocket)
    if how == "RST":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    socket.socket(fileno=connection.detach()).close()


def interrupted(ftp: ftplib.FTP, verb: str, size: int, how: str) -> int:
    """Begin an upload, cut it off when *size* bytes have arrived, return the final code."""
    connection, _ = begin(ftp, f"{verb} file")
    connection.sendall(content(size))
    eventually(lambda: f"Transferring: {size} bytes" in reply(ftp, "STAT"), "the bytes have arrived")
    cut(connection, how)
    return next_code(ftp)


@SIZES
@pytest.mark.parametrize("how", ["FIN", "RST"])
def test_a_new_file_is_not_published(ftp: ftplib.FTP, home: Path, size: int, how: str) -> None:
    """426, and no file of that name."""
    assert interrupted(ftp, "STOR", size, how) == 426
    assert not (home / "file").exists()
    assert code(ftp, "NOOP") == 200


@SIZES
@pytest.mark.parametrize("how", ["FIN", "RST"])
@pytest.mark.parametrize("verb", ["STOR", "APPE"])
def test_an_existing_file_is_unchanged(ftp: ftplib.FTP, home: Path, size: int, how: str, verb: str) -> None:
    """The file that was there before is there after."""
    (home / "file").write_bytes(b"before")
    assert interrupted(ftp, verb, size, how) == 426
    assert (home / "file").read_bytes() == b"before"


def test_it_is_audited_as_truncated(ftp: ftplib.FTP, daemon: Daemon, account: Account) -> None:
    """The audit log tells it from an upload that was aborted on purpose."""
    interrupted(ftp, "STOR", 1000, "FIN")
    event = daemon.wait_for_event("file-stored", user=account.name)
    assert (event["result"], event["bytes"], event["path"]) == ("truncated", 1000, "/file")


def test_it_can_be_resumed(sessions: Sessions, account: Account, home: Path) -> None:
    """Its bytes are kept for its owner, who goes on where it stopped."""
    interrupted(sessions.log_in(account), "STOR", 200_000, "RST")
    ftp = sessions.log_in(account)
    ftp.sendcmd("TYPE I")
    assert ftp.size("file") == 200_000
    upload(ftp, "file", content(500_000)[:100_000], rest=200_000)
    assert (home / "file").read_bytes() == content(200_000) + content(500_000)[:100_000]


def test_a_lost_download_is_not_complete(ftp: ftplib.FTP, daemon: Daemon, account: Account, home: Path) -> None:
    """A client that resets the data connection gets 426, and the audit log does not say complete."""
    with open(home / "big", "wb") as file:
        file.truncate(64 * 1024 * 1024)
    connection, _ = begin(ftp, "RETR big")
    connection.recv(1000)
    cut(connection, "RST")
    assert next_code(ftp) == 426
    assert daemon.wait_for_event("file-sent", user=account.name)["result"] == "truncated"


class TestUploadEndFin:
    """`upload_end: fin` of one user: for devices that never send close_notify."""

    @pytest.fixture
    def ftp(self, start_daemon: StartDaemon, way: Way) -> Iterator[ftplib.FTP]:
        """A session of such a user."""
        daemon = start_daemon()
        account = daemon.account()
        users = daemon.users
        users[account.name]["upload_end"] = "fin"
        daemon.write_users(users)
        daemon.reload()
        self.home = account.home
        session = log_in(daemon, way, account)
        yield session
        session.close()

    def test_a_fin_ends_an_upload(self, ftp: ftplib.FTP) -> None:
        """The bytes that came in are the file, however many; a reset upload is none, nor one cut inside a record."""
        for size in (0, 10, 64 * 1024, 500_000):
            assert interrupted(ftp, "STOR", size, "FIN") == 226
            assert (self.home / "file").read_bytes() == content(size)
        for size in (10, 500_000):
            assert interrupted(ftp, "STOR", size, "RST") == 426
        assert cut_inside_a_record(ftp) == 426
        assert (self.home / "file").read_bytes() == content(500_000)
        # close_notify ends it as ever.
        assert upload(ftp, "file", b"whole").startswith("226")
        assert (self.home / "file").read_bytes() == b"whole"


def cut_inside_a_record(ftp: ftplib.FTP) -> int:
    """Do what the kernel of a client does that dies: send a part of what was written, then FIN."""
    assert isinstance(ftp, ReusedFTP_TLS)
    assert isinstance(ftp.sock, ssl.SSLSocket)
    host, port = ftplib.parse229(ftp.sendcmd("EPSV"), ftp.sock.getpeername())
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ftp.context.wrap_bio(incoming, outgoing, server_hostname=ftp.host, session=ftp.sock.session)
    with socket.create_connection((host, port), TIMEOUT) as plain:
        assert reply(ftp, "STOR file").startswith("150")
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                plain.sendall(outgoing.read())
                incoming.write(plain.recv(65536))
        tls.write(content(10_000))
        plain.sendall(outgoing.read()[:-1])
        plain.shutdown(socket.SHUT_WR)
        return next_code(ftp)
