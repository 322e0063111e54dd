"""Accounts: what the checker and the upkeep rely on, for a users file, for several in a chain and for slow ones."""

from __future__ import annotations

from typing import TypeVar

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from ftpsd.auth.accounts import Chain
from ftpsd.auth.checker import UsersChecker
from ftpsd.auth.credentials import LoginBusy, LoginDenied, Refusal
from ftpsd.config.users import UserRecord
from ftpsd.workers import PoolBusy
from tests.contracts.accounts import DESKS, Desk, Files, SlowAccounts, login, record

T = TypeVar("T")


@pytest.fixture(params=DESKS)
def desk(request: pytest.FixtureRequest) -> Desk:
    """Accounts of every kind."""
    return DESKS[request.param]()


def outcomes(answer: Deferred[T]) -> list[T | Exception]:
    """Return the list that the answer, or its error, is put into."""
    found: list[T | Exception] = []

    def failed(failure: Failure) -> None:
        assert isinstance(failure.value, Exception)
        found.append(failure.value)

    answer.addCallbacks(found.append, failed)
    return found


def found(desk: Desk, name: str) -> UserRecord | None:
    """Return the user called *name*."""
    answer = outcomes(desk.accounts.find(name))
    desk.release()
    (user,) = answer
    assert not isinstance(user, Exception)
    return user


def verified(desk: Desk, user: UserRecord | None, name: str, password: str) -> bool:
    """Return whether the password is right."""
    answer = outcomes(desk.accounts.verify(user, login(name, password)))
    desk.release()
    (is_right,) = answer
    assert isinstance(is_right, bool)
    return is_right


# --- every kind


def test_those_known_without_asking(desk: Desk) -> None:
    """Whole records, each once."""
    assert {user.name: user for user in desk.accounts.known()} == {name: record(name) for name in desk.known}


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_a_user_is_found_by_name(desk: Desk, name: str) -> None:
    """As it is written down."""
    assert found(desk, name) == record(name)


@pytest.mark.parametrize("name", ["ALICE", "alice ", "", "carol", "\udcff", "0"])
def test_no_other_name_is_anybody(desk: Desk, name: str) -> None:
    """None, whatever it resembles."""
    assert found(desk, name) is None


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_the_password_of_each_user(desk: Desk, name: str) -> None:
    """Their own is right, also once more; the other's is not, nor is none."""
    user = found(desk, name)
    said = [f"{name}'s", f"{name}'s", "alice's" if name == "bob" else "bob's", ""]
    assert [verified(desk, user, name, password) for password in said] == [True, True, False, False]


@pytest.mark.parametrize("password", ["guess", "alice's", "bob's"])
def test_unknown_users_cost_the_same(desk: Desk, password: str) -> None:
    """One verification, like a wrong password, and no password is right."""
    for name in ("alice", "bob"):
        before = len(desk.verified())
        assert not verified(desk, found(desk, name), name, "wrong")
        assert len(desk.verified()) == before + 1
    before = len(desk.verified())
    assert found(desk, "carol") is None
    assert not verified(desk, None, "carol", password)
    assert len(desk.verified()) == before + 1


def test_a_user_who_is_kept_out_costs_the_same(desk: Desk) -> None:
    """Asked about as nobody, under a name that there is, with a password that was right a moment ago."""
    assert verified(desk, found(desk, "alice"), "alice", "alice's")
    before = len(desk.verified())
    assert not verified(desk, None, "alice", "alice's")
    assert len(desk.verified()) == before + 1


@pytest.mark.parametrize("name", ["bob", "carol"])
def test_full_accounts_say_so(desk: Desk, name: str) -> None:
    """Neither right nor wrong."""
    user = found(desk, name)
    desk.fill()
    (error,) = outcomes(desk.accounts.verify(user, login(name, "guess")))
    assert isinstance(error, PoolBusy)


