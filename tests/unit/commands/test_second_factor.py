"""Second factors in the dialogue: 332 and ACCT, or a code behind the password, and what a stranger learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ftpsd.audit.events import CommandDone, LoggedIn, LoginRefused
from ftpsd.auth.codes import STEP, code_of, step_at
from ftpsd.config.users import UserRecord
from ftpsd.values.login.second_factor import SecondFactor, digest_of
from tests.sessions import PASSWORD, USER, ControlClient, Server, clear_server, user_record
from tests.state import InlineStore
from tests.workers import InlineWorkers

SECRET, RECOVERY = b"12345678901234567890", "abcd-efgh-ijkl-mn23"
FACTOR = SecondFactor(SECRET, (digest_of(RECOVERY),))
START = 1_700_000_010.0
ASKED = "332 Second factor required: send its code with ACCT, or behind the password."
INCORRECT = "530 Login incorrect."


def factor_server(user: UserRecord | None = None, **arguments: Any) -> Server:
    """Return a server at START whose user has a second factor, and whose bob has none."""
    server = clear_server(user=user or user_record(second_factor=FACTOR), state=InlineStore(), **arguments)
    server.reactor.advance(START)
    return server


def code(server: Server, offset: int = 0) -> str:
    return code_of(SECRET, step_at(server.reactor.seconds()) + offset)


def log_in(server: Server, password: str, name: str = USER, **connection: Any) -> tuple[ControlClient, str]:
    """Return a client that has sent USER and PASS, and the reply to the latter, a refusal after its delay."""
    client = server.connect(**connection)
    assert client.say(f"USER {name}") == "331 Password required."
    client.send(f"PASS {password}")
    server.reactor.advance(3.0)
    return client, client.replies()


def acct(server: Server, client: ControlClient, argument: str) -> str:
    client.send(f"ACCT {argument}")
    server.reactor.advance(3.0)
    return client.replies()


def methods(server: Server) -> list[str]:
    return [event.method for event in server.published(LoggedIn)]


def reasons(server: Server) -> list[str]:
    return [event.reason for event in server.published(LoginRefused)]


def test_a_code_by_acct() -> None:
    """332 behind the password, then 230; nobody is in before."""
    server = factor_server()
    client, reply = log_in(server, PASSWORD)
    assert reply == ASKED
    assert client.say("PWD").startswith("530 ")
    assert acct(server, client, code(server)) == "230 Logged in."
    assert client.say("PWD").startswith("257 ")
    assert (methods(server), reasons(server)) == (["password+totp"], [])
    assert all(code(server) not in event.argument for event in server.published(CommandDone))


def test_a_code_by_acct_as_people_write_it() -> None:
    """With a space in the middle; a recovery code in capitals."""
    server = factor_server()
    client, _ = log_in(server, PASSWORD)
    digits = code(server)
    assert acct(server, client, f"{digits[:3]} {digits[3:]}") == "230 Logged in."
    client, _ = log_in(server, PASSWORD, peer="192.0.2.9")
    assert acct(server, client, RECOVERY.upper()) == "230 Logged in."
    assert methods(server) == ["password+totp", "password+recovery-code"]


def test_a_code_behind_the_password() -> None:
    """For clients that know no ACCT; either kind of code."""
    server = factor_server()
    assert log_in(server, PASSWORD + code(server))[1] == "230 Logged in."
    assert log_in(server, PASSWORD + RECOVERY, peer="192.0.2.9")[1] == "230 Logged in."
    assert methods(server) == ["password+totp", "password+recovery-code"]


def test_a_password_that_ends_as_codes_do() -> None:
    """Alone and with a code behind it; also of a user without a second factor."""
    password = "secret654321"
    server = factor_server(user_record(password=password, second_factor=FACTOR))
    assert log_in(server, password)[1] == ASKED
    assert log_in(server, password + code(server))[1] == "230 Logged in."
    server.take(user_record(password=password))
    assert log_in(server, password)[1] == "230 Logged in."


def test_a_login_is_remembered() -> None:
    """From the same address the next ones need no code, and their old one does no harm; elsewhere they do."""
    server = factor_server()
    password = PASSWORD + code(server)
    for given in (password, PASSWORD, password):
        assert log_in(server, given)[1] == "230 Logged in."
    assert log_in(server, PASSWORD, peer="192.0.2.9")[1] == ASKED
    assert log_in(server, password, peer="192.0.2.9")[1] == INCORRECT
    assert methods(server) == ["password+totp", "password+remembered", "password+remembered"]
    assert "second factor code already used" in reasons(server)
    server.reactor.advance(901)
    assert log_in(server, PASSWORD)[1] == ASKED


def test_a_wrong_code_is_a_failed_login() -> None:
    """In either form: the same text, the same delay, counted, and with a reason of its own."""
    server = factor_server()
    client, _ = log_in(server, PASSWORD)
    client.send("ACCT 000000")
    assert client.replies() == ""
    server.reactor.advance(1.1)
    assert client.replies() == INCORRECT
    assert client.say("ACCT 000000") == "202 No account is needed."
    assert client.say("PASS x") == "503 Send USER first."
    assert log_in(server, f"{PASSWORD}000000")[1] == INCORRECT
    assert reasons(server) == ["wrong second factor"] * 2
    client, _ = log_in(server, PASSWORD)
    for _ in range(2):
        assert acct(server, client, "000000") == INCORRECT
        client.send(f"USER {USER}", f"PASS {PASSWORD}")
        assert client.replies().endswith(ASKED)
    assert acct(server, client, "000000") == "530 Login incorrect, too many failures."
    assert client.is_closed


def test_a_client_that_knows_no_acct() -> None:
    """Hangs up, or tries another user: the log says what was missing."""
    server = factor_server()
    client, _ = log_in(server, PASSWORD)
    assert reasons(server) == []
    assert client.say("USER bob") == "331 Password required."
    client, _ = log_in(server, PASSWORD)
    client.say("QUIT")
    assert reasons(server) == ["second factor not given"] * 2


def test_a_broken_state_file_keeps_out_who_needs_it() -> None:
    """And nobody else; the client learns nothing."""
    state = InlineStore()
    server = clear_server(user=user_record(second_factor=FACTOR), state=state)
    state.is_broken = True
    assert log_in(server, PASSWORD + code(server))[1] == INCORRECT
    assert log_in(server, PASSWORD)[1] == INCORRECT
    assert log_in(server, PASSWORD, "bob")[1] == "230 Logged in."
    assert reasons(server) == ["second factor cannot be checked"] * 2


def test_a_user_who_has_to_enrol_first() -> None:
    """Cannot log in, and learns no more than with a wrong password."""
    server = factor_server(user_record(second_factor=SecondFactor()))
    assert log_in(server, PASSWORD)[1] == INCORRECT
    assert reasons(server) == ["no second factor enrolled"]


class CountingWorkers(InlineWorkers):
    """The hashes that are made."""


@pytest.mark.parametrize(
    ("given", "hashes"), [("wrong", 1), ("wrong123456", 2), (f"wrong{RECOVERY}", 2), ("123456", 1)]
)
def test_a_stranger_learns_nothing_of_second_factors(given: str, hashes: int) -> None:
    """Same reply and as many hashes for a user with one, a user without, a disabled one, and nobody."""
    users = {
        "with": user_record(second_factor=FACTOR),
        "without": user_record(),
        "disabled": user_record(second_factor=FACTOR, enabled=False),
        "passwordless": user_record(password=None, second_factor=FACTOR),
    }
    seen = set()
    for name in (*users, "nobody"):
        login = InlineWorkers()
        server = factor_server(user_record("carol", second_factor=FACTOR), login=login)
        server.take(user_record("carol", second_factor=FACTOR), *(user_record("x"),))
        server.take(user_record("carol", second_factor=FACTOR), _named(users.get(name), name))
        client = server.connect()
        replies = [client.say(f"USER {name}")]
        client.send(f"PASS {given}")
        before = client.replies()
        server.reactor.advance(1.0)
        replies += [before, client.replies()]
        seen.add((tuple(replies), login.calls))
    assert seen == {(("331 Password required.", "", INCORRECT), hashes)}


def _named(record: UserRecord | None, name: str) -> UserRecord:
    fields = {} if record is None else {"password": record.password, "second_factor": record.second_factor}
    enabled = record is None or record.enabled
    return user_record(name if record is not None else "somebody", enabled=enabled, **fields)


def test_a_right_code_needs_one_hash() -> None:
    """And the next login with another code none: what was verified is the password."""
    login = InlineWorkers()
    server = factor_server(login=login)
    assert log_in(server, PASSWORD + code(server))[1] == "230 Logged in."
    assert login.calls == 1
    server.reactor.advance(STEP)
    assert log_in(server, PASSWORD + code(server))[1] == "230 Logged in."
    assert login.calls == 1
    assert methods(server) == ["password+totp"] * 2


def test_where_nobody_has_one_nothing_costs_more() -> None:
    """A wrong password is one hash, whatever it ends with."""
    login = InlineWorkers()
    server = clear_server(login=login)
    assert log_in(server, "wrong123456")[1] == INCORRECT
    assert login.calls == 1


def test_a_reload_between_password_and_code() -> None:
    """The code of a proof that may not hold any more is not looked at."""
    server = factor_server()
    client, _ = log_in(server, PASSWORD)
    server.take(user_record(second_factor=FACTOR, enabled=False))
    assert acct(server, client, code(server)).startswith("503 ")
    assert client.say("PWD").startswith("530 ")
    assert log_in(server, PASSWORD)[1] == INCORRECT


def test_a_user_with_one_account_on_two_hosts() -> None:
    """Is two: the memory of one does not serve the other."""
    server = factor_server()
    assert log_in(server, PASSWORD + code(server))[1] == "230 Logged in."
    bob = user_record("bob", second_factor=FACTOR, home=Path("/"))
    server.take(user_record(second_factor=FACTOR), bob)
    assert log_in(server, PASSWORD, "bob")[1] == ASKED
    assert log_in(server, PASSWORD + code(server), "bob")[1] == "230 Logged in."
