r"""
Orders: questions to a running server and their answers, one JSON object a line.

    {"ask": "kick", "with": {"session": "3f..."}, "id": 7}
    {"answer": true, "id": 7}          or    {"trouble": "TypeError: ...", "id": 7}

Either end may ask; answers may come in any order, and `id`, of any type, comes back with its answer. The supervisor and
its processes speak it over socket pairs (processes/). Nothing here checks the other end: any program that can reach
this one may ask everything that it answers. The control socket, which strangers reach, adds who may ask what, and
bounds (operating/operator_channel.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IPushProducer
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

# Bytes. A report of a process, with all of its metrics, takes about 100 KB; a longer line ends the connection.
LONGEST = 16 * 1024 * 1024

log = Logger()

# The functions behind the questions: arguments come by name; the answer, or its Deferred, is a value that JSON has.
Answers = Mapping[str, Callable[..., object]]


class Trouble(Exception):
    """A question that the other end could not answer, and why."""


@implementer(IPushProducer)
class Orders(LineOnlyReceiver):
    """One end of a connection: it asks, and answers out of *answers*; *gone* is called when the other end is gone."""

    delimiter = b"\n"
    MAX_LENGTH = LONGEST

    def __init__(self, answers: Answers, gone: Callable[[], object] = lambda: None) -> None:
        self._answers = answers
        self._gone = gone
        self._numbers = count(1)
        self._asked: dict[int, Deferred[Any]] = {}

    def ask(self, question: str, **arguments: object) -> Deferred[Any]:
        """
        Ask, and return the answer; a Deferred that is cancelled waits no longer.

        Fails with Trouble, or as the connection ended.
        """
        if not self.connected:
            return fail(ConnectionDone())
        number = next(self._numbers)

        def forget(_: object) -> None:
            self._asked.pop(number, None)

        answer: Deferred[Any] = Deferred(forget)
        self._asked[number] = answer
        self._say({"ask": question, "with": arguments, "id": number})
        return answer

    def connectionMade(self) -> None:
        """Register to be paused while the other end does not take its answers."""
        self._wire.registerProducer(self, True)

    def pauseProducing(self) -> None:
        """Take no more questions: the other end does not take the answers (IPushProducer)."""
        self._wire.pauseProducing()

    def resumeProducing(self) -> None:
        """Go on (IPushProducer)."""
        self._wire.resumeProducing()

    def stopProducing(self) -> None:
        """Nothing to stop; `connectionLost` follows (IPushProducer)."""

    @property
    def _wire(self) -> Any:
        return self.transport

    def lineReceived(self, line: bytes) -> None:
        """Take a question, or an answer."""
        try:
            told = self._parsed(line)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            self._say({"trouble": "this is no JSON object"})
        elif "ask" in told:
            self._answer(told["ask"], told.get("with", {}), told.get("id"))
        else:
            self._answered(told)

    def _parsed(self, line: bytes) -> object:
        """Return the value of *line*. Raises: ValueError, RecursionError."""
        return json.loads(line)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Notice that the other end is gone."""
        self.connected = 0  # Twisted leaves it as it was
        asked, self._asked = self._asked, {}
        for answer in asked.values():
            answer.errback(reason)
        self._gone()

    def _answer(self, question: object, arguments: object, identity: object) -> None:
        """Answer *question*, now or when it has been done."""

        def answered(answer: object) -> None:
            self._say({"answer": answer, "id": identity})

        def failed(failure: Failure) -> None:
            if not failure.check(Trouble):
                log.failure("the question {question} failed", failure, question=question)
            self._say({"trouble": _sentence(failure), "id": identity})

        maybeDeferred(self._call, question, arguments).addCallback(answered).addErrback(failed)

    def _call(self, question: object, arguments: object) -> object:
        function = self._answers.get(question) if isinstance(question, str) else None
        if function is None:
            raise Trouble(f"no such question: {question}")
        if not isinstance(arguments, dict):
            raise Trouble("arguments have names")
        return function(**arguments)

    def _answered(self, told: dict[str, Any]) -> None:
        # An answer that no caller waits for came too late.
        identity = told.get("id")
        answer = self._asked.pop(identity, None) if isinstance(identity, int) else None
        if answer is None:
            return
        if "trouble" in told:
            answer.errback(Trouble(told["trouble"]))
        else:
            answer.callback(told.get("answer"))

    def _say(self, value: object) -> None:
        # ASCII: no line end is in it, and any text of ours, also with undecodable bytes.
        data = json.dumps(value, separators=(",", ":")).encode()
        if self.connected:
            self.sendLine(data)  # type: ignore[no-untyped-call]


class OneConnection(Factory):
    """The maker of a given connection's *protocol*."""

    noisy = False

    def __init__(self, protocol: Orders) -> None:
        self._protocol = protocol

    def buildProtocol(self, address: IAddress | None) -> Orders:
        """Return the one protocol."""
        return self._protocol


def _sentence(failure: Failure) -> str:
    text = failure.getErrorMessage()
    return text if failure.check(Trouble) else f"{failure.value.__class__.__name__}: {text}"
