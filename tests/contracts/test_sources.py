"""
Sources of users: what holds of each, with the real server behind it.

A login is right or refused, with the reason, and in time; nobody waits for a source that is not theirs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from twisted.internet.defer import Deferred

from ftpsd.auth.checker import UsersChecker
from ftpsd.auth.codes import code_of, step_at
from ftpsd.auth.credentials import Login, LoginDenied, LoginUnavailable, Refusal, SourceUnavailable, WithCode
from ftpsd.values.login.second_factor import SecondFactor, spelt
from tests.sources.desks import SOURCES, Source
from tests.sources.making import PEER, ROLES, Site, users_file
from tests.sources.relay import Mode
from tests.sources.turning import failure_of, outcome, reactor, turn_until

REMOTE = tuple(name for name in SOURCES if name != "file")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Source]:
    """A source that stands for all tests of it."""
    with SOURCES[request.param](tmp_path_factory.mktemp(request.param)) as source:
        yield source


@pytest.fixture
def source(running: Source) -> Source:
    """A source that answers."""
    if running.relay is not None:
        running.relay.mode = Mode.PASS
        running.relay.start_again()
    return running


each = pytest.mark.parametrize("running", list(SOURCES), indirect=True, scope="module")
remote = pytest.mark.parametrize("running", REMOTE, indirect=True, scope="module")


def reason(login: Deferred[Any]) -> str:
    """Return the reason of a refusal, as the audit log has it."""
    error = failure_of(login)
    if isinstance(error, LoginDenied):
        return str(error.reason)
    assert isinstance(error, LoginUnavailable), error
    return error.reason


def pending(login: Deferred[Any]) -> list[Any]:
    """Return the list that the outcome of *login* is put into."""
    found: list[Any] = []
    login.addBoth(found.append)
    return found


@each
def test_logins(source: Source) -> None:
    """Right, and wrong in every way."""
    made = source.site()
    assert made.complaints == []
    for name in ("alice", "bob", "alice"):
        user = outcome(made.log_in(name, f"{name}'s"))
        assert (user.name, str(user.home), user.role) == (name, f"/srv/ftpsd/{name}", "uploader")
    wrong = [("alice", "bob's"), ("alice", ""), ("alice", "\udcff"), ("alice", "alice's\0"), ("alice", "x" * 2000)]
    assert [reason(made.log_in(*said)) for said in wrong] == [Refusal.WRONG_PASSWORD] * len(wrong)
    assert reason(made.log_in("dora", "dora's")) == Refusal.DISABLED
    # A PAM service may know names only together with their passwords.
    unknown = {Refusal.UNKNOWN_USER, Refusal.WRONG_PASSWORD} if source.name == "pam" else {Refusal.UNKNOWN_USER}
    for name in ("eve", "ALICE", "alice ", "*", "al\0ice", "\udcff", ""):
        assert reason(made.log_in(name, "alice's")) in unknown, name


@each
def test_nobody_costs_a_hash(source: Source) -> None:
    """Those who are no users, or may not log in, cost what a wrong password of a users file does."""
    made = source.site()
    for number, said in enumerate((("dora", "dora's"), ("\udcff", "x"), ("alice", "")), start=1):
        assert reason(made.log_in(*said)) != "directory unavailable"
        expected = number if source.name != "file" else min(number, 2)
        assert made.hashes.of_nobody == expected, said


@remote
def test_a_moment_later_nothing_is_asked(source: Source) -> None:
    """For a client that logs in for every file; a wrong password is always asked about."""
    assert source.relay is not None
    made = source.site()
    outcome(made.log_in("alice", "alice's"))
    before = source.relay.connections
    for _ in range(5):
        outcome(made.log_in("alice", "alice's"))
    assert source.relay.connections == before
    assert reason(made.log_in("alice", "bob's")) == Refusal.WRONG_PASSWORD
    assert source.relay.connections == before + 1


@remote
def test_a_source_that_does_not_answer(source: Source) -> None:
    """Its users are refused in time; those of the file never wait, nor does their name leave the machine."""
    assert source.relay is not None
    source.relay.mode = Mode.HANG
    made = source.site(("file",), users_file("frank", disabled=("freda",)), timeout="0.4s")
    before = source.relay.connections
    hanging = pending(made.log_in("alice", "alice's"))
    turn_until(lambda: source.relay is not None and source.relay.connections > before)
    assert outcome(made.log_in("frank", "frank's")).name == "frank"
    assert reason(made.log_in("frank", "x")) == Refusal.WRONG_PASSWORD
    assert reason(made.log_in("freda", "freda's")) == Refusal.DISABLED
    assert (hanging, source.relay.connections) == ([], before + 1)
    turn_until(lambda: hanging)
    assert isinstance(hanging[0].value, LoginUnavailable)


@remote
def test_one_login_that_hangs(source: Source) -> None:
    """Others at the same source go on beside it, as many as `at_once` allows."""
    assert source.relay is not None
    made = source.site(timeout="1s", at_once=2)
    source.relay.mode = Mode.HANG
    before = source.relay.connections
    hanging = pending(made.log_in("bob", "bob's", peer="192.0.2.1"))
    turn_until(lambda: source.relay is not None and source.relay.connections > before)
    source.relay.mode = Mode.PASS
    for client in ("192.0.2.2", "192.0.2.3"):
        assert outcome(made.log_in("alice", "alice's", peer=client)).name == "alice"
    assert hanging == []
    turn_until(lambda: hanging)


@remote
def test_questions_of_the_server_s_own(source: Source) -> None:
    """Those about all sessions, after a reload, go two at a time, and take no place of a login's."""
    assert source.relay is not None
    made = source.site(timeout="1s", at_once=1)
    source.relay.mode = Mode.HANG
    before = source.relay.connections
    own = [pending(made.accounts.find(f"user-{number}")) for number in range(6)]
    turn_until(lambda: source.relay is not None and source.relay.connections == before + 2)
    source.relay.mode = Mode.PASS
    assert outcome(made.log_in("alice", "alice's")).name == "alice"
    assert own == [[]] * 6
    turn_until(lambda: all(own))


