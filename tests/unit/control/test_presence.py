"""The sessions that are there, and the end of one by an operator."""

from __future__ import annotations

from ftpsd.audit.events import FileStored, SessionClosed
from ftpsd.control.state.presence import counted, kick, present
from ftpsd.data.trouble import Cause
from ftpsd.values.direction import Result
from tests.hosts import add_host
from tests.sessions import Server, clear_server

ENDED = "421 An operator has ended this session."


def names(server: Server) -> list[str]:
    """Return the sessions by their names in the audit log, the oldest first."""
    return [each.session for each in present(server.sessions)]


def test_nobody_is_there() -> None:
    """A server without sessions."""
    assert present(clear_server().sessions) == []


def test_a_session_is_seen_as_it_is() -> None:
    """Before a login and behind it, the oldest first."""
    server = clear_server()
    client = server.logged_in()
    server.reactor.advance(5)
    server.connect()
    old, new = present(server.sessions)
    assert (old.user, old.seconds, old.is_secure, old.transfer) == ("alice", 5.0, False, None)
    assert (new.user, new.seconds) == (None, 0.0)
    assert (old.session, old.peer) == (client.session.who.session, client.session.peer_host)
    client.hang_up()
    assert names(server) == [new.session]


def test_the_host_of_a_session_is_seen() -> None:
    """Users of two hosts may have one name."""
    server = clear_server()
    add_host(server, "ftp.example.com")
    client = server.connect()
    client.say("HOST ftp.example.com")
    client.log_in("carol")
    (seen,) = present(server.sessions)
    assert (seen.user, seen.host) == ("carol", "ftp.example.com")


def test_a_transfer_is_seen_and_ends_with_its_session() -> None:
    """421; the upload is not published, and the audit log says why."""
    server = clear_server()
    client = server.logged_in()
    data = client.connect_data()
    assert client.say("STOR file").startswith("150 ")
    data.send(b"half of it")
    server.reactor.settle()
    (seen,) = present(server.sessions)
    assert (seen.transfer, seen.moved, seen.size) == ("Ready to receive.", 10, None)
    assert kick(server.sessions, seen.session)
    assert client.replies() == ENDED
    server.reactor.settle()
    (stored,) = server.published(FileStored)
    assert (stored.result, stored.reason) == (Result.ABORTED, Cause.KICKED)
    client.hang_up()
    (closed,) = server.published(SessionClosed)
    assert (closed.reason, closed.who.user) == ("kicked", "alice")
    assert names(server) == []


def test_only_the_one_that_was_named_ends() -> None:
    """Another session of the same user goes on."""
    server = clear_server()
    one, other = server.logged_in(), server.logged_in()
    assert kick(server.sessions, one.session.who.session)
    assert one.replies() == ENDED
    assert other.say("NOOP").startswith("200 ")
    assert (server.counts.logged_in, server.realm.open) == (1, 1)


def test_a_session_that_is_not_there() -> None:
    """Nobody is ended in its place."""
    server = clear_server()
    client = server.logged_in()
    assert not kick(server.sessions, "0123456789ab")
    assert client.say("NOOP").startswith("200 ")


def test_a_session_that_is_ended_twice() -> None:
    """It says so once."""
    server = clear_server()
    client = server.logged_in()
    (seen,) = present(server.sessions)
    for _ in range(2):
        kick(server.sessions, seen.session)
    assert client.replies() == ENDED


def test_sessions_are_counted_in_one_pass() -> None:
    """With transfers, by TLS, by host: a scrape with thousands of sessions looks at each of them once."""
    server = clear_server()
    add_host(server, "ftp.example.com")
    server.logged_in()
    other = server.connect()
    other.say("HOST ftp.example.com")
    other.log_in("carol")
    other.connect_data()
    assert other.say("STOR file").startswith("150 ")
    # An iterator can be gone through once.
    assert counted(iter(server.sessions)) == (1, {"none": 2}, {"default": 1, "ftp.example.com": 1})
    assert counted(iter(())) == (0, {}, {})
