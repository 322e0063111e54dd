"""Bounds: on time, connections, sessions, failures and the length of a line."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import pytest

from tests.e2e.client import CLEAR, EXPLICIT, IMPLICIT, IPV4, TIMEOUT, ControlConnection, Way, control, tls_context
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Daemon
from tests.e2e.polling import eventually

SOON = {
    "tls": {"require": "none"},
    "limits": {
        "login_timeout": "2s",
        "handshake_timeout": "1s",
        "idle_timeout": "4s",
        "stall_timeout": "1s",
        "data_connect_timeout": "1s",
    },
}


@pytest.fixture
def hasty(start_daemon: StartDaemon) -> Daemon:
    """A daemon whose patience is short."""
    return start_daemon(SOON)


@pytest.fixture
def plain(tls_daemon: Daemon) -> Iterator[ControlConnection]:
    """A connection to the explicit listener that has read the greeting."""
    connection = ControlConnection(IPV4, tls_daemon.ports.explicit)
    assert connection.reply().startswith("220")
    yield connection
    connection.close()


def wait_for_end(connection: ControlConnection) -> bytes:
    """Return what the server still said before it closed."""
    try:
        return connection.rest()
    except ConnectionError:
        return b""


def test_short_timeouts(hasty: Daemon) -> None:
    """Silence before login, in a handshake, in a session, on a data port and in a transfer: each ends in time."""
    silent = control(hasty, CLEAR)
    trickling = control(hasty, CLEAR)
    no_hello = ControlConnection(IPV4, hasty.ports.implicit)
    no_connect = control(hasty, CLEAR)
    no_connect.log_in(hasty.account())
    no_connect.passive()
    no_connect.send("STOR file")
    stalled = control(hasty, CLEAR)
    stalled.log_in(hasty.account())
    where = stalled.passive()
    stalled.send("STOR file")
    with socket.create_connection(where, TIMEOUT):
        assert trickling.ask("NOOP").startswith("200")
        assert wait_for_end(no_hello) == b""
        assert [no_connect.reply()[:3], no_connect.reply()[:3]] == ["150", "425"]
        assert [stalled.reply()[:3], stalled.reply()[:3]] == ["150", "426"]
        assert wait_for_end(silent).startswith(b"421")
        assert wait_for_end(trickling).startswith(b"421")
        assert wait_for_end(stalled).startswith(b"421")
    reasons = {hasty.wait_for_event("session-closed", reason=reason)["reason"] for reason in ("login-timeout", "idle")}
    assert reasons == {"login-timeout", "idle"}


def test_the_last_failed_login_ends_the_session(start_daemon: StartDaemon) -> None:
    """530 at the limit as before it, and the end of the connection: clients take 421 for "try again"."""
    daemon = start_daemon({"limits": {"failed_logins": 1}})
    connection = control(daemon, EXPLICIT)
    connection.ask("USER nobody")
    assert connection.ask("PASS x").startswith("530")
    assert wait_for_end(connection) == b""
    assert daemon.wait_for_event("session-closed", reason="failed-logins")


def test_strangers_leave_room_for_those_who_are_logged_in(start_daemon: StartDaemon) -> None:
    """A quarter of limits.connections: beyond the rest one without a login is refused, until one has logged in."""
    daemon = start_daemon({"limits": {"connections": 8}})
    kept = [control(daemon, EXPLICIT) for _ in range(6)]
    refused = ControlConnection(IPV4, daemon.ports.explicit)
    assert refused.reply() == "421 Too many connections that have not logged in, try again later."
    assert daemon.wait_for_event("connection-rejected", reason="too-many-without-login")
    kept[0].log_in(daemon.account())
    welcome = ControlConnection(IPV4, daemon.ports.explicit)
    assert welcome.reply().startswith("220")
    for connection in (*kept, refused, welcome):
        connection.close()


def test_too_many_sessions_of_a_user(start_daemon: StartDaemon) -> None:
    """The third is answered 421, and possible again when one has gone."""
    daemon = start_daemon({"limits": {"sessions_per_user": 2}})
    account = daemon.account()
    first, second = control(daemon, EXPLICIT), control(daemon, EXPLICIT)
    first.log_in(account)
    second.log_in(account)
    third = control(daemon, EXPLICIT)
    third.ask(f"USER {account.name}")
    assert third.ask(f"PASS {account.password}").startswith("421")
    first.close()

    def is_welcome() -> bool:
        fourth = control(daemon, EXPLICIT)
        fourth.ask(f"USER {account.name}")
        return fourth.ask(f"PASS {account.password}").startswith("230")

    eventually(is_welcome, "a session of the user is free again")


@pytest.mark.parametrize(("limit", "reason"), [("connections", "server"), ("connections_per_address", "your address")])
def test_too_many_connections(start_daemon: StartDaemon, limit: str, reason: str) -> None:
    """421 in the greeting's place, in clear and inside implicit TLS, never a reset; free again when one goes."""
    daemon = start_daemon({"limits": {limit: 2}})
    kept = [control(daemon, EXPLICIT), control(daemon, IMPLICIT)]
    explicit = ControlConnection(IPV4, daemon.ports.explicit)
    implicit = ControlConnection(IPV4, daemon.ports.implicit)
    implicit.start_tls(tls_context(daemon))
    for refused in (explicit, implicit):
        answer = refused.reply()
        assert answer.startswith("421 Too many connections")
        assert reason in answer
        assert refused.rest() == b""
    kept[0].close()

    def is_welcome() -> bool:
        return ControlConnection(IPV4, daemon.ports.explicit).reply().startswith("220")

    eventually(is_welcome, "a connection is free again")


