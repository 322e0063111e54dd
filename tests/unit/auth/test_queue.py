"""Turns at the password hash: nobody's login waits for all that somebody else has sent."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred

from ftpsd.auth.hashing.queue import LIMIT, LOGINS, PER_CLIENT, LoginQueue
from ftpsd.workers import PoolBusy
from tests.workers import QueueingWorkers


class Hall:
    """A queue before a pool that makes one hash whenever it is told to; *order* is in which they were made."""

    def __init__(self, at_once: int = 1) -> None:
        self.pool = QueueingWorkers()
        self.queue = LoginQueue(self.pool, at_once)
        self.order: list[str] = []
        self.outcomes: dict[str, list[object]] = {}

    def ask(self, client: str, password: str) -> Deferred[bool]:
        """Log in; what becomes of it stands in `outcomes`."""
        answer = self.queue.ask(client, password, self._verify, password, None)
        outcomes = self.outcomes.setdefault(password, [])
        answer.addCallbacks(outcomes.append, lambda failure: outcomes.append(failure.type))
        return answer

    def _verify(self, password: str, stored: str | None) -> bool:
        self.order.append(password)
        return password == "right"


def test_an_answer() -> None:
    """Right or wrong, as the pool says."""
    hall = Hall()
    hall.ask("a", "right")
    hall.ask("a", "wrong")
    hall.pool.release()
    assert hall.outcomes == {"right": [True], "wrong": [False]}


def test_clients_take_turns() -> None:
    """A login behind twenty of another client is the second."""
    hall = Hall()
    for number in range(20):
        hall.ask("guesser", f"guess {number}")
    hall.ask("somebody", "right")
    hall.ask("else", "other")
    hall.pool.release()
    assert hall.order[:5] == ["guess 0", "right", "other", "guess 1", "guess 2"]


def test_known_clients_go_first_but_for_one_turn_in_four() -> None:
    """A flood from many addresses keeps no partner waiting, and partners keep no new one waiting for ever."""
    hall = Hall()
    hall.queue.is_known = lambda client: client.startswith("partner")
    for number in range(50):
        hall.ask(f"stranger {number}", f"guess {number}")
    for number in range(5):
        hall.ask(f"partner {number}", f"right {number}")
    hall.pool.release()
    assert hall.order[:8] == ["guess 0", "right 0", "right 1", "right 2", "guess 1", "right 3", "right 4", "guess 2"]
    assert len(hall.order) == 55


def test_one_hash_at_work_for_each_client() -> None:
    """Though the pool has room for more: the second of a client waits for the first."""
    hall = Hall(at_once=4)
    for client, password in (("a", "1"), ("a", "2"), ("b", "3"), ("b", "4")):
        hall.ask(client, password)
    assert (hall.pool.waiting, hall.queue.queued) == (2, 2)


def test_a_client_has_its_places() -> None:
    """One more is refused, and another client is not concerned."""
    hall = Hall()
    for number in range(1 + PER_CLIENT + 1):
        hall.ask("guesser", str(number))
    assert hall.outcomes[str(1 + PER_CLIENT)] == [PoolBusy]
    hall.ask("somebody", "right")
    hall.pool.release()
    assert hall.outcomes["right"] == [True]
    assert [outcome for outcomes in hall.outcomes.values() for outcome in outcomes].count(PoolBusy) == 1


def test_in_a_full_queue_the_greedy_lose() -> None:
    """A client without a login finds a place as long as somebody has two."""
    hall = Hall()
    for number in range(LIMIT + 1):
        hall.ask(f"guesser {number % 8}", str(number))
    assert hall.queue.queued == LIMIT
    for number in range(20):
        hall.ask(f"somebody {number}", f"right {number}")
    assert hall.queue.queued == LIMIT
    hall.pool.release()
    assert all(hall.outcomes[f"right {number}"] == [False] for number in range(20))
    refused = [name for name, outcome in hall.outcomes.items() if outcome == [PoolBusy]]
    assert len(refused) == 20


def test_a_queue_full_of_clients_is_full() -> None:
    """One place for each of them: then there is none to take."""
    hall = Hall()
    for number in range(LIMIT + 2):
        hall.ask(f"client {number}", str(number))
    assert hall.outcomes[str(LIMIT + 1)] == [PoolBusy]


def test_a_known_client_takes_a_place_from_a_stranger() -> None:
    """Of a queue full of single clients the last stranger has to go; known clients do not take each other's."""
    hall = Hall()
    hall.queue.is_known = lambda client: client.startswith("partner")
    for number in range(LIMIT):
        hall.ask(f"stranger {number}", f"guess {number}")
    hall.ask("partner 0", "fits")
    for number in range(1, LIMIT + 1):
        hall.ask(f"partner {number}", f"right {number}")
    assert hall.outcomes[f"guess {LIMIT - 1}"] == [PoolBusy]
    assert hall.outcomes[f"right {LIMIT}"] == [PoolBusy]
    hall.pool.release()
    assert len(hall.order) == LIMIT + 1
    assert hall.outcomes["fits"] == [False]
    assert hall.queue.queued == 0


