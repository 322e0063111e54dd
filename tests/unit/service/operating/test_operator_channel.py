"""Connections to the control socket, also of programs that mean no good."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from ftpsd.audit.bus import AuditBus
from ftpsd.audit.events import Event
from ftpsd.audit.topics.operator_events import Ordered
from ftpsd.service.operating.caller import EVERYTHING, Caller, Role
from ftpsd.service.operating.operator_channel import (
    IDLE,
    LONGEST_QUESTION,
    MOST_CONNECTIONS,
    MOST_OF_ONE_USER,
    REFUSALS_APART,
    Desk,
    OperatorChannel,
)
from ftpsd.service.operating.question import Question
from ftpsd.service.orders import Trouble

ROLES = {0: EVERYTHING, 1000: frozenset({Role.VIEWER}), 2000: frozenset[Role]()}


class FakeCallers:
    """Users by number, as `Callers` has them; one that is `slow` is found out when the test says so."""

    def __init__(self) -> None:
        self.slow: Deferred[Caller] | None = None

    def identify(self, uid: int) -> Deferred[Caller]:
        return self.slow or succeed(Caller(uid, f"user{uid}", ROLES.get(uid, frozenset())))

    def why_not(self, caller: Caller, role: Role, question: str) -> str:
        return f"{question} is not for {caller.name}"

    def stop(self) -> None:
        """Nothing runs."""


class Turns(Clock):
    """A clock with the reactor's turns: a call without delay comes in the next one, not in this."""

    def __init__(self) -> None:
        super().__init__()
        self._next: list[Any] = []

    def callLater(self, delay: float, callable: Any, *args: object, **kw: object) -> Any:
        if delay:
            return super().callLater(delay, callable, *args, **kw)
        self._next.append(callable)
        return None

    def advance(self, amount: float) -> None:
        calls, self._next = self._next, []
        for call in calls:
            call()
        super().advance(amount)


class Ground:
    """A desk with some questions, its clock, and what it has published."""

    def __init__(self) -> None:
        self.clock: Any = Turns()
        self.asked: list[str] = []
        self.later: list[Deferred[object]] = []
        self.callers = cast(Any, FakeCallers())
        self.published: list[Event] = []
        bus = AuditBus()
        bus.subscribe(lambda event, seconds: self.published.append(event))
        questions = {
            "look": Question(Role.VIEWER, self._look),
            "wait": Question(Role.VIEWER, self._wait),
            "long": Question(Role.VIEWER, lambda: "x" * 100_000),
            "fail": Question(Role.VIEWER, self._fail),
            "end": Question(Role.OPERATOR, lambda user=None: f"ended {user}"),
            "decline": Question(Role.OPERATOR, self._decline),
            "decide": Question(Role.OPERATOR, self._wait),
            "break": Question(Role.OPERATOR, self._fail),
        }
        self.desk = Desk(questions, self.callers, bus, self.clock, lambda transport: transport.uid)

    def _look(self) -> int:
        self.asked.append("look")
        return len(self.asked)

    def _wait(self) -> Deferred[object]:
        self.asked.append("wait")
        self.later.append(Deferred())
        return self.later[-1]

    def _decline(self, place: str) -> None:
        raise Trouble(f"{place} is everybody")

    def _fail(self) -> None:
        raise ZeroDivisionError("secret")

    def connect(self, uid: int = 1000) -> Peer:
        return Peer(self, uid)

    @property
    def orders(self) -> list[tuple[object, ...]]:
        return [
            (each.uid, each.account, each.order, each.argument, each.result, each.reason)
            for each in self.published
            if isinstance(each, Ordered)
        ]


class Transport(StringTransport):
    """A transport that counts what its peer has not read, and pauses the producer as Twisted's does."""

    uid = 0
    is_aborted = False
    never_reads = False

    def write(self, data: bytes) -> None:
        super().write(data)  # type: ignore[no-untyped-call]
        written: bytes = self.value()  # type: ignore[no-untyped-call]
        if self.never_reads and len(written) > 65_536 and self.producer is not None:
            self.producer.pauseProducing()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def abortConnection(self) -> None:
        self.is_aborted = True
        super().abortConnection()  # type: ignore[no-untyped-call]


class Peer:
    """A program at the other end."""

    def __init__(self, ground: Ground, uid: int) -> None:
        self.ground = ground
        self.transport: Any = Transport()  # type: ignore[no-untyped-call]
        self.transport.uid = uid
        self.channel: OperatorChannel = ground.desk.buildProtocol(None)
        connect: Any = self.channel.makeConnection
        connect(self.transport)

    def say(self, data: bytes) -> list[Any]:
        """Send *data*, which is taken as far as the channel reads; return what it answers."""
        self.transport.clear()
        self.channel.dataReceived(data)
        self.ground.clock.advance(0)
        return self.heard

    def ask(self, question: str, **arguments: object) -> Any:
        return self.say(json.dumps({"ask": question, "with": arguments, "id": 1}).encode() + b"\n")[0]

    @property
    def heard(self) -> list[Any]:
        return [json.loads(line) for line in self.transport.value().splitlines()]

    @property
    def is_read(self) -> bool:
        return bool(self.transport.producerState == "producing")

    def leave(self) -> None:
        self.channel.connectionLost(Failure(ConnectionDone()))


