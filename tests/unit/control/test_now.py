"""The configuration of now decides who may log in, and stay: what a reload does to sessions that are older."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from ftpsd.audit.events import FileStored, LoggedIn, LoginRefused, SessionClosed
from ftpsd.config.accept.accept_rules import AcceptRule
from ftpsd.config.users import UserRecord
from ftpsd.control.state.hosts import Hosts
from ftpsd.data.trouble import Cause
from ftpsd.values.direction import Result
from tests.contracts.accounts import SlowAccounts
from tests.hosts import add_host
from tests.sessions import PASSWORD, ControlClient, Server, clear_server, configuration, user_record
from tests.workers import QueueingWorkers

BOB = user_record("bob")
ENDED = "421 The configuration has changed, this session ends."
# The fields of alice that a reload can change, and what the audit log calls the change.
CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"enabled": False}, "user-disabled"),
    ({"password": "another"}, "password-changed"),
    ({"password": None}, "password-changed"),
    ({"networks": (ip_network("192.0.2.0/24"),)}, "address-not-allowed"),
    ({"expires": datetime(1969, 1, 1, tzinfo=UTC)}, "user-expired"),
]
ACCEPT: list[dict[str, object]] = [{"paths": ["/in/**"], "max_size": "1KiB"}]


def reasons(server: Server) -> list[str]:
    """Return why sessions were closed."""
    return [event.reason for event in server.published(SessionClosed)]


# --- sessions that are logged in


@pytest.mark.parametrize(("change", "reason"), CHANGES)
def test_a_session_ends_with_what_let_it_in(change: dict[str, Any], reason: str) -> None:
    """421 at once, and the reason in the audit log; nothing is left of it in the counts."""
    server = clear_server()
    client = server.logged_in()
    server.take(user_record(**change), BOB)
    assert client.replies() == ENDED
    assert client.is_closed
    assert (server.counts.logged_in, server.realm.open) == (0, 0)
    client.hang_up()
    (closed,) = server.published(SessionClosed)
    assert (closed.reason, closed.who.user) == (reason, "alice")


def test_new_rules_about_content_end_every_session() -> None:
    """An upload under way too, for no scanner has seen it; the same rules, read once more, end nothing."""
    server = clear_server()
    client = server.logged_in()
    server.take(user_record(), config=configuration(tls={"require": "none"}, accept=ACCEPT))
    assert client.replies() == ENDED
    client.hang_up()
    again = server.logged_in()
    server.take(user_record(), config=configuration(tls={"require": "none"}, accept=ACCEPT))
    assert again.say("NOOP").startswith("200")
    server.take(user_record(), config=configuration(tls={"require": "none"}))
    assert again.replies() == ENDED
    again.hang_up()
    assert reasons(server) == ["content-rules-changed"] * 2


def test_new_rules_about_content_of_a_role_end_the_sessions_of_its_users() -> None:
    """As those for everybody do."""
    server = clear_server()
    client = server.logged_in()
    server.take(user_record(accept=(AcceptRule(paths=("/in/**",), max_size=1),)))
    assert client.replies() == ENDED
    client.hang_up()
    assert reasons(server) == ["content-rules-changed"]


def test_a_home_that_is_encrypted_from_now_on_ends_the_session() -> None:
    """Its uploads would be stored in clear."""
    server = clear_server()
    client = server.logged_in()
    server.take(user_record(encryption="main"))
    assert client.replies() == ENDED
    client.hang_up()
    assert reasons(server) == ["encryption-changed"]


def test_the_session_of_a_removed_user_ends() -> None:
    """The same."""
    server = clear_server()
    client = server.logged_in()
    server.take(BOB)
    assert client.replies() == ENDED
    client.hang_up()
    assert reasons(server) == ["user-removed"]


# --- accounts that take their time


def slow_reload(*records: UserRecord) -> tuple[Server, ControlClient, SlowAccounts]:
    """Return a server that a reload has given slow accounts, the session of alice, and the accounts that are asked."""
    server = clear_server()
    client = server.logged_in()
    slow = SlowAccounts(*records)
    server.serve(server.host_of(slow))
    assert client.replies() == ""
    return server, client, slow


@pytest.mark.parametrize(
    ("records", "reason"), [((), "user-removed"), ((user_record(enabled=False),), "user-disabled")]
)
def test_a_session_ends_with_the_answer(records: tuple[UserRecord, ...], reason: str) -> None:
    """It goes on until then."""
    server, client, slow = slow_reload(*records)
    assert client.say("PWD").startswith("257 ")
    slow.release()
    assert client.replies() == ENDED
    client.hang_up()
    assert reasons(server) == [reason]


def test_a_session_goes_on_when_the_answer_is_good() -> None:
    """Nothing has changed for the user."""
    _, client, slow = slow_reload(user_record())
    slow.release()
    assert client.say("PWD").startswith("257 ")


def test_an_answer_about_the_user_before_ends_nothing() -> None:
    """The client has logged in anew meanwhile, and was asked about at that."""
    _, client, slow = slow_reload()
    assert client.say("USER bob").startswith("331 ")
    slow.release()
    assert client.replies() == ""
    assert not client.is_closed


def test_an_answer_of_the_reload_before_ends_nothing() -> None:
    """The accounts of now have been asked as well."""
    server, client, slow = slow_reload()
    server.take(user_record())
    slow.release()
    assert client.say("PWD").startswith("257 ")


def test_a_session_goes_on_while_nobody_can_be_asked() -> None:
    """An outage of a directory does not end every transfer at the next reload."""
    server = clear_server()
    client = server.logged_in()
    slow = SlowAccounts()
    slow.is_full = True
    server.serve(server.host_of(slow))
    assert client.say("PWD").startswith("257 ")


def test_an_answer_finds_no_session() -> None:
    """The client has hung up meanwhile."""
    server, client, slow = slow_reload()
    client.hang_up()
    slow.release()
    assert reasons(server) == ["connection-lost"]


def test_a_login_at_slow_accounts() -> None:
    """USER and PASS wait for the answers, and nothing else does."""
    server = clear_server()
    slow = SlowAccounts(user_record())
    server.serve(server.host_of(slow))
    client, other = server.connect(), server.connect()
    client.send("USER alice", f"PASS {PASSWORD}")
    assert client.replies() == "331 Password required."
    assert other.say("NOOP").startswith("200 ")
    slow.release()
    assert client.replies().startswith("230 ")


# --- what goes on


def test_a_session_goes_on_with_what_it_was_given() -> None:
    """Another user's change, other rates, other limits: nothing of it concerns whoever is at work."""
    server = clear_server()
    client = server.logged_in()
    runtime = client.session.runtime
    server.take(user_record(download_rate=5, sessions=1), config=configuration(tls={"require": "none"}, banner="New."))
    assert client.say("PWD").startswith("257 ")
    assert client.session.runtime is runtime


