"""Login and logout: one text for every refusal, one delay, and no password in any event."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_network

import pytest
from twisted.internet.defer import Deferred

from ftpsd.audit.events import CommandDone, LoggedIn, LoginRefused, SessionClosed
from ftpsd.auth.credentials import LoginBusy, LoginDenied, Refusal
from ftpsd.auth.hashing.queue import PER_CLIENT
from ftpsd.config.users import UserRecord
from tests.sessions import PASSWORD, USER, Server, clear_server, user_record
from tests.workers import InlineWorkers, QueueingWorkers

INCORRECT = "530 Login incorrect."


def test_a_login() -> None:
    """331, then 230."""
    client = clear_server().connect()
    assert client.say("USER alice") == "331 Password required."
    assert client.say(f"PASS {PASSWORD}") == "230 Logged in."


def test_a_login_is_published() -> None:
    """With the user, the method and the time it took."""
    server = clear_server()
    server.logged_in()
    (event,) = server.published(LoggedIn)
    assert (event.who.user, event.method) == (USER, "password")


def test_a_password_may_have_spaces() -> None:
    """All behind the one space is the password, trailing spaces too."""
    client = clear_server(user=user_record(password="a  b ")).connect()
    client.say("USER alice")
    assert client.say("PASS a  b ").startswith("230 ")


def test_pass_without_user() -> None:
    """503, also behind a failed login: each PASS needs its USER."""
    client = clear_server().connect()
    assert client.say("PASS x") == "503 Send USER first."


def test_pass_after_login() -> None:
    """202: some clients send it again."""
    client = clear_server().logged_in()
    assert client.say("PASS again") == "202 Already logged in."
    assert client.say("PWD").startswith("257 ")


def test_user_needs_a_name() -> None:
    """501 for USER alone."""
    assert clear_server().connect().say("USER").startswith("501 ")


def refused(record: UserRecord, name: str = USER, password: str = PASSWORD) -> tuple[str, str]:
    """Return what a client and what the audit log learn of a login that is refused."""
    server = clear_server(user=record)
    client = server.connect()
    assert client.say(f"USER {name}").startswith("331 ")
    client.send(f"PASS {password}")
    server.reactor.advance(1.0)
    return client.replies(), server.published(LoginRefused)[0].reason


@pytest.mark.parametrize(
    ("record", "name", "password"),
    [
        (user_record(), "mallory", PASSWORD),
        (user_record(), USER, "wrong"),
        (user_record(), USER, ""),
        (user_record(enabled=False), USER, PASSWORD),
        (user_record(expires=datetime(1969, 1, 1, tzinfo=UTC)), USER, PASSWORD),
        (user_record(networks=(ip_network("192.0.2.0/24"),)), USER, PASSWORD),
        (user_record(password=None), USER, PASSWORD),
    ],
)
def test_every_refusal_reads_the_same(record: UserRecord, name: str, password: str) -> None:
    """Unknown user, wrong or empty password, disabled, expired, wrong network: nobody can tell which."""
    assert refused(record, name, password)[0] == INCORRECT


def test_the_audit_log_knows_why() -> None:
    """Every reason is another."""
    reasons = [
        refused(user_record(), "mallory")[1],
        refused(user_record(), USER, "wrong")[1],
        refused(user_record(enabled=False))[1],
    ]
    assert len(set(reasons)) == 3


def test_a_refused_login_is_published_with_its_name() -> None:
    """Bans go by address, and the operator sees what was tried."""
    server = clear_server()
    client = server.connect()
    client.send("USER mallory", "PASS x")
    (event,) = server.published(LoginRefused)
    assert (event.name, event.who.user, event.method) == ("mallory", None, "password")


def test_failures_are_answered_later_and_later() -> None:
    """One second after the first, two after the second."""
    server = clear_server(limits={"failed_logins": 10})
    client = server.connect()
    for seconds in (1, 2, 3, 3):
        client.send("USER alice", "PASS wrong")
        server.reactor.advance(seconds - 0.1)
        assert client.replies() == "331 Password required."
        server.reactor.advance(0.2)
        assert client.replies() == INCORRECT


def test_a_refusal_does_not_tell_what_the_hash_cost() -> None:
    """It comes one second after PASS, whether the hash took a tenth of that (Argon2id) or half of it (bcrypt)."""
    for cost in (0.1, 0.5):
        login = QueueingWorkers()
        server = clear_server(login=login)
        client = server.connect()
        client.send("USER alice", "PASS wrong")
        server.reactor.advance(cost)
        login.release()
        server.reactor.advance(0.9 - cost)
        assert client.replies() == "331 Password required."
        server.reactor.advance(0.2)
        assert client.replies() == INCORRECT


def test_the_third_failure_is_the_last() -> None:
    """530 as the others, for clients take 421 for "try again"; and close after limits.failed_logins."""
    server = clear_server(limits={"failed_logins": 3})
    client = server.connect()
    answers = []
    for _ in range(3):
        client.say("USER alice")
        client.send("PASS wrong")
        server.reactor.advance(3)
        answers.append(client.replies())
    assert [answer[:3] for answer in answers] == ["530", "530", "530"]
    assert client.is_closed
    client.hang_up()
    assert [event.reason for event in server.published(SessionClosed)] == ["failed-logins"]


@pytest.mark.parametrize("between", ["REIN", "USER bob"])
def test_failures_are_not_forgotten(between: str) -> None:
    """Starting over does not give a guesser new attempts."""
    server = clear_server(limits={"failed_logins": 2})
    client = server.connect()
    for _ in range(2):
        client.say(between)
        client.say("USER alice")
        client.send("PASS wrong")
        server.reactor.advance(3)
    assert client.replies() == "530 Login incorrect, too many failures."
    assert client.is_closed


def test_a_full_hash_queue_is_421() -> None:
    """A flood of logins is told to come later, and is no failed login."""
    login = InlineWorkers()
    login.is_full = True
    server = clear_server(login=login)
    client = server.connect()
    client.say("USER alice")
    assert client.say(f"PASS {PASSWORD}").startswith("421 Too many logins")
    assert client.is_closed
    assert client.session.failed_logins == 0


def test_too_many_sessions_of_a_user() -> None:
    """limits.sessions_per_user: 421, and the storage that was opened is closed again."""
    server = clear_server(limits={"sessions_per_user": 1})
    server.logged_in()
    second = server.connect()
    second.say("USER alice")
    assert second.say(f"PASS {PASSWORD}").startswith("421 Too many sessions")
    assert second.is_closed
    assert (server.realm.open, server.counts.logged_in) == (1, 1)


def test_the_limit_is_asked_before_the_home_is_opened() -> None:
    """A user with too many sessions costs no call to the disk, and is logged as refused."""
    server = clear_server(limits={"sessions_per_user": 1})
    server.logged_in()
    entered = server.realm.entered
    second = server.connect()
    second.send("USER alice", f"PASS {PASSWORD}")
    assert server.realm.entered == entered
    assert [event.reason for event in server.published(LoginRefused)] == ["too-many-sessions"]


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (LoginDenied(Refusal.NO_HOME), "530 Login incorrect."),
        (LoginBusy(), "421 Too many logins at once, try again later."),
        (OSError("short of descriptors"), "451 Internal error, the operator has been told."),
    ],
)
def test_a_home_that_cannot_be_opened_takes_no_session(error: Exception, reply: str) -> None:
    """The count of the user's sessions is as before, whatever went wrong."""
    server = clear_server(limits={"sessions_per_user": 1})
    server.realm.fails_with = error
    client = server.connect()
    client.send("USER alice", f"PASS {PASSWORD}")
    server.reactor.advance(1)
    assert client.replies().endswith(reply)
    assert (server.counts.logged_in, client.session.avatar) == (0, None)
    server.realm.fails_with = None
    server.logged_in()


