"""
The queue in front of the password hashes, and in front of each remote source of users: clients take turns in it,
however many logins each of them sends. All that is said of hashes here is true of questions to a source, too.

* For each client (`client_of` its address) one hash is at work or next; its further logins wait behind that, in order.
* Clients take turns: a login waits for at most one hash of every other client, not for all that others have sent.
* Clients that are known for a good login of late (`is_known`) have their turns before the others, but for one turn in
  `KNOWN_IN_A_ROW + 1`: a flood from very many addresses keeps no partner waiting, nor partners a new one for ever.
* A client that asks the same several times at the same moment is answered with one hash: uploaders behind one address
  that log in for every file. Right and wrong, known and unknown names are alike, so that it discloses nothing.
* At most `PER_CLIENT` hashes of one client wait, for at most `LOGINS` logins; one more is refused, also when no other
  client is there.
* At most `LIMIT` hashes wait in all. At that bound the client with the most of them loses its newest to a client with
  fewer, so that only as many clients as the queue has places can close it to another; to a known client, the stranger
  whose turn comes last loses its newest.

Reactor thread only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from ftpsd.workers import PoolBusy, Workers

# A hash takes 0.1 s: the last of so many waits for 20 s at worst.
LIMIT: Final = 200
# 32 uploaders with an account each behind one address, and far from all of the queue.
PER_CLIENT: Final = 32
LOGINS: Final = 200
KNOWN_IN_A_ROW: Final = 3

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class _Question:
    key: Hashable
    ask: Callable[[], Deferred[Any]]
    answers: list[Deferred[Any]] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class _Client:
    """The questions of one client: one at work, the others in their order."""

    name: str
    waiting: deque[_Question] = field(default_factory=deque)
    at_work: _Question | None = None

    @property
    def questions(self) -> Iterator[_Question]:
        """Every question, in order."""
        if self.at_work is not None:
            yield self.at_work
        yield from self.waiting


class Turns:
    """A queue that has *at_once* questions asked at a time, so that those behind them can still take turns."""

    def __init__(self, at_once: int = 1, limit: int = LIMIT, per_client: int = PER_CLIENT) -> None:
        self.queued = 0
        """The number of waiting questions."""
        self._at_once = at_once
        self._limit = limit
        self._per_client = per_client
        self._at_work = 0
        self._clients: dict[str, _Client] = {}
        self.is_known: Callable[[str], bool] = lambda _: False
        # Clients with a waiting question and none at work, in the order of their turns: known ones, and others.
        self._known_turns: deque[_Client] = deque()
        self._turns: deque[_Client] = deque()
        self._in_a_row = 0

    def take(self, client: str, key: Hashable, begin: Callable[[], Deferred[T]]) -> Deferred[T]:
        """
        Call *begin* when it is the turn of *client*; questions of equal *key* are the same.

        Fails with `PoolBusy` when there is no place. A cancelled call gives its place up.
        """
        own = self._clients.get(client) or _Client(client)
        question = _same(own, key)
        if question is None:
            if len(own.waiting) >= self._per_client or (self.queued >= self._limit and not self._make_room(own)):
                return fail(PoolBusy())
            question = _Question(key, begin)
            self._clients[client] = own
            if own.at_work is None and not own.waiting:
                self._turns_of(own).append(own)
            own.waiting.append(question)
            self.queued += 1
        elif sum(len(each.answers) for each in own.questions) >= LOGINS:
            return fail(PoolBusy())
        asked = question
        answer: Deferred[T] = Deferred(lambda cancelled: self._give_up(own, asked, cancelled))
        question.answers.append(answer)
        self._go_on()
        return answer

    def _go_on(self) -> None:
        """Begin with as many questions as may be at work."""
        while (self._turns or self._known_turns) and self._at_work < self._at_once:
            client = self._next_client()
            question = client.at_work = client.waiting.popleft()
            self.queued -= 1
            self._at_work += 1
            question.ask().addBoth(self._answered, client, question)

    def _turns_of(self, client: _Client) -> deque[_Client]:
        return self._known_turns if self.is_known(client.name) else self._turns

    def _next_client(self) -> _Client:
        if self._known_turns and (not self._turns or self._in_a_row < KNOWN_IN_A_ROW):
            self._in_a_row += 1
            return self._known_turns.popleft()
        self._in_a_row = 0
        return self._turns.popleft()

    def _answered(self, result: object, client: _Client, question: _Question) -> None:
        self._at_work -= 1
        client.at_work = None
        if client.waiting:
            self._turns_of(client).append(client)
        self._forget_idle(client)
        _answer(question, result)
        self._go_on()

    def _give_up(self, client: _Client, question: _Question, answer: Deferred[Any]) -> None:
        """Take *answer* back, and the question without a caller; a hash that has begun is made to its end."""
        question.answers.remove(answer)
        if not question.answers and question in client.waiting:
            client.waiting.remove(question)
            self._one_less(client)

    def _make_room(self, own: _Client) -> bool:
        """Refuse the newest question of the client with the most; False when *own* would then have no fewer."""
        busiest = max(self._clients.values(), key=lambda client: len(client.waiting))
        if len(busiest.waiting) <= len(own.waiting) + 1:
            last = next((client for client in reversed(self._turns) if client is not own), None)
            if last is None or not self.is_known(own.name):
                return False
            busiest = last
        question = busiest.waiting.pop()
        self._one_less(busiest)
        _answer(question, Failure(PoolBusy()))
        return True

    def _one_less(self, client: _Client) -> None:
        self.queued -= 1
        if not client.waiting and client.at_work is None:
            (self._known_turns if client in self._known_turns else self._turns).remove(client)
        self._forget_idle(client)

    def _forget_idle(self, client: _Client) -> None:
        if not client.waiting and client.at_work is None:
            self._clients.pop(client.name, None)


class LoginQueue(Turns):
    """Turns that let *at_once* hashes into *pool* at a time."""

    def __init__(self, pool: Workers, at_once: int = 1, limit: int = LIMIT, per_client: int = PER_CLIENT) -> None:
        super().__init__(at_once, limit, per_client)
        self._pool = pool

    def ask(
        self,
        client: str,
        key: Hashable,
        verify: Callable[[str, str | None], bool],
        password: str,
        stored: str | None,
    ) -> Deferred[bool]:
        """Call *verify* in the pool when it is the turn of *client*; see `take`."""
        return self.take(client, key, lambda: self._pool.run(verify, password, stored))


def _same(client: _Client, key: Hashable) -> _Question | None:
    """Return the question of *client* that is the same."""
    return next((question for question in client.questions if question.key == key), None)


def _answer(question: _Question, result: object) -> None:
    # An answered question may end others, which leave the list then.
    while question.answers:
        question.answers.pop(0).callback(result)
