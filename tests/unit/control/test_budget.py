"""How much one connection may ask for: in a turn of the reactor, and without a login."""

from __future__ import annotations

import pytest

from ftpsd.audit.events import CommandCounted, CommandDone, SessionClosed
from ftpsd.control.flow.budget import COMMANDS_PER_TURN, LOGGED_BEFORE_LOGIN, MOST_BEFORE_LOGIN
from tests.sessions import ControlClient, clear_server


def answered(client: ControlClient) -> int:
    """Return how many commands have been answered since, without giving anybody a turn."""
    data = client.connection.take()
    return int(data.count(b"200 "))


def next_turn(client: ControlClient) -> None:
    """Run what is due, and not what that makes due in its turn."""
    clock = client.server.reactor
    for call in [call for call in clock.calls if call.getTime() <= clock.seconds()]:
        clock.calls.remove(call)
        call.called = 1
        call.func(*call.args, **call.kw)


def test_a_turn_runs_a_few_commands() -> None:
    """The rest of what came with them waits for the next turns, and is answered."""
    client = clear_server().connect()
    client.send(*["NOOP"] * 17)
    assert answered(client) == COMMANDS_PER_TURN
    assert client.replies().count("200 OK.") == 17 - COMMANDS_PER_TURN


def test_turns_go_round() -> None:
    """Two connections with many commands each get as many in a turn."""
    server = clear_server()
    clients = [server.connect(), server.connect()]
    for client in clients:
        client.send(*["NOOP"] * 50)
    for _ in range(4):
        assert [answered(client) for client in clients] == [COMMANDS_PER_TURN] * 2
        next_turn(clients[0])


def test_one_command_at_a_time_never_waits() -> None:
    """A client that reads its replies has its answer in the turn that brought the command."""
    client = clear_server().connect()
    for _ in range(3 * COMMANDS_PER_TURN):
        client.send("NOOP")
        assert answered(client) == 1


def test_a_close_between_two_turns() -> None:
    """Nothing is run for a client that has gone."""
    client = clear_server().connect()
    client.send(*["NOOP"] * 50)
    client.hang_up()
    client.server.reactor.advance(0)
    assert len(client.server.published(CommandDone)) == COMMANDS_PER_TURN


def test_a_drain_between_two_turns() -> None:
    """The server stops, and what has not begun is not begun."""
    client = clear_server().connect()
    client.send(*["NOOP"] * 50)
    client.pi.drain()
    assert client.replies().split("\n")[COMMANDS_PER_TURN:] == ["421 The server is shutting down."]
    assert client.is_closed


def test_quit_is_reached_across_turns() -> None:
    """A pipelined session ends where it says."""
    client = clear_server().connect()
    client.send(*["NOOP"] * 12, "QUIT", "NOOP")
    said = client.replies().split("\n")
    assert (len(said), said[-1][:3]) == (13, "221")


def test_a_session_without_a_login_ends() -> None:
    """After so many commands it is no client that is on its way to log in."""
    client = clear_server().connect()
    for _ in range(MOST_BEFORE_LOGIN):
        assert client.say("NOOP") == "200 OK."
    assert client.say("NOOP") == "421 Too many commands without a login."
    assert client.is_closed
    client.hang_up()
    (closed,) = client.server.published(SessionClosed)
    assert closed.reason == "too-many-commands"


def test_a_login_takes_the_bound_away() -> None:
    """Sessions that are logged in go on for ever, and begin anew with REIN."""
    client = clear_server().logged_in()
    for _ in range(2 * MOST_BEFORE_LOGIN):
        assert client.say("NOOP") == "200 OK."
    assert client.say("REIN").startswith("220 ")
    for _ in range(MOST_BEFORE_LOGIN - 1):
        assert client.say("NOOP") == "200 OK."
    assert client.say("NOOP").startswith("421 ")


def test_the_log_is_told_of_the_first_commands() -> None:
    """The others before the login are counted, for the metrics and in the line of the session's end."""
    client = clear_server().connect()
    for _ in range(LOGGED_BEFORE_LOGIN + 7):
        client.say("NOOP")
    client.log_in()
    client.say("PWD")
    client.say("QUIT")
    client.hang_up()
    events = client.server.published(CommandDone)
    logged = [event.command for event in events if event.logged]
    assert logged == ["NOOP"] * LOGGED_BEFORE_LOGIN + ["PASS", "PWD", "QUIT"]
    assert len(events) == LOGGED_BEFORE_LOGIN + 7 + 4
    (closed,) = client.server.published(SessionClosed)
    # USER came before the login too.
    assert closed.commands_not_logged == 8 == len([event for event in events if isinstance(event, CommandCounted)])


@pytest.mark.parametrize(("length", "told"), [(256, None), (257, 257), (4000, 4000)])
def test_a_long_argument_is_cut(length: int, told: int | None) -> None:
    """The log has its beginning and says how long it was."""
    client = clear_server().connect()
    client.say("SYST " + "\x01" * length)
    (done,) = client.server.published(CommandDone)
    assert (done.argument, done.argument_length) == ("\x01" * min(length, 256), told)


def test_the_length_of_a_password_is_not_told() -> None:
    """Neither is any of it."""
    client = clear_server().connect()
    client.say("PASS " + "x" * 1000)
    (done,) = client.server.published(CommandDone)
    assert (done.argument, done.argument_length) == ("***", None)
