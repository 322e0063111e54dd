"""
The questions that the control socket answers, and the role that each needs.

A server, of one process or of several, is an `Operated`. Its answers are values that JSON has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from ftpsd.service.operating.caller import Role
from ftpsd.service.orders import Trouble

# Characters of an argument; names of users, hosts and sessions are shorter, and so are addresses and networks.
LONGEST_ARGUMENT = 1024
# Sessions in one answer, the oldest; the answer has the number of all.
MOST_SESSIONS = 5000
# Sessions that are shown to people who watch the server.
MOST_WATCHED = 200


class Operated(Protocol):
    """A server as its operator sees it."""

    def who(self) -> Deferred[dict[str, Any]]:
        """Return the `sessions`, the `total` of them, and which processes did not answer (`missing`)."""

    def busiest(self) -> Deferred[dict[str, Any]]:
        """Return the same of the sessions that do something now, few of them."""

    def preflight(self) -> Deferred[dict[str, Any]]:
        """Return the `sightings` of the clients of preflight accounts, and which processes did not answer."""

    def status(self) -> Deferred[dict[str, Any]]:
        """Return the state of the server, by names for people."""

    def progress(self) -> Deferred[dict[str, Any]]:
        """Return how many `sessions` and `transfers` there are, and whether the server `is_stopping`."""

    def kick(self, session: str | None, user: str | None, host: str) -> Deferred[dict[str, Any]]:
        """End a session, or those of a user; return how many `ended`, and the `hosts` the user has sessions on."""

    def reload(self) -> Deferred[dict[str, Any]]:
        """Read the files anew; return the `problems`, none where the configuration was taken."""

    def drain(self) -> Deferred[dict[str, Any]]:
        """Accept nothing more, and stop when all transfers have ended; return the first `progress`."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question: its *answer* takes arguments by name, all of them text or null."""

    role: Role
    answer: Callable[..., object]
    tells_caller: bool = False
    """Whether the answer takes the name of the caller, too, as *account*."""

    def ask(self, arguments: object, caller: str = "") -> object:
        """Answer *caller*. Raises: Trouble for arguments that do not fit."""
        if not isinstance(arguments, dict):
            raise Trouble("arguments have names")
        for name, value in arguments.items():
            if not (value is None or (isinstance(value, str) and len(value) <= LONGEST_ARGUMENT)):
                raise Trouble(f"{name!s:.40} is no text of at most {LONGEST_ARGUMENT} characters")
        if self.tells_caller:
            if "account" in arguments:
                raise Trouble("the account is that of the caller")
            arguments = {**arguments, "account": caller}
        try:
            signature(self.answer).bind(**arguments)
        except TypeError as error:
            raise Trouble(f"the arguments do not fit: {error}") from None
        return self.answer(**arguments)


Questions = Mapping[str, Question]


def questions_about(server: Operated) -> dict[str, Question]:
    """Return the questions that *server* answers."""

    def kick(session: str | None = None, user: str | None = None, host: str | None = None) -> object:
        if (session is None) == (user is None):
            raise Trouble("name a session or a user, one of the two")
        return server.kick(session, user, host or "")

    return {
        "who": Question(Role.VIEWER, server.who),
        "preflight": Question(Role.VIEWER, server.preflight),
        "status": Question(Role.VIEWER, server.status),
        "progress": Question(Role.VIEWER, server.progress),
        "kick": Question(Role.OPERATOR, kick),
        "reload": Question(Role.OPERATOR, server.reload),
        "drain": Question(Role.OPERATOR, server.drain),
    }