@pytest.mark.parametrize("name", ["alice", "bob", "carol"])
def test_a_client_may_go_before_the_answer(desk: Desk, name: str) -> None:
    """Nothing comes of it, and the next is answered."""
    user = found(desk, name)
    find, verify = desk.accounts.find(name), desk.accounts.verify(user, login(name, "guess"))
    results = (outcomes(find), outcomes(verify))
    find.cancel()
    verify.cancel()
    assert [len(result) for result in results] == [1, 1]
    desk.release()
    assert (found(desk, name), verified(desk, user, name, "guess")) == (user, False)


# --- a chain


def test_a_cancelled_question_is_taken_back() -> None:
    """From whichever accounts it waits for."""
    slow = SlowAccounts(record("bob"))
    answer = Chain(Files().accounts, slow).find("bob")
    result = outcomes(answer)
    answer.cancel()
    slow.release()
    assert [type(error) for error in result] == [CancelledError]


def test_a_name_belongs_to_the_first() -> None:
    """Of two users of one name the second cannot log in, and is not known."""
    first, second = Files(record("alice", "one")), Files(record("alice", "two"))
    chain = Chain(first.accounts, second.accounts)
    assert [user.password for user in chain.known()] == ["one"]
    (user,) = outcomes(chain.find("alice"))
    assert isinstance(user, UserRecord)
    said = [outcomes(chain.verify(user, login("alice", password))) for password in ("two", "one")]
    assert said == [[False], [True]]
    assert second.verified == []


def test_slow_accounts_hold_up_no_user_of_others() -> None:
    """Alice is found and verified, and as quickly refused, while bob waits for his answer, which comes all the same."""
    files, slow = Files(record("alice")), SlowAccounts(record("bob"))
    chain = Chain(files.accounts, slow)
    bob = outcomes(chain.find("bob"))
    for password, is_right in (("alice's", True), ("guess", False)):
        (alice,) = outcomes(chain.find("alice"))
        assert isinstance(alice, UserRecord)
        assert outcomes(chain.verify(alice, login("alice", password))) == [is_right]
    assert (slow.asked, bob) == (["bob"], [])
    slow.release()
    assert bob == [record("bob")]


def test_no_question_to_slow_accounts_waits_for_another() -> None:
    """Where they come first, each user of those behind them waits for the answer about the own name alone."""
    slow, files = SlowAccounts(record("bob")), Files(record("alice"))
    chain = Chain(slow, files.accounts)
    bob, alice = outcomes(chain.find("bob")), outcomes(chain.find("alice"))
    slow.release("alice")
    assert (bob, alice) == ([], [record("alice")])
    assert isinstance(alice[0], UserRecord)
    assert outcomes(chain.verify(alice[0], login("alice", "alice's"))) == [True]


def test_accounts_that_cannot_answer_are_not_passed_over() -> None:
    """The name may be theirs: nobody of that name behind them gets in."""
    slow, files = SlowAccounts(record("alice", "theirs")), Files(record("alice"))
    slow.is_full = True
    (error,) = outcomes(Chain(slow, files.accounts).find("alice"))
    assert isinstance(error, PoolBusy)
    assert files.verified == []


# --- the checker over them


def logged_in(desk: Desk, name: str, password: str) -> object:
    """Return the user, or why not."""
    answer = outcomes(UsersChecker(desk.accounts, Clock()).requestAvatarId(login(name, password)))
    desk.release()
    (result,) = answer
    return result.reason if isinstance(result, LoginDenied) else result


def test_logins(desk: Desk) -> None:
    """Right, wrong, and unknown, as the audit log tells them apart."""
    assert [logged_in(desk, name, f"{name}'s") for name in ("alice", "bob")] == [record("alice"), record("bob")]
    assert logged_in(desk, "bob", "guess") is Refusal.WRONG_PASSWORD
    assert logged_in(desk, "carol", "guess") is Refusal.UNKNOWN_USER


def test_a_login_at_full_accounts(desk: Desk) -> None:
    """The client may try again later."""
    desk.fill()
    assert isinstance(logged_in(desk, "bob", "bob's"), LoginBusy)
