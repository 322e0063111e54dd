"""
Users of this machine, asked of the helper ftpsd-pam, which asks PAM as root (`ftpsd/pam/helper.py`).

PAM gives away nothing but a yes or a no, and the groups of a user. The home is made from the name, and files in it
belong to the daemon's account, as those of all users.
"""

from __future__ import annotations

import json
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from ftpsd.auth.credentials import Login, LoginDenied, Refusal
from ftpsd.auth.sources.groups import Groups
from ftpsd.auth.sources.remote import Found, Nonsense, Server, Silence
from ftpsd.config.people.user_records import UserRecord
from ftpsd.config.sources.source_sections import PAM
from ftpsd.pam.protocol import MOST_ANSWERED, Answer

_REFUSALS: Final = {
    Answer.EXPIRED: Refusal.EXPIRED,
    Answer.PASSWORD_EXPIRED: Refusal.PASSWORD_EXPIRED,
    Answer.LOCKED: Refusal.LOCKED,
    Answer.DENIED: Refusal.DISABLED,
}


class PAMSource:
    """The users of PAM, as *section* describes them."""

    name = "pam"

    def __init__(self, section: PAM, reactor: Any) -> None:
        self._section = section
        self._groups = Groups.of(section)
        self._server = Server(self.name, str(section.socket), reactor, section.timeout)
        self._reactor = reactor

    def find(self, name: str, host: str) -> Deferred[Found | None]:
        """Ask whether there is such a user who may log in."""

        async def ask() -> Found | None:
            said, groups = await self._put({"ask": "account", "user": name})
            if said is Answer.UNKNOWN:
                return None
            _refuse(said)
            return Found(self._groups.describe(name, groups))

        return self._server.ask(ask)

    def verify(self, user: UserRecord, login: Login, password: str, host: str) -> Deferred[bool]:
        """Ask whether the password is right."""
        question = {"ask": "password", "user": user.name, "password": password, "address": login.peer}

        async def ask() -> bool:
            said, _ = await self._put(question)
            if said in (Answer.WRONG, Answer.UNKNOWN):
                return False
            _refuse(said)
            return True

        return self._server.ask(ask)

    async def _put(self, question: dict[str, str]) -> tuple[Answer, list[str]]:
        """Return what the helper says, and the groups of the user."""
        endpoint = UNIXClientEndpoint(self._reactor, str(self._section.socket), self._section.timeout)
        line: Any = None
        try:
            line = await endpoint.connect(Factory.forProtocol(_Line))
            line.transport.write(json.dumps(question).encode("ascii") + b"\n")
            data: bytes = await line.whole
        except ConnectError as error:
            raise Silence(f"cannot be connected to ({error}); is ftpsd-pam running?") from None
        finally:
            if line is not None:
                line.transport.abortConnection()
        try:
            answer = json.loads(data)
            said, groups = Answer(answer["answer"]), [str(group) for group in answer["groups"]]
        except (ValueError, KeyError, TypeError):
            raise Nonsense("its answer is not one") from None
        if said is Answer.UNAVAILABLE:
            raise Nonsense("PAM cannot tell; the reason is in the journal of this machine")
        return said, groups


def _refuse(said: Answer) -> None:
    if said is not Answer.YES:
        raise LoginDenied(_REFUSALS.get(said, Refusal.DISABLED))


class _Line(Protocol):
    """A connection that brings one line, which *whole* is."""

    def __init__(self) -> None:
        self.whole: Deferred[bytes] = Deferred()
        self._data = b""

    def dataReceived(self, data: bytes) -> None:
        """Take up to a line."""
        self._data += data
        if self.whole.called:
            return
        if b"\n" in self._data:
            self.whole.callback(self._data.partition(b"\n")[0])
        elif len(self._data) > MOST_ANSWERED:
            self.whole.errback(Failure(Nonsense("its answer is too long")))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Say that there was no answer: the helper's child has ended without one, or is not for us."""
        if not self.whole.called:
            self.whole.errback(Failure(Silence("closed the connection without an answer")))