def test_a_client_that_leaves_while_its_home_is_opened() -> None:
    """Nothing stays counted or open."""
    server = clear_server()
    opened: Deferred[None] = Deferred()
    server.realm.waits_for = opened
    client = server.connect()
    client.send("USER alice", f"PASS {PASSWORD}")
    assert server.counts.logged_in == 1
    client.hang_up()
    assert opened.called
    assert (server.counts.logged_in, server.realm.open) == (0, 0)
    assert [event.reason for event in server.published(LoginRefused)] == ["connection-lost"]


def test_another_user_still_gets_in() -> None:
    """The limit is each user's own."""
    server = clear_server(limits={"sessions_per_user": 1})
    server.logged_in()
    server.connect().log_in("bob")


def test_a_user_may_have_a_limit_of_their_own() -> None:
    """`sessions` of the users file goes before the server's."""
    server = clear_server(limits={"sessions_per_user": 1}, user=user_record(sessions=2))
    server.logged_in()
    server.logged_in()


def test_a_session_that_has_gone_makes_room() -> None:
    """The count goes down with the connection."""
    server = clear_server(limits={"sessions_per_user": 1})
    server.logged_in().hang_up()
    server.logged_in()


def test_user_after_login_starts_over() -> None:
    """RFC 959, 4.1.1: what was granted before is flushed."""
    server = clear_server()
    client = server.logged_in()
    client.say("TYPE A")
    client.say("USER bob")
    assert client.say("PWD").startswith("530 ")
    assert (server.counts.logged_in, server.realm.open) == (0, 0)
    assert client.say(f"PASS {PASSWORD}").startswith("230 ")
    assert not client.session.parameters.is_ascii


