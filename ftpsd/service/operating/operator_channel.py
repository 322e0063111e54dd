"""
Connections to the control socket: questions and answers as in service/orders.py, from programs that may be hostile.

* The kernel says which user a program belongs to. Nothing of a connection is read before its roles are known.
* One question of a connection is under way, the others wait in its buffer. When that is full nothing more is read; a
  line that does not fit into it ends the connection. While the answer has not been taken, no other one is begun.
* Connections are counted, all together and for each user; root is counted apart, so that others cannot keep it out.
* A connection without a question for `IDLE` seconds is closed, and one that has not taken its answer by then is cut.
* Every order with what became of it, and every refusal of a user's in `REFUSALS_APART` seconds, is in the audit log.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from math import isfinite
from typing import Any, NoReturn

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd.audit.bus import AuditBus
from ftpsd.audit.events import DAEMON
from ftpsd.audit.topics.operator_events import Ordered
from ftpsd.service.operating.caller import ROOT, Caller, Callers, Role, peer_uid
from ftpsd.service.operating.question import Questions
from ftpsd.service.orders import Orders, Trouble

# Bytes of a line, which is also what a connection keeps; a question has a hundred.
LONGEST_QUESTION = 64 * 1024
# Seconds.
IDLE = 60.0
REFUSALS_APART = 60.0
# Connections of all users but root, those of one user, and those of root.
MOST_CONNECTIONS = 32
MOST_OF_ONE_USER = 8

log = Logger()


class OperatorChannel(Orders):
    """One connection to the control socket, of the *callers* who ask the *desk*."""

    def __init__(self, desk: Desk) -> None:
        super().__init__({})
        self._desk = desk
        self._caller: Caller | None = None
        self._uid: int | None = None
        self._waiting = b""
        self._is_answering = False
        self._can_write = True
        self._timer: IDelayedCall | None = None

    # --- the connection

    def connectionMade(self) -> None:
        """Find out who is there; read nothing before that is known."""
        super().connectionMade()
        uid = self._desk.whose(self._wire)
        self._restart_timer()
        if not self._desk.admit(uid):
            self._refuse("too many connections to the control socket; try again in a moment")
            return
        self._uid = uid
        self._wire.pauseProducing()
        self._desk.callers.identify(uid).addCallbacks(self._identified, self._not_identified)

    def _identified(self, caller: Caller) -> None:
        self._caller = caller
        self._next()

    def _not_identified(self, failure: Failure) -> None:
        if not failure.check(Trouble):
            log.failure("a caller of the control socket cannot be identified", failure)
        self._refuse(failure.getErrorMessage() if failure.check(Trouble) else "internal error; see the server's log")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Give the place back."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._desk.has_left(self, self._uid)
        self._waiting = b""
        super().connectionLost(reason)

    def close(self) -> None:
        """Close the connection when what was said has been taken."""
        if self.connected:
            self._wire.loseConnection()

    def _refuse(self, sentence: str) -> None:
        self._say({"trouble": sentence, "id": None})
        self._wire.loseConnection()

    # --- what comes

    def dataReceived(self, data: bytes) -> None:
        """Keep *data*, and answer what has come whole."""
        self._waiting += data
        self._next()

    def _next(self) -> None:
        """Answer the questions in the buffer, one after the other."""
        while self._caller is not None and not self._is_answering and self._can_write and not self._wire.disconnecting:
            line, found, rest = self._waiting.partition(b"\n")
            if len(line) > LONGEST_QUESTION:
                self._waiting = b""
                self._refuse(f"a line has at most {LONGEST_QUESTION} bytes")
                return
            if not found:
                break
            self._waiting = rest
            self._restart_timer()
            self.lineReceived(line)
        if self.connected and not self._wire.disconnecting:
            if len(self._waiting) <= LONGEST_QUESTION and self._caller is not None and self._can_write:
                self._wire.resumeProducing()
            else:
                self._wire.pauseProducing()

    def _parsed(self, line: bytes) -> object:
        """Return the value of *line*, of numbers that JSON has alone: they come back with the answer."""
        return json.loads(line, parse_constant=_no_number, parse_float=_number)

    def _answered(self, told: dict[str, Any]) -> None:
        """Say that an object without a question is none; nobody is asked from here."""
        self._say({"trouble": 'a question is {"ask": NAME, "with": {...}, "id": 1}', "id": None})

    def _answer(self, question: object, arguments: object, identity: object) -> None:
        """Answer *question*; the next one waits for that."""
        if not isinstance(identity, str | int | float | None):
            # One that is nested deeply might be read, and not be written.
            self._say({"trouble": "an id is a number or a text", "id": None})
            return
        self._is_answering = True
        self._stop_timer()

        def over(answer: object) -> None:
            self._say({"answer": answer, "id": identity})

        def failed(failure: Failure) -> None:
            sentence = failure.getErrorMessage()
            if not failure.check(Trouble):
                log.failure("the question {question} failed", failure, question=question)
                sentence = "internal error; see the server's log"
            self._say({"trouble": sentence, "id": identity})

        def next_one(_: object) -> None:
            # In a turn of its own: a thousand questions in one segment do not keep the reactor.
            self._desk.reactor.callLater(0, self._was_answered)

        maybeDeferred(self._call, question, arguments).addCallback(over).addErrback(failed).addCallback(next_one)

    def _was_answered(self) -> None:
        self._is_answering = False
        if self.connected:
            self._restart_timer()
            self._next()

    def _call(self, question: object, arguments: object) -> object:
        assert self._caller is not None
        return self._desk.ask(self._caller, question, arguments)

    # --- what goes

    def pauseProducing(self) -> None:
        """Begin no other question: the other end does not take the answer (IPushProducer)."""
        self._can_write = False
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """Go on (IPushProducer)."""
        self._can_write = True
        self._restart_timer()
        self._next()

    # --- time

    def _restart_timer(self) -> None:
        self._stop_timer()
        self._timer = self._desk.reactor.callLater(IDLE, self._is_idle)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _is_idle(self) -> None:
        if self._can_write:
            self._wire.loseConnection()
        else:
            self._wire.abortConnection()


class Desk(Factory):
    """
    The maker of the connections, and what they share: *questions*, *callers* and the audit *bus*.

    *whose* returns the user at the other end of a transport.
    """

    noisy = False

    def __init__(
        self,
        questions: Questions,
        callers: Callers,
        bus: AuditBus,
        reactor: Any,
        whose: Callable[[Any], int] = lambda transport: peer_uid(transport.getHandle()),
    ) -> None:
        self.callers = callers
        self.reactor = reactor
        self.whose = whose
        self._questions = questions
        self._bus = bus
        self._channels: set[OperatorChannel] = set()
        self._connections: Counter[int] = Counter()
        self._refused: dict[int, float] = {}

    def buildProtocol(self, address: IAddress | None) -> OperatorChannel:
        """Return the end of one more connection."""
        channel = OperatorChannel(self)
        self._channels.add(channel)
        return channel

    def admit(self, uid: int) -> bool:
        """Count a connection of *uid*, and return True, unless there are too many."""
        others = self._connections.total() - self._connections[ROOT]
        is_full = uid != ROOT and others >= MOST_CONNECTIONS
        if is_full or self._connections[uid] >= MOST_OF_ONE_USER:
            return False
        self._connections[uid] += 1
        return True

    def has_left(self, channel: OperatorChannel, uid: int | None) -> None:
        """Forget *channel*, which was counted for *uid*, if it was."""
        self._channels.discard(channel)
        if uid is not None:
            self._connections[uid] -= 1
            if not self._connections[uid]:
                del self._connections[uid]

    def close(self) -> None:
        """Close every connection."""
        for channel in list(self._channels):
            channel.close()
        self.callers.stop()

    def ask(self, caller: Caller, name: object, arguments: object) -> object:
        """Answer the question *name* of *caller*. Raises: Trouble."""
        question = self._questions.get(name) if isinstance(name, str) else None
        if question is None:
            raise Trouble(f"no such question: {name!s:.80}")
        assert isinstance(name, str)
        told = _told(arguments)
        if question.role not in caller.roles:
            why = self.callers.why_not(caller, question.role, name)
            self._note_refusal(caller, name, told, why)
            raise Trouble(why)
        if question.role is not Role.OPERATOR:
            return question.ask(arguments, caller.name)

        def accepted(answer: object) -> object:
            self._bus.publish(Ordered(DAEMON, caller.uid, caller.name, name, told, "accepted"))
            return answer

        def refused(failure: Failure) -> Failure:
            why = failure.getErrorMessage() if failure.check(Trouble) else "internal error"
            self._bus.publish(Ordered(DAEMON, caller.uid, caller.name, name, told, "refused", why))
            return failure

        asked: Deferred[object] = maybeDeferred(question.ask, arguments, caller.name)
        return asked.addCallbacks(accepted, refused)

    def _note_refusal(self, caller: Caller, name: str, told: str | None, why: str) -> None:
        """Log the refusal, unless one of the same user's was logged a moment ago."""
        now = self.reactor.seconds()
        self._refused = {uid: said for uid, said in self._refused.items() if now - said < REFUSALS_APART}
        if caller.uid not in self._refused:
            self._refused[caller.uid] = now
            self._bus.publish(Ordered(DAEMON, caller.uid, caller.name, name, told, "refused", why))


def _number(text: str) -> float:
    number = float(text)
    return number if isfinite(number) else _no_number(text)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"JSON has no number {text:.20}")


def _told(arguments: object) -> str | None:
    """Return *arguments* for the audit log, where there are any."""
    if not isinstance(arguments, dict):
        return None
    return " ".join(f"{name}={value}" for name, value in arguments.items() if value is not None) or None
