"""
What the supervisor and a process say to each other: Twisted's AMP over a socket pair that nobody else can reach.

The end of the connection tells either side that the other is gone. An answer that is longer than an AMP value (64 KiB)
comes in pages. More questions for all processes (who is there, end this session) are more commands here, answered in
member.py and asked with `Child.ask`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.protocols import amp
from twisted.python.failure import Failure

# Bytes; an AMP value holds 65,535.
PAGE = 60_000
# An error of an answer goes back to who has asked, instead of ending the connection.
_TROUBLE = {Exception: b"TROUBLE"}


class Ready(amp.Command):
    """A process tells that it accepts connections, with the *version* of the configuration it has."""

    arguments = [(b"version", amp.Integer())]
    response = []


class Report(amp.Command):
    """Ask for what a process counts and shows, as a JSON text in pages; page 0 looks anew."""

    arguments = [(b"page", amp.Integer())]
    response = [(b"text", amp.String()), (b"is_last", amp.Boolean())]
    errors = _TROUBLE


class Reload(amp.Command):
    """Have a process take the configuration that lies ready; *problem* is empty when it did."""

    arguments = []
    response = [(b"problem", amp.Unicode()), (b"version", amp.Integer())]
    errors = _TROUBLE


class ReopenLog(amp.Command):
    """Have a process open the audit log anew."""

    arguments = []
    response = []
    errors = _TROUBLE


class Cut(amp.Command):
    """Have a process end its sessions at once."""

    arguments = []
    response = []
    errors = _TROUBLE


class Answers(Protocol):
    """What a process does when it is asked."""

    def report(self) -> bytes:
        """Return what it shows, as JSON."""

    def reload(self) -> Deferred[tuple[str, int]]:
        """Take the configuration that lies ready; return the problem, if there was one, and its version."""

    def reopen_log(self) -> None:
        """Open the audit log anew."""

    def cut(self) -> None:
        """End the sessions."""

    def supervisor_has_gone(self) -> None:
        """Come to an end: nobody will replace who dies now, or tell of a reload."""


class MemberLink(amp.AMP):
    """The end of a process: it answers."""

    def __init__(self, answers: Answers) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._answers = answers
        self._report = b""

    @Report.responder
    def report(self, page: int) -> dict[str, Any]:
        """Answer a page of the report."""
        if page == 0:
            self._report = self._answers.report()
        begin = page * PAGE
        return {"text": self._report[begin : begin + PAGE], "is_last": begin + PAGE >= len(self._report)}

    @Reload.responder
    def reload(self) -> Deferred[dict[str, Any]]:
        """Reload."""
        return self._answers.reload().addCallback(lambda done: {"problem": done[0], "version": done[1]})

    @ReopenLog.responder
    def reopen_log(self) -> dict[str, Any]:
        """Open the log anew."""
        self._answers.reopen_log()
        return {}

    @Cut.responder
    def cut(self) -> dict[str, Any]:
        """End the sessions."""
        self._answers.cut()
        return {}

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Notice that the supervisor is gone."""
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self._answers.supervisor_has_gone()


class SupervisorLink(amp.AMP):
    """The end of the supervisor: it asks. *ready* is called with the version a process has begun with."""

    def __init__(self, ready: Callable[[int], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._ready = ready

    @Ready.responder
    def ready(self, version: int) -> dict[str, Any]:
        """Pass it on."""
        self._ready(version)
        return {}

    async def ask_report(self) -> bytes:
        """Return the whole report of the process."""
        text, is_last, page = b"", False, 0
        while not is_last:
            answer: dict[str, Any] = await self.callRemote(Report, page=page)  # type: ignore[no-untyped-call]
            text += answer["text"]
            is_last, page = answer["is_last"], page + 1
        return text


class OneConnection(Factory):
    """Gives a connection that is there already its *protocol*."""

    noisy = False

    def __init__(self, protocol: amp.AMP) -> None:
        self._protocol = protocol

    def buildProtocol(self, address: IAddress | None) -> amp.AMP:
        """Return the one protocol."""
        return self._protocol