def test_the_same_login_many_times_is_one_hash() -> None:
    """Uploaders behind one address that begin at the same moment; whoever asks from elsewhere has a hash of its own."""
    hall = Hall()
    for _ in range(50):
        hall.ask("office", "right")
    hall.ask("elsewhere", "right")
    hall.pool.release()
    assert hall.outcomes["right"] == [True] * 51
    assert hall.order == ["right", "right"]


def test_the_same_login_too_many_times() -> None:
    """There is a bound to these too."""
    hall = Hall()
    for _ in range(LOGINS + 1):
        hall.ask("office", "right")
    assert hall.outcomes["right"] == [PoolBusy]


def test_who_leaves_gives_the_place_up() -> None:
    """No hash is made for a connection that is gone."""
    hall = Hall()
    hall.ask("a", "1")
    leaving, staying = hall.ask("a", "2"), hall.ask("a", "3")
    leaving.cancel()
    assert hall.queue.queued == 1
    hall.pool.release()
    assert hall.outcomes == {"1": [False], "2": [CancelledError], "3": [False]}
    assert hall.order == ["1", "3"]
    assert staying.called


def test_one_of_two_that_ask_the_same_leaves() -> None:
    """The other gets its answer, at work or waiting."""
    hall = Hall()
    for password in ("at work", "waiting"):
        hall.ask("a", password).addErrback(lambda _: None)
        hall.ask("a", password).cancel()
    hall.pool.release()
    assert hall.outcomes == {"at work": [CancelledError, False], "waiting": [CancelledError, False]}


def test_who_leaves_while_the_hash_is_made() -> None:
    """It is made to its end, and the next follows."""
    hall = Hall()
    hall.ask("a", "1").cancel()
    hall.ask("a", "2")
    hall.pool.release()
    assert hall.order == ["1", "2"]
    assert hall.outcomes == {"1": [CancelledError], "2": [False]}


def test_a_busy_pool() -> None:
    """Its refusal is the answer, and the queue goes on."""
    hall = Hall()
    hall.pool.is_full = True
    hall.ask("a", "1")
    hall.pool.is_full = False
    hall.ask("a", "2")
    hall.pool.release()
    assert hall.outcomes == {"1": [PoolBusy], "2": [False]}


@pytest.mark.parametrize("count", [0, 5])
def test_nothing_is_kept(count: int) -> None:
    """A client without a login is forgotten."""
    hall = Hall()
    for number in range(1000):
        answer = hall.ask(f"client {number}", str(number))
        if number % 7 < count:
            answer.cancel()
        hall.pool.release()
    assert hall.queue.queued == 0
    assert not hall.queue._clients
    assert not hall.queue._turns