@pytest.mark.parametrize("line", ["GET / HTTP/1.1", "POST /x HTTP/1.1", "CONNECT x:1 HTTP/1.1", "EHLO x", "Host: x"])
def test_verbs_of_other_protocols_end_the_connection(plain: ControlConnection, line: str) -> None:
    """A browser led here by a hostile page gets one short answer and nothing reflected."""
    plain.send(line, "Cookie: secret=1", "", "USER x")
    answer = plain.rest()
    assert answer.startswith(b"421 ")
    assert answer.count(b"\n") == 1
    assert b"secret" not in answer


def test_verbs_of_other_protocols_end_it_inside_tls_too(tls_daemon: Daemon) -> None:
    """The same in implicit TLS."""
    connection = control(tls_daemon, IMPLICIT)
    connection.send("GET / HTTP/1.1", "Host: localhost")
    assert connection.rest().startswith(b"421 ")


def test_a_few_unknown_commands_before_login_end_the_connection(plain: ControlConnection) -> None:
    """Scanners send many, people few."""
    codes = [plain.ask("XYZZY")[:3] for _ in range(5)]
    assert codes == ["500"] * 4 + ["421"]
    assert plain.rest() == b""


@pytest.mark.parametrize("way", [CLEAR, EXPLICIT], ids=str)
@pytest.mark.parametrize(
    "data", [b"A" * 20_000, b"NOOP " + b"\r" * 20_000, b"\0" * 20_000 + b"A" * 20_000], ids=["A", "CR", "NUL"]
)
def test_an_endless_line_ends_the_connection(daemon: Daemon, way: Way, data: bytes) -> None:
    """500, then the end; nothing is kept of it."""
    connection = control(daemon, way)
    connection.sock.sendall(data)
    assert wait_for_end(connection).startswith(b"500 ")


@pytest.mark.parametrize("way", [CLEAR, EXPLICIT], ids=str)
def test_the_longest_path_is_no_endless_line(daemon: Daemon, way: Way) -> None:
    """4 KiB, what PATH_MAX allows, is looked for; the session goes on."""
    connection = control(daemon, way)
    connection.log_in(daemon.account())
    assert connection.ask("SIZE " + "/" + "a/" * 2045 + "file").startswith("550 ")
    assert connection.ask("NOOP").startswith("200")
    connection.close()


@pytest.mark.parametrize("way", [CLEAR, EXPLICIT], ids=str)
def test_a_flood_of_telnet_codes_is_nothing(daemon: Daemon, way: Way) -> None:
    """Options and NULs are dropped, and what comes behind them is understood."""
    connection = control(daemon, way)
    connection.sock.sendall(b"\xff\xfd\x06" * 50_000 + b"\0" * 50_000 + b"NOOP\r\n")
    assert connection.reply().startswith("200")
    connection.close()


def test_a_handshake_of_garbage_ends_the_connection(tls_daemon: Daemon) -> None:
    """Bytes that are no TLS on the implicit port."""
    connection = ControlConnection(IPV4, tls_daemon.ports.implicit)
    connection.send("USER x", "PASS x")
    assert not wait_for_end(connection).startswith(b"2")


def test_a_client_that_does_not_read_is_not_read_from(tls_daemon: Daemon) -> None:
    """Commands whose replies nobody takes are not run for ever: the connection stalls, others do not notice."""
    greedy = control(tls_daemon, EXPLICIT)
    assert isinstance(greedy.sock, ssl.SSLSocket)
    greedy.log_in(tls_daemon.account())
    greedy.sock.settimeout(1)
    with pytest.raises(OSError, match="timed out"):
        greedy.sock.sendall(b"HELP\r\n" * 10_000_000)
    other = control(tls_daemon, EXPLICIT)
    assert other.ask("NOOP").startswith("200")
    for connection in (greedy, other):
        connection.close()
