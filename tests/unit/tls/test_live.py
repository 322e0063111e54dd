"""Live sessions: whose TLS session a data connection resumes, and how long that is waited for."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from ftpsd.tls.live import PATIENCE, Holder, LiveSessions

SECRET, OTHER_SECRET = b"s", b"t"
HERE, THERE = "192.0.2.1", "192.0.2.2"


class Asked:
    """A question put to *live*: *answer* is what came back, "waits" until then."""

    def __init__(self, live: LiveSessions, secret: bytes, wanted: Holder) -> None:
        self.answer: Holder | str | None = "waits"
        self.deferred = Deferred.fromCoroutine(live.resumed(secret, wanted))
        self.deferred.addBoth(self._take)

    @property
    def waits(self) -> bool:
        """Whether there is no answer yet."""
        return self.answer == "waits"

    def _take(self, answer: Holder | Failure | None) -> None:
        if isinstance(answer, Failure):
            answer.trap(CancelledError)
            self.answer = "cancelled"
        else:
            self.answer = answer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def live(clock: Clock) -> LiveSessions:
    return LiveSessions(clock)


def held(live: LiveSessions, name: str, account: str | None, secret: bytes = SECRET, address: str = HERE) -> Holder:
    """Add a holder to *live*."""
    holder = Holder(name, address, secret, account)
    live.add(holder)
    return holder


def test_the_own_session(live: LiveSessions) -> None:
    """A data connection of the session itself."""
    mine = held(live, "mine", "alice")
    assert Asked(live, SECRET, mine).answer is mine


def test_the_same_user_elsewhere(live: LiveSessions) -> None:
    """rclone's other control connection: same user, same address."""
    mine, other = held(live, "mine", "alice", OTHER_SECRET), held(live, "other", "alice")
    assert Asked(live, SECRET, mine).answer is other


@pytest.mark.parametrize(("account", "address"), [("bob", HERE), ("alice", THERE), ("host\nalice", HERE)])
def test_anybody_else(live: LiveSessions, account: str, address: str) -> None:
    """Another user, another address, the same name on another host."""
    mine = held(live, "mine", "alice", OTHER_SECRET)
    held(live, "other", account, SECRET, address)
    assert Asked(live, SECRET, mine).answer is None


def test_a_secret_of_nobody(live: LiveSessions) -> None:
    """A full handshake on the data port, or a session that has ended."""
    mine = held(live, "mine", "alice", OTHER_SECRET)
    assert Asked(live, SECRET, mine).answer is None


def test_one_secret_of_two_users(live: LiveSessions) -> None:
    """A control connection that resumed another's session: each session's data connections are its own user's."""
    alice, bob = held(live, "a", "alice"), held(live, "b", "bob")
    assert Asked(live, SECRET, alice).answer is alice
    assert Asked(live, SECRET, bob).answer is bob
    live.remove(alice)
    again = held(live, "c", "alice", OTHER_SECRET)
    assert Asked(live, SECRET, again).answer is None


def test_after_the_logout(live: LiveSessions) -> None:
    """REIN takes the secret away from the user; the control connection may log in again."""
    mine, other = held(live, "mine", "alice", OTHER_SECRET), held(live, "other", "alice")
    live.logged_in(other, None)
    asked = Asked(live, SECRET, mine)
    assert asked.waits
    live.logged_in(other, "bob")
    assert asked.answer is None


def test_one_about_to_log_in_is_waited_for(live: LiveSessions) -> None:
    """curl -Z resumes its newest control connection, which has not logged in yet."""
    mine, newest = held(live, "mine", "alice", OTHER_SECRET), held(live, "newest", None)
    asked = Asked(live, SECRET, mine)
    assert asked.waits
    live.logged_in(newest, "alice")
    assert asked.answer is newest


def test_one_that_goes(live: LiveSessions) -> None:
    """A control connection that ends before it has logged in is nobody's."""
    mine, newest = held(live, "mine", "alice", OTHER_SECRET), held(live, "newest", None)
    asked = Asked(live, SECRET, mine)
    live.remove(newest)
    assert asked.answer is None


def test_the_wait_ends(live: LiveSessions, clock: Clock) -> None:
    """Somebody without an account must not hold a data port for long; nothing stays behind."""
    mine = held(live, "mine", "alice", OTHER_SECRET)
    held(live, "stranger", None)
    asked = Asked(live, SECRET, mine)
    clock.advance(PATIENCE)
    assert asked.answer is None
    assert not clock.getDelayedCalls()


def test_a_stranger_elsewhere_is_not_waited_for(live: LiveSessions) -> None:
    """A session that will never count needs no wait."""
    mine = held(live, "mine", "alice", OTHER_SECRET)
    held(live, "stranger", None, SECRET, THERE)
    assert Asked(live, SECRET, mine).answer is None


def test_several_wait_for_one(live: LiveSessions, clock: Clock) -> None:
    """Each gets its answer, also when the first one's answer ends the wait of the next."""
    mine, newest = held(live, "mine", "alice", OTHER_SECRET), held(live, "newest", None)
    first, second, third = (Asked(live, SECRET, mine) for _ in range(3))
    first.deferred.addCallback(lambda _: second.deferred.cancel())
    live.logged_in(newest, "alice")
    assert (first.answer, third.answer) == (newest, newest)
    assert second.answer in ("cancelled", newest)
    assert not clock.getDelayedCalls()


def test_a_cancelled_wait(live: LiveSessions, clock: Clock) -> None:
    """ABOR, or the end of the session."""
    mine = held(live, "mine", "alice", OTHER_SECRET)
    held(live, "newest", None)
    asked = Asked(live, SECRET, mine)
    asked.deferred.cancel()
    assert asked.answer == "cancelled"
    assert not clock.getDelayedCalls()


def test_nothing_is_kept(live: LiveSessions) -> None:
    """The table is as long as there are control connections."""
    holders = [held(live, str(number), "alice", bytes([number % 3])) for number in range(9)]
    assert len(live) == 9
    for holder in holders:
        live.remove(holder)
    assert len(live) == 0
