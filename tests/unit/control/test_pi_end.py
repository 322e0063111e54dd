"""The end of a session: time-outs, QUIT, draining, and a lost connection that gives everything back."""

from __future__ import annotations

import pytest

from ftpsd.audit.events import SessionClosed
from ftpsd.control.pi import FAREWELL
from tests.sessions import Server, clear_server
from tests.unit.control.test_pi import slow
from tests.workers import QueueingWorkers

# --- timers


def test_the_login_has_its_time() -> None:
    """A client that does not log in is closed with 421, whatever it says meanwhile."""
    client = clear_server(limits={"login_timeout": 60}).connect()
    for _ in range(59):
        client.server.reactor.advance(1)
        assert client.say("NOOP") == "200 OK."
    client.server.reactor.advance(1)
    assert client.replies() == "421 Login took too long."
    assert client.is_closed


def test_who_has_logged_in_has_all_the_time() -> None:
    """The login timeout ends with the login."""
    client = clear_server(limits={"login_timeout": 60}).logged_in()
    client.server.reactor.advance(60)
    assert client.say("NOOP") == "200 OK."


def test_a_login_that_is_being_checked_gets_one_answer() -> None:
    """When the time runs out while the password is hashed, 421 is the last reply."""
    login = QueueingWorkers()
    client = clear_server(login=login, limits={"login_timeout": 60}).connect()
    client.send("USER alice", "PASS open sesame")
    client.replies()
    client.server.reactor.advance(60)
    login.release()
    assert client.replies() == "421 Login took too long."


def test_a_silent_session_is_closed() -> None:
    """After idle_timeout seconds without a command: 421."""
    client = clear_server(limits={"idle_timeout": 10}).logged_in()
    client.server.reactor.advance(10)
    assert client.replies() == "421 Idle for too long, closing the control connection."
    assert client.is_closed


def test_a_command_starts_the_idle_time_anew() -> None:
    """Keep-alives of clients (NOOP, PWD, REST 0) do keep alive."""
    client = clear_server(limits={"idle_timeout": 10}).logged_in()
    for _ in range(5):
        client.server.reactor.advance(9)
        assert client.say("NOOP") == "200 OK."


def test_a_command_at_work_is_not_idle() -> None:
    """A slow commit on slow storage is nobody's silence; the time starts with its reply."""
    files, client = slow()
    client.send("SIZE file")
    client.server.reactor.advance(3600)
    files.release()
    assert client.replies() == "213 4"
    client.server.reactor.advance(599)
    assert client.say("NOOP") == "200 OK."


def test_closing_has_its_time() -> None:
    """A client that does not close after our FIN is cut off; without TLS nothing is waited for."""
    client = clear_server().connect()
    client.start_tls()
    client.say("QUIT")
    assert not client.is_cut
    assert client.is_closed
    client.server.reactor.advance(FAREWELL)
    assert client.is_cut


def test_nothing_is_read_after_the_last_reply() -> None:
    """Commands behind QUIT are not run."""
    client = clear_server().connect()
    client.send("QUIT", "NOOP")
    client.send("NOOP")
    assert client.replies() == "221 Goodbye."


# --- the end of the daemon


def test_draining_ends_an_idle_session() -> None:
    """421 at once."""
    client = clear_server().logged_in()
    client.pi.drain()
    assert client.replies() == "421 The server is shutting down."
    assert client.is_closed


def test_draining_waits_for_the_command() -> None:
    """A session at work gets its reply, and is closed then."""
    files, client = slow()
    client.send("SIZE file", "NOOP")
    client.pi.drain()
    assert client.pi.is_busy
    files.release()
    assert client.replies() == "213 4"
    assert client.is_closed


def test_cutting_waits_for_nothing() -> None:
    """The operator asked twice: the client is told, the command at work is left behind."""
    _, client = slow()
    client.send("SIZE file")
    client.pi.cut()
    assert client.replies() == "421 The server is shutting down."
    assert client.is_closed


def test_cutting_a_session_that_has_had_its_end() -> None:
    """A client that does not answer the end of the connection is not waited for either."""
    _, client = slow()
    client.pi.drain()
    client.pi.cut()
    client.server.reactor.advance(0)
    assert client.is_cut


# --- connectionLost


def everything_is_back(server: Server) -> None:
    """Assert that nothing of a session is left."""
    assert (server.counts.total, server.counts.logged_in) == (0, 0)
    assert (server.realm.open, server.ports.claimed, server.sessions) == (0, 0, set())
    assert (server.reactor.getDelayedCalls(), server.reactor.watched) == ([], 0)


def test_a_lost_connection_gives_everything_back() -> None:
    """Counts, storage, reservation and timers."""
    server = clear_server()
    client = server.logged_in()
    client.agree()
    client.hang_up()
    everything_is_back(server)


def test_a_lost_connection_is_published() -> None:
    """The reason says whose end it was."""
    server = clear_server()
    client = server.logged_in()
    server.reactor.advance(3)
    client.hang_up()
    (closed,) = server.published(SessionClosed)
    assert (closed.reason, closed.seconds, closed.who.user) == ("connection-lost", 3.0, "alice")


@pytest.mark.parametrize(
    ("lines", "reason"), [(["QUIT"], "quit"), (["GET / HTTP/1.1"], "not-ftp"), (["A" * 9999], "line-too-long")]
)
def test_the_end_of_a_session_has_its_reason(lines: list[str], reason: str) -> None:
    """SessionClosed tells why we closed."""
    server = clear_server()
    client = server.connect()
    client.send(*lines)
    client.hang_up()
    assert [event.reason for event in server.published(SessionClosed)] == [reason]


@pytest.mark.parametrize("line", ["SIZE file", "PASV", "LIST", "RNFR file"])
def test_a_connection_lost_in_a_command_gives_everything_back(line: str) -> None:
    """Also when the worker comes back later: its result is nobody's."""
    files, client = slow()
    if line == "LIST":
        client.agree()
    client.send(line)
    client.hang_up()
    files.release()
    everything_is_back(client.server)


def test_a_connection_lost_in_a_login_gives_everything_back() -> None:
    """The avatar that comes too late is closed again."""
    login = QueueingWorkers()
    server = clear_server(login=login)
    client = server.connect()
    client.send("USER alice", "PASS open sesame")
    client.hang_up()
    login.release()
    everything_is_back(server)


def test_a_connection_lost_in_the_delay_of_a_login_gives_everything_back() -> None:
    """The penalty for a wrong password is not waited for by nobody."""
    server = clear_server()
    client = server.connect()
    client.send("USER alice", "PASS wrong")
    client.hang_up()
    everything_is_back(server)


def test_a_connection_lost_while_it_waits_for_a_port_gives_everything_back() -> None:
    """A full range makes PASV wait; the port that comes then is not the dead session's."""
    server = clear_server(ports=range(3000, 3001))
    first, second = server.logged_in(), server.logged_in()
    first.agree()
    second.send("EPSV")
    second.hang_up()
    first.hang_up()
    everything_is_back(server)