def test_roles_decide_and_the_log_has_the_orders() -> None:
    """A viewer looks; an order is refused with the reason, and logged; one of root's is logged and done."""
    ground = Ground()
    viewer, root, stranger = ground.connect(), ground.connect(0), ground.connect(2000)
    assert viewer.ask("look") == {"answer": 1, "id": 1}
    assert ground.orders == []
    assert viewer.ask("end", user="alice") == {"trouble": "end is not for user1000", "id": 1}
    assert stranger.ask("look") == {"trouble": "look is not for user2000", "id": 1}
    assert root.ask("end", user="alice") == {"answer": "ended alice", "id": 1}
    assert ground.orders == [
        (1000, "user1000", "end", "user=alice", "refused", "end is not for user1000"),
        (2000, "user2000", "look", None, "refused", "look is not for user2000"),
        (0, "user0", "end", "user=alice", "accepted", None),
    ]


def test_the_log_has_what_became_of_an_order() -> None:
    """Of one that is declined, at once or later, or does not fit, the reason; no text of an exception."""
    ground = Ground()
    root = ground.connect(0)
    assert root.ask("decline", place="0.0.0.0/0") == {"trouble": "0.0.0.0/0 is everybody", "id": 1}
    root.ask("decline")
    root.ask("break")
    root.say(b'{"ask": "decide", "id": 1}\n' * 2)
    assert len(ground.orders) == 3
    ground.later[0].errback(Trouble("it is too late"))
    ground.clock.advance(0)
    ground.later[1].callback(None)
    assert [(order, result, reason) for _, _, order, _, result, reason in ground.orders] == [
        ("decline", "refused", "0.0.0.0/0 is everybody"),
        ("decline", "refused", "the arguments do not fit: missing a required argument: 'place'"),
        ("break", "refused", "internal error"),
        ("decide", "refused", "it is too late"),
        ("decide", "accepted", None),
    ]


def test_refusals_do_not_fill_the_log() -> None:
    """One a minute for each user."""
    ground = Ground()
    peer = ground.connect()
    for _ in range(100):
        peer.ask("end")
    assert len(ground.orders) == 1
    ground.clock.advance(REFUSALS_APART - 1)
    peer.ask("end")
    ground.clock.advance(1)
    peer.ask("end")
    assert len(ground.orders) == 2


@pytest.mark.parametrize(
    ("line", "trouble"),
    [
        (b"[1]", "this is no JSON object"),
        (b"[" * 60_000, "this is no JSON object"),
        (b'{"ask": "nothing", "id": 1}', "no such question: nothing"),
        (b'{"ask": {"a": 1}, "id": 1}', "no such question: {'a': 1}"),
        (b'{"ask": "end", "with": [], "id": 1}', "arguments have names"),
        (b'{"ask": "end", "with": {"user": 1}, "id": 1}', "user is no text of at most 1024 characters"),
        (b'{"ask": "end", "with": {"name": "x"}, "id": 1}', "the arguments do not fit: "),
        (b'{"ask": "fail", "id": 1}', "internal error; see the server's log"),
        (b"{}", "a question is {"),
        (b'{"answer": 1, "id": 1}', "a question is {"),
        (b'{"ask": "look", "id": NaN}', "this is no JSON object"),
        (b'{"ask": "look", "id": -Infinity}', "this is no JSON object"),
        (b'{"ask": "look", "id": 1e999}', "this is no JSON object"),
        (b'{"ask": "look", "id": ' + b"[" * 900 + b"]" * 900 + b"}", "an id is a number or a text"),
    ],
    ids=range(14),
)
def test_what_cannot_be_answered(line: bytes, trouble: str) -> None:
    """The connection goes on, and no text of an exception is told."""
    peer = Ground().connect(0)
    (said,) = peer.say(line + b"\n")
    assert said["trouble"].startswith(trouble)
    assert peer.ask("look")["answer"] == 1


def test_nothing_is_read_before_the_user_is_known() -> None:
    """A question that comes meanwhile is answered then."""
    ground = Ground()
    ground.callers.slow = Deferred()
    peer = ground.connect()
    assert not peer.is_read
    assert peer.say(b'{"ask": "look", "id": 1}\n') == []
    ground.callers.slow.callback(Caller(1000, "bob", EVERYTHING))
    assert peer.heard == [{"answer": 1, "id": 1}]
    assert peer.is_read


