"""Commands as fast as a client can send them: others have their turns, and the audit log keeps what matters."""

from __future__ import annotations

from contextlib import suppress

import pytest

from ftpsd.control.flow.budget import LOGGED_BEFORE_LOGIN, MOST_BEFORE_LOGIN
from tests.e2e.client import CLEAR, EXPLICIT, IPV4, ControlConnection, Way, control
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Daemon
from tests.e2e.polling import eventually

CONTROLS = b"NOOP " + b"\x01" * 4000 + b"\r\n"


@pytest.mark.parametrize("way", [CLEAR, EXPLICIT], ids=str)
def test_a_stranger_is_answered_a_hundred_times(daemon: Daemon, way: Way) -> None:
    """Then 421; the log tells of the first commands, and how many more there were."""
    before = len(daemon.audit('"too-many-commands"'))
    connection = control(daemon, way)
    connection.sock.sendall(b"NOOP\r\n" * 2000)
    said = []
    with suppress(ConnectionError):
        while answer := connection.reply():
            said.append(answer[:3])
    # AUTH was a command too, and what is logged of it begins the session.
    most = MOST_BEFORE_LOGIN - way.is_secure
    assert said == ["200"] * most + ["421"]
    connection.close()
    closed = eventually(lambda: daemon.audit('"too-many-commands"')[before:], "the session in the log")[0]
    assert (closed["event"], closed["reason"]) == ("session-closed", "too-many-commands")
    assert closed["commands_not_logged"] == MOST_BEFORE_LOGIN - LOGGED_BEFORE_LOGIN
    logged = [event for event in daemon.audit('"command"') if event["session"] == closed["session"]]
    assert len(logged) == LOGGED_BEFORE_LOGIN


def test_the_log_is_not_filled_by_arguments(start_daemon: StartDaemon) -> None:
    """Thousands of control characters in a command are a few hundred in the log, with the length behind them."""
    daemon = start_daemon({"tls": {"require": "none"}})
    connection = ControlConnection(IPV4, daemon.ports.explicit)
    connection.reply()
    connection.sock.sendall(CONTROLS * 15)
    assert {connection.reply()[:3] for _ in range(15)} == {"501"}
    connection.close()
    daemon.wait_for_event("session-closed")
    logged = daemon.audit('"NOOP"')
    assert {(len(event["argument"]), event["argument_length"]) for event in logged} == {(256, 4000)}
    assert len(daemon.audit_text()) < 15 * len(CONTROLS)


def test_an_honest_client_has_its_turn(start_daemon: StartDaemon) -> None:
    """While eight sessions send commands without end others log in, and no login is missing in the log."""
    daemon = start_daemon({"tls": {"require": "none"}})
    greedy, honest = daemon.account(), daemon.account()
    flooding = [control(daemon, CLEAR) for _ in range(8)]
    for connection in flooding:
        connection.log_in(greedy)
        connection.sock.setblocking(False)
    for _ in range(20):
        for connection in flooding:
            with suppress(BlockingIOError):
                connection.sock.send(b"NOOP\r\n" * 10_000)
            with suppress(BlockingIOError):
                while connection.sock.recv(65536):
                    pass
        other = control(daemon, CLEAR)
        other.log_in(honest)
        assert other.ask("QUIT").startswith("221")
        other.close()
    for connection in flooding:
        connection.close()
    eventually(lambda: len(daemon.audit('"logged-in"')) == 28, "every login in the log")
