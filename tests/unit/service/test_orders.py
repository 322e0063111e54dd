"""Questions and answers as lines, between two ends of a connection."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure

from ftpsd.service.orders import LONGEST, Orders, Trouble


class End:
    """One end with its transport; *answers* are what it knows."""

    def __init__(self, **answers: Any) -> None:
        self.gone: list[bool] = []
        self.orders = Orders(answers, lambda: self.gone.append(True))
        self.transport = StringTransport()
        connect: Any = self.orders.makeConnection
        connect(self.transport)
        self.receive: Any = self.orders.dataReceived

    def take(self, data: bytes) -> list[Any]:
        """Receive *data*; return what it says then."""
        self.transport.clear()
        self.receive(data)
        return [json.loads(line) for line in self.transport.value().splitlines()]

    def pass_to(self, other: End) -> None:
        """Let *other* receive what was said."""
        data = self.transport.value()
        self.transport.clear()
        other.receive(data)


def outcome(asked: Deferred[Any]) -> list[Any]:
    """Return where the answer of *asked* appears; a failure as its error."""
    found: list[Any] = []
    asked.addBoth(lambda result: found.append(result.value if isinstance(result, Failure) else result))
    return found


def exchange(question: str, arguments: dict[str, Any] | None = None, **answers: Any) -> Any:
    """Ask *question* of an end with *answers*, and return what comes back."""
    one, other = End(), End(**answers)
    found = outcome(one.orders.ask(question, **(arguments or {})))
    one.pass_to(other)
    other.pass_to(one)
    (answer,) = found
    return answer


@pytest.mark.parametrize("value", [None, True, "two\nlines", "\udcff", [1, {"a": 2.5}], "x" * 500_000], ids=repr)
def test_an_answer_comes_back(value: object) -> None:
    """Whatever JSON can say, of any length up to megabytes."""
    assert exchange("echo", {"value": value}, echo=lambda value: value) == value


def test_both_ends_may_ask() -> None:
    """A question is answered while one's own is not."""
    one, other = End(name=lambda: "one"), End(name=lambda: "other")
    first, second = outcome(one.orders.ask("name")), outcome(other.orders.ask("name"))
    one.pass_to(other)
    other.pass_to(one)
    one.pass_to(other)
    assert (first, second) == (["other"], ["one"])


def test_answers_may_come_in_any_order() -> None:
    """One that takes long keeps no other waiting."""
    slow: Deferred[str] = Deferred()
    one, other = End(), End(slow=lambda: slow, fast=lambda: "fast")
    first, second = outcome(one.orders.ask("slow")), outcome(one.orders.ask("fast"))
    one.pass_to(other)
    other.pass_to(one)
    assert (first, second) == ([], ["fast"])
    slow.callback("slow")
    other.pass_to(one)
    assert first == ["slow"]


def test_a_question_nobody_knows() -> None:
    """The answer says so."""
    assert str(exchange("nothing")) == "no such question: nothing"


def test_what_fails_is_told_and_logged() -> None:
    """The connection goes on, and the log of the end that failed has the traceback."""
    logged: list[LogEvent] = []
    observer = cast(ILogObserver, logged.append)
    globalLogPublisher.addObserver(observer)
    try:
        told = exchange("divide", {"by": 0}, divide=lambda by: 1 / by)
        strange = exchange("divide", {"into": 1}, divide=lambda by: 1 / by)
        unsaid = exchange("object", object=lambda: object())
    finally:
        globalLogPublisher.removeObserver(observer)
    assert isinstance(told, Trouble)
    assert str(told) == "ZeroDivisionError: division by zero"
    assert str(strange).startswith("TypeError: ")
    assert str(unsaid).startswith("TypeError: ")
    assert ["log_failure" in event for event in logged] == [True] * 3


def test_a_late_answer_is_forgotten() -> None:
    """The process that asked has given up, and asks again."""
    one, other = End(), End(name=lambda: "other")
    given_up = one.orders.ask("name")
    given_up.addErrback(lambda _: None)
    given_up.cancel()
    found = outcome(one.orders.ask("name"))
    one.pass_to(other)
    other.pass_to(one)
    assert found == ["other"]


def test_the_end_of_the_connection_ends_all_that_was_asked() -> None:
    """And what is asked behind it; the one who waits for the end is told."""
    one = End()
    before = outcome(one.orders.ask("name"))
    one.orders.connectionLost(Failure(ConnectionDone()))
    behind = outcome(one.orders.ask("name"))
    assert [type(error) for error in (*before, *behind)] == [ConnectionDone] * 2
    assert one.gone == [True]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"", {"trouble": "this is no JSON object"}),
        (b"kick", {"trouble": "this is no JSON object"}),
        (b"[1]", {"trouble": "this is no JSON object"}),
        (b"[" * 100_000, {"trouble": "this is no JSON object"}),
        (b"\xff", {"trouble": "this is no JSON object"}),
        (b'{"ask": ["name"], "id": 1}', {"trouble": "no such question: ['name']", "id": 1}),
        (b'{"ask": "name", "with": [1], "id": 1}', {"trouble": "arguments have names", "id": 1}),
        (b'{"ask": "name"}', {"answer": "alice", "id": None}),
        (b'{"ask": "name", "id": "mine"}\r', {"answer": "alice", "id": "mine"}),
    ],
    ids=range(9),
)
def test_lines_that_people_write(line: bytes, said: object) -> None:
    """By hand, for instance through socat."""
    assert End(name=lambda: "alice").take(line + b"\n") == [said]


@pytest.mark.parametrize("line", [b"{}", b'{"answer": 1, "id": 7}', b'{"answer": 1, "id": [7]}', b'{"id": null}'])
def test_answers_to_nothing(line: bytes) -> None:
    """Are forgotten."""
    assert End().take(line + b"\n") == []


def test_a_line_without_end_ends_the_connection() -> None:
    """Nothing is kept without a bound."""
    end = End()
    for _ in range(LONGEST // 2**20 + 1):
        end.take(b"x" * 2**20)
    assert end.transport.disconnecting


def test_who_does_not_take_the_answers_is_not_read_from() -> None:
    """Until they are taken."""
    end = End()
    end.orders.pauseProducing()
    assert end.transport.producerState == "paused"
    end.orders.resumeProducing()
    assert end.transport.producerState == "producing"
