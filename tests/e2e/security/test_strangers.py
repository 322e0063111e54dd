"""Strangers at the passive port: another address cannot take, disturb or use up what is meant for the client."""

from __future__ import annotations

import ftplib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.at_once import all_at_once
from tests.e2e.client import (
    EXPLICIT,
    EXPLICIT_1_2,
    IPV4,
    SECURE_WAYS,
    TIMEOUT,
    Sessions,
    Way,
    content,
    finish,
    log_in,
    next_code,
    read_all,
    reply,
    tls_context,
)
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Account, Daemon
from tests.tools import missing

Act = Callable[[socket.socket, ssl.SSLContext], socket.socket]
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
    """A stranger who connects first from elsewhere is closed without a byte; the client after them is served."""
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
    """A second connection to the port, from the same address, is not served: neither beside the first nor later."""
    (home / "file").write_bytes(content(100))
    where = passive(ftp)
    first = socket.create_connection(where, TIMEOUT)
    with socket.create_connection(where, TIMEOUT) as second:
        assert reply(ftp, "RETR file").startswith("150")
        assert read_all(secured(ftp, first)) == content(100)
        assert next_code(ftp) == 226
        assert is_closed(second)
    with socket.create_connection(where, TIMEOUT) as third:
        assert is_closed(third)


def say_nothing(connection: socket.socket, context: ssl.SSLContext) -> socket.socket:
    return connection


def say_garbage(connection: socket.socket, context: ssl.SSLContext) -> socket.socket:
    connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
    return connection


def shake_hands(connection: socket.socket, context: ssl.SSLContext) -> socket.socket:
    return context.wrap_socket(connection, server_hostname=IPV4)


def hang_up(connection: socket.socket, context: ssl.SSLContext) -> socket.socket:
    connection.close()
    return connection


@pytest.mark.parametrize("act", [say_nothing, say_garbage, shake_hands, hang_up])
def test_a_neighbour_who_comes_first_ends_no_transfer(tls_daemon: Daemon, act: Act) -> None:
    """From the client's own address, as behind one NAT: 20 of 20 transfers are served, and each neighbour is closed."""
    before = len(tls_daemon.stderr)
    cases = [(tls_daemon, way, verb, act) for way in SECURE_WAYS for verb in ("RETR", "STOR")]
    all_at_once(comes_first, cases)
    assert "Traceback" not in tls_daemon.stderr[before:]


def comes_first(daemon: Daemon, way: Way, verb: str, act: Act) -> None:
    """Transfer a file twenty times, behind a neighbour."""
    account, sessions = daemon.account(), Sessions(daemon, way)
    home, ftp = account.home, sessions.log_in(account)
    (home / "file").write_bytes(content(1000))
    context = tls_context(daemon, way.version)
    for _ in range(20):
        where = passive(ftp)
        neighbour = act(socket.create_connection(where, TIMEOUT), context)
        mine = socket.create_connection(where, TIMEOUT)
        assert reply(ftp, f"{verb} file").startswith("150")
        data = secured(ftp, mine)
        if verb == "STOR":
            data.sendall(content(1000))
            finish(data)
        else:
            assert read_all(data) == content(1000)
        assert next_code(ftp) == 226
        assert neighbour.fileno() == -1 or is_closed(neighbour)
        neighbour.close()
    assert (home / "file").read_bytes() == content(1000)
    sessions.close()


@pytest.mark.parametrize("way", [EXPLICIT, EXPLICIT_1_2], ids=str)
def test_a_neighbour_who_is_refused_is_told(daemon: Daemon, way: Way, account: Account, sessions: Sessions) -> None:
    """With close_notify, and in the audit log by the reason; the command it ruined is answered 522 soon."""
    ftp = sessions.log_in(account)
    where = passive(ftp)
    assert reply(ftp, "LIST").startswith("150")
    context = tls_context(daemon, way.version)
    plain = socket.create_connection(where, TIMEOUT)
    with context.wrap_socket(plain, server_hostname=IPV4, suppress_ragged_eofs=False) as neighbour:
        assert neighbour.recv(1) == b""
    assert next_code(ftp) == 522
    refused = daemon.wait_for_event("data-connection-refused", user=account.name)
    assert refused["reason"] == "not-resumed"


def test_strangers_are_named_when_nobody_else_comes(start_daemon: StartDaemon, stranger: Connect) -> None:
    """A client with two addresses is not told that nobody came."""
    daemon = start_daemon({"limits": {"data_connect_timeout": "1s"}})
    account = daemon.account()
    ftp = log_in(daemon, EXPLICIT, account)
    with stranger(passive(ftp)) as elsewhere:
        assert is_closed(elsewhere)
    assert reply(ftp, "LIST").startswith("150")
    assert ftp.getmultiline().startswith("425 Your data connection came from another address")
    refused = daemon.wait_for_event("data-connection-refused", user=account.name)
    assert (refused["reason"], "127.0.0.2" in refused["detail"]) == ("foreign-address", True)
    ftp.close()


def test_a_port_nobody_has_asked_for_serves_nobody(sessions: Sessions, account: Account) -> None:
    """A passive port without a reservation closes what connects."""
    ftp = sessions.log_in(account)
    where = passive(ftp)
    assert reply(ftp, "ABOR").startswith("226")
    with socket.create_connection(where, TIMEOUT) as connection:
        assert is_closed(connection)
