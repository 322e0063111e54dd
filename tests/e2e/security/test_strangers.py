"""Strangers at the passive port: another address cannot take, disturb or use up what is meant for the client."""

from __future__ import annotations

import ftplib
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.client import TIMEOUT, Sessions, content, next_code, read_all, reply
from tests.e2e.daemon import Account
from tests.tools import missing

Connect = Callable[[tuple[str, int]], socket.socket]


@pytest.fixture
def stranger() -> Connect:
    """Connects from 127.0.0.2."""
    try:
        with socket.socket() as trial:
            trial.bind(("127.0.0.2", 0))
    except OSError:
        missing("the address 127.0.0.2")
    return lambda where: socket.create_connection(where, TIMEOUT, ("127.0.0.2", 0))


def passive(ftp: ftplib.FTP) -> tuple[str, int]:
    assert ftp.sock is not None
    return ftplib.parse229(ftp.sendcmd("EPSV"), ftp.sock.getpeername())


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def secured(ftp: ftplib.FTP, connection: socket.socket) -> socket.socket:
    return ftp.secured(connection) if hasattr(ftp, "secured") else connection


@pytest.mark.parametrize("times", [1, 20])
def test_a_stranger_does_not_steal_a_download(ftp: ftplib.FTP, home: Path, stranger: Connect, times: int) -> None:
    """Who connects first from elsewhere is closed without a byte; the client connects after them and is served."""
    (home / "file").write_bytes(content(100_000))
    where = passive(ftp)
    strangers = [stranger(where) for _ in range(times)]
    assert all(is_closed(connection) for connection in strangers)
    mine = socket.create_connection(where, TIMEOUT)
    assert reply(ftp, "RETR file").startswith("150")
    assert read_all(secured(ftp, mine)) == content(100_000)
    assert next_code(ftp) == 226


def test_a_stranger_does_not_forge_an_upload(ftp: ftplib.FTP, home: Path, stranger: Connect) -> None:
    """The file holds what the client sent."""
    where = passive(ftp)
    ftp.putcmd("STOR file")
    with stranger(where) as forger:
        try:
            forger.sendall(b"forged")
        except ConnectionError:
            pass  # closed already, as it must be
        assert is_closed(forger)
    assert next_code(ftp) == 150
    mine = secured(ftp, socket.create_connection(where, TIMEOUT))
    mine.sendall(b"genuine")
    if hasattr(mine, "unwrap"):
        mine.unwrap()
    mine.close()
    assert next_code(ftp) == 226
    assert (home / "file").read_bytes() == b"genuine"


def test_a_port_is_closed_to_everybody_when_it_has_been_used(ftp: ftplib.FTP, home: Path) -> None:
    """A second connection to the port, from the same address, is not served."""
    (home / "file").write_bytes(content(100))
    where = passive(ftp)
    first = socket.create_connection(where, TIMEOUT)
    with socket.create_connection(where, TIMEOUT) as second:
        assert is_closed(second)
    assert reply(ftp, "RETR file").startswith("150")
    assert read_all(secured(ftp, first)) == content(100)
    assert next_code(ftp) == 226


def test_a_port_nobody_has_asked_for_serves_nobody(sessions: Sessions, account: Account) -> None:
    """A passive port without a reservation closes what connects."""
    ftp = sessions.log_in(account)
    where = passive(ftp)
    assert reply(ftp, "ABOR").startswith("226")
    with socket.create_connection(where, TIMEOUT) as connection:
        assert is_closed(connection)
