"""The phases of a session: which follow which, and what each allows."""

from __future__ import annotations

import pytest

from ftpsd.audit.events import SessionClosed
from ftpsd.control.state.phase import MOVES, After, Phase
from tests.sessions import clear_server
from tests.workers import QueueingWorkers


@pytest.mark.parametrize(
    ("before", "after"), [(Phase.CLOSING, Phase.LIVE), (Phase.GONE, Phase.LIVE), (Phase.GONE, Phase.CLOSING)]
)
def test_nothing_comes_back(before: Phase, after: Phase) -> None:
    """A session that ends never goes on."""
    assert set(MOVES) == set(Phase)
    session = clear_server().connect().session
    session.move(before)
    with pytest.raises(AssertionError):
        session.move(after)


def test_the_phases_of_a_session() -> None:
    """QUIT closes it; the end of its connection, which under TLS is the client's, gives everything back."""
    client = clear_server().connect()
    client.start_tls()
    seen = [client.session.phase]
    client.say("QUIT")
    seen.append(client.session.phase)
    client.hang_up()
    assert [*seen, client.session.phase] == [Phase.LIVE, Phase.CLOSING, Phase.GONE]


def test_a_connection_that_is_one_too_many_never_lives() -> None:
    """It has a session, which ends with its 421 and is no session of the server."""
    server = clear_server(limits={"connections": 1})
    server.connect()
    client = server.connect_silently()
    assert client.session.phase is Phase.CLOSING
    assert client.pi not in server.sessions
    client.hang_up()
    assert (client.session.phase, server.published(SessionClosed), server.counts.total) == (Phase.GONE, [], 1)


def test_the_end_goes_before_all_that_follows_a_reply() -> None:
    """Neither a later wish nor a later reason takes it back."""
    session = clear_server().connect().session
    session.after_reply(After.START_TLS)
    session.after_reply(After.CLOSE, "first")
    session.after_reply(After.STOP_TLS)
    session.after_reply(After.CLOSE, "second")
    assert (session.reply_was_sent(), session.close_reason) == (After.CLOSE, "first")


def test_what_follows_a_reply_follows_once() -> None:
    """The next command begins without it."""
    session = clear_server().connect().session
    session.after_reply(After.START_TLS)
    assert [session.reply_was_sent(), session.reply_was_sent()] == [After.START_TLS, After.NOTHING]


def test_a_session_that_is_ended_stays_until_its_connection_is_lost() -> None:
    """Its command may have ended before: a drain waits for the connection, and the end is told once."""
    files = QueueingWorkers()
    server = clear_server(files=files)
    client = server.logged_in()
    client.send("MKD new")
    server.take()  # there are no users any more
    assert client.session.is_gone
    files.release()
    assert client.pi in server.sessions
    client.hang_up()
    assert server.sessions == set()
    assert [event.reason for event in server.published(SessionClosed)] == ["user-removed"]
