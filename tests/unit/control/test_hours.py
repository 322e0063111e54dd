"""Hours and expiry by the clock: who is logged in when they end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from ftpsd.audit.events import FileSent, LoginRefused, SessionClosed
from ftpsd.config.users import UserRecord
from ftpsd.control.gate.eviction import keep_time
from ftpsd.values.direction import Result
from ftpsd.values.login.hours import Hours
from tests.sessions import PASSWORD, ControlClient, Server, clear_server, user_record

ENDED = "421 The time of this user is over, this session ends."


def until(hour: int) -> UserRecord:
    """Return alice, who may be there up to *hour* in UTC, on the day that the reactor's clock begins with."""
    return user_record(hours=(Hours(frozenset(range(7)), 0, hour * 60, UTC, "UTC"),))


def pass_time(server: Server, seconds: float) -> None:
    """Let the clock go on, and do what the daemon does twice a minute."""
    server.reactor.advance(seconds)
    keep_time(server.sessions)


def server_at_midnight(user: UserRecord) -> Server:
    server = clear_server(user=user, limits={"idle_timeout": "2d"})
    now = server.reactor.seconds()
    server.reactor.advance(-now % 86_400)
    return server


def test_a_login_outside_of_the_hours_is_refused_and_says_nothing() -> None:
    """The words of a wrong password for the client, the reason for the audit log."""
    server = server_at_midnight(until(1))
    server.logged_in()
    server.reactor.advance(3600)
    client = server.connect()
    client.say("USER alice")
    client.send(f"PASS {PASSWORD}")
    server.reactor.advance(5)
    assert client.replies() == "530 Login incorrect."
    assert [event.reason for event in server.published(LoginRefused)] == ["outside of hours"]


def ended(client: ControlClient) -> list[str]:
    client.hang_up()
    return [event.reason for event in client.server.published(SessionClosed)]


def test_a_session_ends_with_the_hours() -> None:
    """421, and not before."""
    server = server_at_midnight(until(1))
    client = server.logged_in()
    pass_time(server, 3599)
    assert client.replies() == ""
    pass_time(server, 1)
    assert client.replies() == ENDED
    assert client.is_closed
    assert ended(client) == ["user-outside-hours"]


def test_a_session_ends_when_the_user_expires() -> None:
    """The same for a date."""
    server = server_at_midnight(user_record())
    at = datetime.fromtimestamp(server.reactor.seconds() + 60, UTC)
    server.take(user_record(expires=at))
    client = server.logged_in()
    pass_time(server, 59)
    assert client.replies() == ""
    pass_time(server, 1)
    assert client.replies() == ENDED
    assert ended(client) == ["user-expired"]


def test_a_transfer_is_finished_first() -> None:
    """The file arrives whole, 226 is said, then 421; no other command is taken."""
    server = server_at_midnight(until(1))
    server.memory.put("/f", b"contents")
    client = server.logged_in()
    pass_time(server, 3590)
    port = client.agree()
    assert client.say("RETR /f").startswith("150 ")
    pass_time(server, 10)
    pass_time(server, 30)
    assert client.replies() == ""
    assert client.connect_data(port).read_all() == b"contents"
    lines = client.replies().split("\n")
    assert [line[:3] for line in lines] == ["226", "421"]
    assert [event.result for event in server.published(FileSent)] == [Result.COMPLETE]
    assert ended(client) == ["user-outside-hours"]


def test_what_a_reload_says_of_the_time_counts() -> None:
    """Hours that a reload prolongs are prolonged for sessions of before, and a date that it brings comes."""
    server = server_at_midnight(until(1))
    client = server.logged_in()
    server.take(until(3))
    pass_time(server, 2 * 3600)
    assert client.replies() == ""
    server.take(replace(until(3), expires=datetime.fromtimestamp(server.reactor.seconds() + 60, UTC)))
    assert client.replies() == ""
    pass_time(server, 60)
    assert client.replies() == ENDED