@remote
@pytest.mark.parametrize("mode", [Mode.GARBAGE, Mode.STOP, Mode.SPAM])
def test_a_source_that_is_broken(source: Source, mode: Mode) -> None:
    """Nobody gets in, and nobody is said to be unknown; when it is well again, so are logins."""
    assert source.relay is not None
    made = source.site()
    source.relay.mode = mode
    assert reason(made.log_in("alice", "alice's")) == "directory unavailable"
    assert reason(made.log_in("eve", "alice's")) == "directory unavailable"
    source.relay.mode = Mode.PASS
    assert outcome(made.log_in("alice", "alice's")).name == "alice"


@remote
def test_a_source_that_is_down(source: Source) -> None:
    """It is asked three times, and then left alone: logins that need it fail at once."""
    assert source.relay is not None
    made = source.site()
    source.relay.stop()
    for _ in range(3):
        assert reason(made.log_in("alice", "alice's")) == "directory unavailable"
    source.relay.start_again()
    before = source.relay.connections
    for _ in range(3):
        error = failure_of(made.accounts.find("alice"))
        assert isinstance(error, SourceUnavailable)
    assert "does not answer" in str(error)
    assert source.relay.connections == before


@remote
def test_no_name_is_looked_for_behind_a_source_that_is_down(source: Source) -> None:
    """It could be there: the same name further on is another user."""
    assert source.relay is not None
    made = Site([source.name, "file"], {source.name: source.section}, users_file("alice"))
    source.relay.stop()
    assert reason(made.log_in("alice", "alice's")) == "directory unavailable"


@remote
def test_a_second_factor_and_limits_of_the_users_file(source: Source) -> None:
    """The file adds them to what the source says, takes nothing of that back, and its word binds the name."""
    secret = os.urandom(20)
    added: dict[str, dict[str, Any]] = {
        "alice": {"second_factor": {"totp": spelt(secret)}, "sessions": 2, "networks": ["192.0.2.0/24"]},
        "bob": {"enabled": False},
        "dora": {"enabled": True},
    }
    others = {name: {"source": source.name, **said} for name, said in added.items()}
    made = source.site(users=ROLES + yaml.safe_dump({"users": others}))
    assert made.complaints == []
    checker = UsersChecker(made.accounts, reactor, splits=True)
    code = code_of(secret, step_at(reactor.seconds()))

    def log_in(name: str, password: str, peer: str = PEER) -> Deferred[Any]:
        return checker.requestAvatarId(Login(name, password, peer))

    for password, expected in (("alice's", None), (f"alice's{code}", code)):
        found = outcome(log_in("alice", password))
        user, given = (found.user, found.code) if isinstance(found, WithCode) else (found, None)
        assert user.second_factor == SecondFactor(secret)
        assert (given, user.sessions) == (expected, 2)
        assert (str(user.home), user.role) == ("/srv/ftpsd/alice", "uploader")
    assert reason(log_in("alice", f"bob's{code}")) == Refusal.WRONG_PASSWORD
    assert reason(log_in("alice", f"alice's{code}", "198.51.100.7")) == Refusal.NETWORK
    for name in ("bob", "dora"):
        assert reason(log_in(name, f"{name}'s")) == Refusal.DISABLED, name
    # An entry is about one source: the same name of another one is nobody, without being asked about.
    assert source.relay is not None
    elsewhere = next(name for name in REMOTE if name != source.name)
    bound = source.site(users=ROLES + yaml.safe_dump({"users": {"alice": {"source": elsewhere}}}))
    assert [each.message for each in bound.complaints] == [
        f"{elsewhere} is not asked, so the user cannot log in; add {elsewhere} to accounts"
    ]
    before = source.relay.connections
    assert reason(bound.log_in("alice", "alice's")) == Refusal.UNKNOWN_USER
    assert source.relay.connections == before
