"""
The server as its operator sees it while a process from before an upgrade still has sessions: both are asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred

from ftpsd.service.operating.question import MOST_SESSIONS, MOST_WATCHED, Operated
from ftpsd.service.upgrading.predecessor import Predecessor

BEFORE: Final = "the process before the upgrade"


class Generations:
    """The `Operated` that joins *own*, this process or those of it, and *before*."""

    def __init__(self, own: Operated, before: Predecessor) -> None:
        self._own = own
        self._before = before

    def who(self) -> Deferred[dict[str, Any]]:
        """See `Operated`."""
        return self._joined(self._own.who(), "who", _sessions(lambda each: -each["seconds"], MOST_SESSIONS))

    def busiest(self) -> Deferred[dict[str, Any]]:
        """See `Operated`."""
        order = lambda each: (each["transfer"] is None, each["idle"])  # noqa: E731
        return self._joined(self._own.busiest(), "busiest", _sessions(order, MOST_WATCHED))

    def preflight(self) -> Deferred[dict[str, Any]]:
        """See `Operated`; of the clients that have come since the upgrade."""
        return self._own.preflight()

    def status(self) -> Deferred[dict[str, Any]]:
        """See `Operated`."""

        def both(own: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
            return own if before is None else {**own, BEFORE: _told(before)}

        return self._joined(self._own.status(), "progress", both)

    def progress(self) -> Deferred[dict[str, Any]]:
        """See `Operated`."""
        return self._joined(self._own.progress(), "progress", _added)

    def kick(self, session: str | None, user: str | None, host: str) -> Deferred[dict[str, Any]]:
        """See `Operated`."""

        def both(own: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
            if before is None:
                return own
            hosts = sorted({*own["hosts"], *before["hosts"]})
            return {**own, "ended": own["ended"] + before["ended"], "hosts": hosts}

        own = self._own.kick(session, user, host)
        return self._joined(own, "kick", both, session=session, user=user, host=host)

    def reload(self) -> Deferred[dict[str, Any]]:
        """See `Operated`; the process before is told behind it (`Predecessor.follow`)."""
        return self._own.reload()

    def drain(self) -> Deferred[dict[str, Any]]:
        """See `Operated`; the process before, whose numbers come first, is told by this one (`Handover.order`)."""
        asked = self._before.ask("progress")
        return asked.addCallback(lambda before: self._own.drain().addCallback(_added, before))

    def upgrade(self) -> Deferred[dict[str, Any]]:
        """See `Operated`."""
        return self._own.upgrade()

    def _joined(
        self,
        own: Deferred[dict[str, Any]],
        question: str,
        both: Callable[[dict[str, Any], dict[str, Any] | None], dict[str, Any]],
        **arguments: object,
    ) -> Deferred[dict[str, Any]]:
        if not self._before.is_there:
            return own.addCallback(both, None)
        asked = self._before.ask(question, **arguments)

        def joined(told: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
            if before is None and self._before.is_there and "missing" in told:
                return both({**told, "missing": [*told["missing"], BEFORE]}, None)
            return both(told, before)

        return own.addCallback(lambda told: asked.addCallback(lambda before: joined(told, before)))


def _added(own: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
    if before is None:
        return own
    return {**own, **{name: own[name] + before[name] for name in ("sessions", "transfers")}}


def _told(progress: dict[str, Any]) -> str:
    return f"{progress['sessions']} sessions, {progress['transfers']} transfers"


def _sessions(
    order: Callable[[Any], Any], most: int
) -> Callable[[dict[str, Any], dict[str, Any] | None], dict[str, Any]]:
    def both(own: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
        if before is None:
            return own
        sessions = sorted([*own["sessions"], *before["sessions"]], key=order)
        return {
            "sessions": sessions[:most],
            "total": own["total"] + before["total"],
            "missing": [*own["missing"], *before["missing"]],
        }

    return both
