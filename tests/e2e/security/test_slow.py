"""Clients that take their time on purpose: every wait has an end of its own, which no trickle of bytes puts off."""

from __future__ import annotations

import itertools
import os
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.client import (
    CLEAR,
    EXPLICIT,
    IMPLICIT,
    IPV4,
    TIMEOUT,
    ControlConnection,
    content,
    control,
    download,
    log_in,
    upload,
)
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Account, Daemon
from tests.e2e.polling import eventually

LIMITS = {
    "login_timeout": "2s",
    "handshake_timeout": "1s",
    "idle_timeout": "5s",
    "stall_timeout": "1s",
    "data_connect_timeout": "1s",
}
RESERVED = 'ftpsd_passive_ports{state="reserved"}'
# Far above what kernels hold for a connection whose reader sleeps.
BIG = 64 * 1024 * 1024


@pytest.fixture
def hasty(start_daemon: StartDaemon) -> Daemon:
    """A daemon whose patience is short."""
    return start_daemon({"tls": {"require": "none"}, "limits": LIMITS})


@pytest.fixture
def account(hasty: Daemon) -> Account:
    """A user with a file too big for any buffer."""
    found = hasty.account()
    with open(found.home / "big", "wb") as file:
        os.truncate(file.fileno(), BIG)
    return found


@pytest.fixture
def honest(hasty: Daemon) -> Iterator[Account]:
    """Somebody who is served at the end of the test as if nothing had happened."""
    account = hasty.account()
    yield account
    with log_in(hasty, EXPLICIT, account) as ftp:
        upload(ftp, "file", content(100_000))
        assert download(ftp, "file") == content(100_000)


def trickle(sock: socket.socket, data: bytes) -> bytes:
    """Send *data* over and over, a byte at a time, until the server ends the connection; return what it said."""
    sock.settimeout(0.02)
    deadline = time.monotonic() + TIMEOUT
    said = b""
    for byte in itertools.cycle(data):
        assert time.monotonic() < deadline, "the server listens for ever"
        try:
            sock.sendall(bytes([byte]))
            while piece := sock.recv(65536):
                said += piece
        except TimeoutError:
            continue
        except OSError:
            return said
        return said
    raise AssertionError("nothing to send")


@pytest.mark.parametrize(
    "data", [b"NOOP\r\n", b"\0", b"\xff\xfd\x06", b"\r\n"], ids=["NOOP", "NUL", "telnet", "empty lines"]
)
def test_a_trickle_before_login_ends_in_time(hasty: Daemon, honest: Account, data: bytes) -> None:
    """The login has one timeout, whatever comes, and however slowly."""
    assert trickle(control(hasty, CLEAR).sock, data).splitlines()[-1].startswith(b"421 ")
    assert hasty.wait_for_event("session-closed", reason="login-timeout")


def test_a_trickle_inside_tls_ends_in_time(hasty: Daemon, honest: Account) -> None:
    """The same under TLS."""
    assert trickle(control(hasty, IMPLICIT).sock, b"NOOP\r\n").splitlines()[-1].startswith(b"421 ")


@pytest.mark.parametrize("implicit", [True, False], ids=["implicit", "explicit"])
def test_a_handshake_that_never_ends(hasty: Daemon, honest: Account, implicit: bool) -> None:
    """A ClientHello of 16 KiB, a byte at a time: the handshake has one timeout, too."""
    ports = hasty.ports
    connection = ControlConnection(IPV4, ports.implicit if implicit else ports.explicit)
    if not implicit:
        connection.reply()
        assert connection.ask("AUTH TLS").startswith("234")
    hello = b"\x16\x03\x01\x3f\xff\x01\x00\x3f\xfb\x03\x03" + b"\0" * 16_000
    assert not trickle(connection.sock, hello).startswith(b"2")
    assert hasty.wait_for_event("tls-failed", channel="control")


def test_a_data_handshake_that_never_begins(hasty: Daemon, honest: Account, account: Account) -> None:
    """The transfer fails, the port is free again, and so is the session for a better try."""
    connection = control(hasty, EXPLICIT)
    connection.log_in(account)
    where = connection.passive()
    with socket.create_connection(where, TIMEOUT):
        connection.send("RETR big")
        codes = [connection.reply()[:3]]
        if codes == ["150"]:
            codes.append(connection.reply()[:3])
        assert codes[-1] in ("425", "426", "522")
    assert connection.ask("NOOP").startswith("200")
    assert_no_port_is_held(hasty)


def test_a_download_that_nobody_reads(hasty: Daemon, honest: Account, account: Account) -> None:
    """It stalls, in clear and under TLS, and is over."""
    for way in (CLEAR, EXPLICIT):
        connection = control(hasty, way)
        connection.log_in(account)
        with socket.create_connection(connection.passive(), TIMEOUT) as data:
            connection.send("RETR big")
            assert connection.reply().startswith("150")
            kept = data
            if isinstance(connection.sock, ssl.SSLSocket):
                kept = connection.sock.context.wrap_socket(data, server_hostname=IPV4, session=connection.sock.session)
            assert connection.reply().startswith("426")
            kept.close()
        assert connection.ask("NOOP").startswith("200")
        connection.close()
    assert_no_port_is_held(hasty)


def test_ports_that_nobody_connects_to(hasty: Daemon, honest: Account, account: Account) -> None:
    """Announced and forgotten, in many sessions: each reservation ends with its session at the latest."""
    sessions = [control(hasty, CLEAR) for _ in range(5)]
    for connection in sessions:
        connection.log_in(account)
    # All at once: the idle timeout of the first runs while the last is answered.
    for connection in sessions:
        connection.send("EPSV")
    assert [connection.reply()[:3] for connection in sessions] == ["229"] * 5
    assert hasty.metrics()[RESERVED] == 5
    for connection in sessions:
        assert connection.rest().startswith(b"421 ")
    assert_no_port_is_held(hasty)


def test_data_connections_without_a_command(hasty: Daemon, honest: Account, account: Account) -> None:
    """They are closed with the session, which is idle."""
    connection = control(hasty, CLEAR)
    connection.log_in(account)
    with socket.create_connection(connection.passive(), TIMEOUT) as data:
        assert connection.rest().startswith(b"421 ")
        assert data.recv(1) == b""


def test_an_upload_that_trickles_is_honest(hasty: Daemon, honest: Account, account: Account, tmp_path: Path) -> None:
    """A slow line is no attack: bytes that come within the stall timeout are progress."""
    connection = control(hasty, CLEAR)
    connection.log_in(account)
    with socket.create_connection(connection.passive(), TIMEOUT) as data:
        connection.send("STOR slow")
        assert connection.reply().startswith("150")
        deadline = time.monotonic() + 2
        sent = 0
        while time.monotonic() < deadline:
            data.sendall(b"x")
            sent += 1
            connection.sock.settimeout(0.2)
            with pytest.raises(TimeoutError):
                connection.sock.recv(1)
    connection.sock.settimeout(TIMEOUT)
    assert connection.reply().startswith("226")
    assert (account.home / "slow").read_bytes() == b"x" * sent


def assert_no_port_is_held(daemon: Daemon) -> None:
    eventually(lambda: daemon.metrics()[RESERVED] == 0, "every passive port is free")
