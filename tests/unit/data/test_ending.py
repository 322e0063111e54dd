"""Connections that linger: a bounded number of them for each session, and refusals that end as TLS wants it."""

from __future__ import annotations

import pytest

from ftpsd.data.ending import LINGER_BYTES, MOST_LINGERING, REFUSED, Tails
from ftpsd.data.holder import State
from ftpsd.data.trouble import Cause
from tests.unit.data.line import STALL, Line, line_in


def tails_of(lines: list[Line]) -> Tails:
    """Return the tails of a session whose transfers on *lines* have ended, and whose client closes none of them."""
    tails = Tails()
    for line in lines:
        line.connection.finish(STALL)
        tails.add(line.connection)
    return tails


def test_a_ninth_closes_the_oldest() -> None:
    """A client that does not close costs a session so many descriptors and no more."""
    lines = [Line() for _ in range(MOST_LINGERING + 1)]
    tails = tails_of(lines)
    assert [line.socket.is_closed for line in lines] == [True] + [False] * MOST_LINGERING
    assert len(tails) == MOST_LINGERING == 8


def test_what_has_closed_is_not_counted() -> None:
    """A client that closes as it should never comes near the bound."""
    tails = Tails()
    for _ in range(3 * MOST_LINGERING):
        line = Line()
        line.connection.finish(STALL)
        tails.add(line.connection)
        line.client.close()
        line.reactor.settle()
    assert len(tails) == 0


def test_they_end_with_the_session() -> None:
    """No descriptor and no timer is left; one that is finished later is closed at once."""
    lines = [Line() for _ in range(3)]
    tails = tails_of(lines)
    tails.close()
    late = Line()
    late.connection.finish(STALL)
    tails.add(late.connection)
    for line in (*lines, late):
        assert (line.socket.is_closed, line.reactor.watched, line.reactor.getDelayedCalls()) == (True, 0, [])


@pytest.mark.parametrize("is_secure", [False, True])
def test_a_refusal_is_a_proper_end(is_secure: bool) -> None:
    """close_notify under TLS, then FIN."""
    line = Line().secured() if is_secure else Line()
    line.connection.refuse()
    assert line.client.read_all() == b""


@pytest.mark.parametrize("state", [State.HANDSHAKE, State.WATCHED])
def test_what_cannot_be_ended_properly_is_aborted(state: State) -> None:
    """There is nothing to say in the middle of a handshake or of a file."""
    line, _ = line_in(state)
    line.connection.refuse()
    assert line.connection.state is State.CLOSED


def test_a_refused_connection_is_not_reset_for_what_it_sends() -> None:
    """It is read no further, and closed when its client has the reply."""
    line = Line()
    line.connection.refuse()
    sent = 0
    while sent < 8 * LINGER_BYTES:
        try:
            sent += line.client.socket.send(bytes(16384))
        except BlockingIOError:
            if not line.reactor.turn(0.1):
                break
    assert not line.socket.is_closed
    line.reactor.advance(REFUSED)
    assert line.closed.is_good
    assert line.reactor.getDelayedCalls() == []


def test_the_end_is_no_failure() -> None:
    """The listener for the end of a connection is told once, and of no error."""
    line = Line()
    line.connection.finish(STALL)
    line.connection.abort(Cause.CLIENT_GONE)
    assert line.closed.is_good