def test_an_upload_ends_with_its_session() -> None:
    """It is not published, and its event says why."""
    server = clear_server()
    client = server.logged_in()
    data = client.connect_data()
    assert client.say("STOR file").startswith("150 ")
    data.send(b"half of it")
    server.take(user_record(enabled=False), BOB)
    assert client.replies() == ENDED
    server.reactor.settle()
    (stored,) = server.published(FileStored)
    assert (stored.result, stored.reason, stored.who.user) == (Result.ABORTED, Cause.NOT_ALLOWED, "alice")
    other = server.connect()
    other.log_in("bob")
    assert other.say("SIZE file").startswith("550 ")
    client.hang_up()
    assert reasons(server) == ["user-disabled"]


def test_nothing_runs_behind_the_end() -> None:
    """Commands that the client had sent ahead die with the session."""
    files = QueueingWorkers()
    server = clear_server(files=files)
    client = server.logged_in()
    client.send("MKD one", "MKD two")
    server.take(BOB)
    files.release()
    assert client.replies() == ENDED
    assert client.say("NOOP") == ""


def test_a_client_that_has_gone_is_not_ended_again() -> None:
    """Its command is still at work when its host goes: nothing is left behind for a connection that is no more."""
    files = QueueingWorkers()
    server = clear_server(files=files)
    add_host(server, "ftp.example.com")
    client = server.connect()
    assert client.say("HOST ftp.example.com").startswith("220 ")
    client.log_in("carol")
    client.send("MKD one")
    client.hang_up()
    server.runtime = replace(server.runtime, hosts=Hosts(server.runtime.hosts.default))
    server.take(user_record())
    assert not server.reactor.getDelayedCalls()
    files.release()
    assert reasons(server) == ["connection-lost"]


# --- sessions from before the reload that log in behind it


def waiting() -> tuple[Server, ControlClient]:
    """Return a server and a client that has said USER."""
    server = clear_server()
    client = server.connect()
    client.say("USER alice")
    return server, client


@pytest.mark.parametrize(("change", "reason"), [*CHANGES, (None, "")])
def test_an_old_session_asks_the_new_users(change: dict[str, Any] | None, reason: str) -> None:
    """PASS is refused as in a session that begins now, also where USER came before the reload."""
    server, client = waiting()
    server.take(*([] if change is None else [user_record(**change)]), BOB)
    client.send(f"PASS {PASSWORD}")
    server.reactor.advance(1)
    assert client.replies() == "530 Login incorrect."
    assert not server.published(LoggedIn)


def test_an_old_session_knows_the_new_password() -> None:
    """And a user who came with the reload."""
    server, client = waiting()
    server.take(user_record(password="another"), user_record("carol"))
    assert client.say("PASS another") == "230 Logged in."
    second = server.connect()
    server.take(user_record(password="another"), user_record("dora"))
    second.log_in("dora")