def test_a_user_who_cannot_be_found_out() -> None:
    """Is told why, and nothing else."""
    ground = Ground()
    ground.callers.slow = Deferred()
    peer = ground.connect()
    ground.callers.slow.errback(Trouble("the groups cannot be looked up"))
    assert peer.heard == [{"trouble": "the groups cannot be looked up", "id": None}]
    assert peer.transport.disconnecting


def test_a_line_without_end() -> None:
    """The connection ends as soon as it is too long, and keeps nothing of it."""
    peer = Ground().connect(0)
    for _ in range(LONGEST_QUESTION // 1024):
        assert peer.say(b"x" * 1024) == []
    assert peer.say(b"x") == [{"trouble": "a line has at most 65536 bytes", "id": None}]
    assert peer.transport.disconnecting


def test_one_question_is_under_way() -> None:
    """The others wait in a buffer with a bound; beyond it nothing more is read."""
    ground = Ground()
    peer = ground.connect()
    line = b'{"ask": "wait", "id": 1}\n'
    peer.say(line * (LONGEST_QUESTION // len(line) + 2))
    assert ground.asked == ["wait"]
    assert not peer.is_read
    for number in range(3):
        ground.later[number].callback(number)
        ground.clock.advance(0)
    assert ground.asked == ["wait"] * 4


def test_a_flood_of_questions_does_not_keep_the_reactor() -> None:
    """Each has a turn of its own."""
    ground = Ground()
    peer = ground.connect()
    peer.channel.dataReceived(b'{"ask": "look", "id": 1}\n' * 1000)
    assert len(ground.asked) == 1
    ground.clock.advance(0)
    assert len(ground.asked) == 2


def test_a_peer_that_does_not_read() -> None:
    """Gets no other answer, is not read from, and is cut when it goes on like that."""
    ground = Ground()
    peer = ground.connect()
    peer.transport.never_reads = True
    peer.say(b'{"ask": "long", "id": 1}\n' * 100)
    for _ in range(100):
        ground.clock.advance(0)
    assert len(peer.heard) == 1
    assert not peer.is_read
    ground.clock.advance(IDLE)
    assert peer.transport.is_aborted


def test_a_peer_that_reads_again() -> None:
    """Gets the answers that wait."""
    ground = Ground()
    peer = ground.connect()
    peer.transport.never_reads = True
    peer.say(b'{"ask": "long", "id": 1}\n' * 2)
    peer.transport.never_reads = False
    peer.channel.resumeProducing()
    ground.clock.advance(0)
    assert len(peer.heard) == 2
    assert peer.is_read


def test_half_a_line_and_silence() -> None:
    """End after a while; a question that takes long does not."""
    ground = Ground()
    half, waiting = ground.connect(), ground.connect()
    ground.clock.advance(IDLE / 2)
    half.say(b'{"ask": ')
    waiting.say(b'{"ask": "wait", "id": 1}\n')
    ground.clock.advance(IDLE / 2)
    assert half.transport.disconnecting
    ground.clock.advance(10 * IDLE)
    assert not waiting.transport.disconnecting
    ground.later[0].callback(None)
    ground.clock.advance(0)
    ground.clock.advance(IDLE)
    assert waiting.transport.disconnecting


def test_connections_are_counted() -> None:
    """For each user and for all together; root is let in besides, and a place that was left can be taken."""
    ground = Ground()
    full = [{"trouble": "too many connections to the control socket; try again in a moment", "id": None}]
    users = MOST_CONNECTIONS // MOST_OF_ONE_USER
    peers = [ground.connect(1000 + number // MOST_OF_ONE_USER) for number in range(MOST_CONNECTIONS)]
    assert [peer.heard for peer in peers] == [[]] * MOST_CONNECTIONS
    assert ground.connect(1000 + users).heard == full
    root = [ground.connect(0) for _ in range(MOST_OF_ONE_USER)]
    assert root[-1].ask("look")["answer"] == 1
    assert ground.connect(0).heard == full
    peers[0].leave()
    assert ground.connect(1000 + users).heard == []
    refused = ground.connect(1001)
    assert refused.heard == full
    refused.leave()
    assert ground.connect(1001).heard == full


def test_the_end_of_the_desk_ends_every_connection() -> None:
    """Answers that were said go out first; answers that come behind them are said to nobody."""
    ground = Ground()
    peer = ground.connect()
    peer.say(b'{"ask": "wait", "id": 1}\n')
    ground.desk.close()
    assert peer.transport.disconnecting
    peer.leave()
    ground.later[0].callback("late")
    ground.clock.advance(IDLE)
    assert peer.heard == []
    assert ground.clock.getDelayedCalls() == []