def test_rein_logs_out() -> None:
    """220, and the user is nobody."""
    server = clear_server()
    client = server.logged_in()
    assert client.say("REIN") == "220 Ready for a new user."
    assert client.say("PWD").startswith("530 ")
    assert server.counts.logged_in == 0


def test_rein_keeps_tls() -> None:
    """RFC 4217, 11: the TLS session stays as it is."""
    client = Server().connect()
    client.start_tls()
    client.log_in()
    client.say("REIN")
    assert client.session.is_secure
    client.log_in()


def test_acct_is_never_needed() -> None:
    """202."""
    assert clear_server().connect().say("ACCT 42") == "202 No account is needed."


def test_quit() -> None:
    """221 and close."""
    client = clear_server().connect()
    assert client.say("QUIT") == "221 Goodbye."
    assert client.is_closed


@pytest.mark.parametrize("password", [PASSWORD, "wrong secret"])
@pytest.mark.parametrize("require", ["none", "control"])
def test_no_password_is_in_any_event(password: str, require: str) -> None:
    """Right or wrong, in clear or refused for want of TLS: the audit log never shows one."""
    server = Server(tls={"require": require})
    client = server.connect()
    client.send("USER alice", f"PASS {password}", f"pass {password}", f"ACCT {password}", f"XPASS {password}")
    server.reactor.advance(5)
    assert len(server.published(CommandDone)) == 5
    assert password not in repr(server.events)


def test_logins_are_counted_while_they_wait() -> None:
    """`seconds` of the event is how long the hash took."""
    login = QueueingWorkers()
    server = clear_server(login=login)
    client = server.connect()
    client.send("USER alice", f"PASS {PASSWORD}")
    server.reactor.advance(0.5)
    login.release()
    assert server.published(LoggedIn)[0].seconds == 0.5
    assert client.session.avatar is not None


def test_a_client_that_leaves_gives_its_hash_up() -> None:
    """The hash that waited for it is not made, and the audit log knows of the try."""
    login = QueueingWorkers()
    server = clear_server(login=login)
    first, second = server.connect(), server.connect()
    first.send("USER alice", "PASS guess")
    second.send("USER alice", "PASS another guess")
    assert server.logins.queued == 1
    second.hang_up()
    assert server.logins.queued == 0
    assert [event.reason for event in server.published(LoginRefused)] == ["connection-lost"]


def test_a_guesser_does_not_keep_others_waiting() -> None:
    """With fifty connections of one /64 it has one hash ahead of another client's, and is refused where it has many."""
    login = QueueingWorkers()
    server = clear_server(login=login, limits={"connections_per_address": 100})
    guessers = [server.connect(peer=f"2001:db8::{number:x}") for number in range(1, 51)]
    for number, guesser in enumerate(guessers):
        guesser.send("USER alice", f"PASS guess {number}")
    other = server.connect(peer="2001:db8:0:1::1")
    other.send("USER alice", f"PASS {PASSWORD}")
    login.release(2)
    assert other.replies().endswith("230 Logged in.")
    refused = [event.reason for event in server.published(LoginRefused)]
    assert refused.count("busy") == 50 - 1 - PER_CLIENT