def test_a_verified_password_does_not_outlive_the_reload() -> None:
    """It was verified a moment ago, which the cache remembers."""
    server = clear_server()
    server.logged_in().hang_up()
    old = server.connect()
    server.take(user_record(enabled=False), BOB)
    old.send("USER alice", f"PASS {PASSWORD}")
    server.reactor.advance(1)
    assert old.replies().endswith("530 Login incorrect.")


@pytest.mark.parametrize("record", [user_record(enabled=False), user_record(password="another")])
def test_a_reload_while_the_hash_is_made(record: Any) -> None:
    """The answer was about users of before: it is asked for again."""
    login = QueueingWorkers()
    server = clear_server(login=login)
    client = server.connect()
    client.send("USER alice", f"PASS {PASSWORD}")
    server.take(record, BOB)
    login.release()
    server.reactor.advance(1)
    login.release()
    assert client.replies().endswith("530 Login incorrect.")
    assert (server.realm.open, server.counts.logged_in) == (0, 0)
    assert len(server.published(LoginRefused)) == 1


def test_a_reload_while_the_home_is_opened() -> None:
    """The user is asked for again, and given what there is now; what was opened is closed."""
    server = clear_server()
    opened: Deferred[None] = Deferred()
    server.realm.waits_for = opened
    client = server.connect()
    client.send("USER alice", f"PASS {PASSWORD}")
    server.take(user_record(sessions=1))
    opened.callback(None)
    assert client.replies().endswith("230 Logged in.")
    assert client.session.is_current
    assert (server.realm.entered, server.realm.open, server.counts.logged_in) == (2, 1, 1)


def test_a_user_who_goes_while_the_home_is_opened() -> None:
    """Refused, as one who comes now."""
    server = clear_server()
    opened: Deferred[None] = Deferred()
    server.realm.waits_for = opened
    client = server.connect()
    client.send("USER alice", f"PASS {PASSWORD}")
    server.take(BOB)
    opened.callback(None)
    server.reactor.advance(1)
    assert client.replies().endswith("530 Login incorrect.")
    assert (server.realm.open, server.counts.logged_in) == (0, 0)


def test_the_next_user_of_a_session_has_the_configuration_of_now() -> None:
    """USER in a session that is logged in starts over; REIN does too."""
    for again in ("USER carol", "REIN"):
        server = clear_server()
        client = server.logged_in()
        server.take(user_record(), user_record("carol"))
        client.say(again)
        client.log_in("carol")


def test_an_old_session_has_the_limits_of_now() -> None:
    """The value to which the reload has set sessions_per_user holds for every login."""
    server = clear_server()
    server.logged_in()
    old = server.connect()
    server.take(user_record(), config=configuration(tls={"require": "none"}, limits={"sessions_per_user": 1}))
    old.say("USER alice")
    assert old.say(f"PASS {PASSWORD}").startswith("421 Too many sessions")


def test_an_old_session_in_clear_has_the_policy_of_now() -> None:
    """Where TLS is asked for since, no password is taken without it."""
    server = clear_server()
    old = server.connect()
    server.take(user_record(), config=configuration())
    assert old.say("USER alice") == "530 Use AUTH TLS first."


# --- virtual hosts


def test_users_of_a_virtual_host() -> None:
    """Their host of now is asked: carol is gone there, whatever the default host has."""
    server = clear_server()
    add_host(server, "ftp.example.com")
    client, old = server.connect(), server.connect()
    for each in (client, old):
        assert each.say("HOST ftp.example.com").startswith("220 ")
    client.log_in("carol")
    server.runtime = replace(server.runtime, hosts=Hosts(server.runtime.hosts.default))
    add_host(server, "ftp.example.com", user=user_record("dora"))
    server.take(user_record(), user_record("carol"))
    assert client.replies() == ENDED
    old.log_in("dora")
    client.hang_up()
    assert reasons(server) == ["user-removed"]


@pytest.mark.parametrize("others", [[], ["*.example.com"]])
def test_a_host_that_is_gone(others: list[str]) -> None:
    """Its sessions end, logged in or not; that a wildcard fits its name now makes it no other host's."""
    server = clear_server()
    add_host(server, "ftp.example.com")
    client, old = server.connect(), server.connect()
    for each in (client, old):
        assert each.say("HOST ftp.example.com").startswith("220 ")
    client.log_in("carol")
    server.runtime = replace(server.runtime, hosts=Hosts(server.runtime.hosts.default))
    if others:
        add_host(server, *others)
    server.take(user_record(), user_record("carol"))
    assert [client.replies(), old.replies()] == [ENDED, ENDED]
    client.hang_up()
    old.hang_up()
    assert reasons(server) == ["host-removed"] * 2
