"""
The answers of a server of one process, and of each of several to its supervisor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed

from ftpsd.audit.events import Event, Reloaded, ReloadFailed, Started
from ftpsd.config.model import Config
from ftpsd.control.state.presence import busiest, hosts_of, kick, kick_user, present, there
from ftpsd.service.changing.reload import Reloader
from ftpsd.service.operating.question import MOST_SESSIONS, MOST_WATCHED
from ftpsd.service.parts import Parts
from ftpsd.values.text import moment


class OneProcess:
    """
    The `Operated` of the process with *parts*; *reloader* reads its files anew, *status* has the state for people.

    *drain* stops the server as SIGTERM does, *is_stopping* returns whether it stops, and *upgrade* hands over to a new
    process.
    """

    def __init__(
        self,
        parts: Parts,
        reloader: Reloader,
        status: Callable[[], Mapping[str, object]],
        drain: Callable[[], object],
        is_stopping: Callable[[], bool],
        upgrade: Callable[[], Deferred[dict[str, Any]]],
    ) -> None:
        self._parts = parts
        self._reloader = reloader
        self._status = status
        self._drain = drain
        self._is_stopping = is_stopping
        self._upgrade = upgrade
        self._last_reload = LastReload()
        parts.bus.subscribe(self._last_reload, *OF_RELOADS)

    def who(self) -> Deferred[dict[str, Any]]:
        """See `Operated`."""
        return succeed(sessions_of(self._parts))

    def busiest(self) -> Deferred[dict[str, Any]]:
        """See `Operated`."""
        return succeed(busiest_of(self._parts))

    def preflight(self) -> Deferred[dict[str, Any]]:
        """See `Operated`."""
        return succeed(sightings_of(self._parts))

    def status(self) -> Deferred[dict[str, Any]]:
        """See `Operated`."""
        return succeed(self.state())

    def state(self) -> dict[str, Any]:
        """Return the same at once, for the status page."""
        return {**self._status(), **self._last_reload.told()}

    def progress(self) -> Deferred[dict[str, Any]]:
        """See `Operated`."""
        return succeed({**progress_of(self._parts), "is_stopping": self._is_stopping()})

    def kick(self, session: str | None, user: str | None, host: str) -> Deferred[dict[str, Any]]:
        """See `Operated`."""
        return succeed(kicked_of(self._parts, session, user, host))

    def reload(self) -> Deferred[dict[str, Any]]:
        """See `Operated`."""
        return self._reloader.turnstile.enter().addCallback(lambda problems: {"problems": problems})

    def drain(self) -> Deferred[dict[str, Any]]:
        """See `Operated`."""
        # A server without sessions ends at once, with its connections to operators. The answer is written in the next
        # turn of the reactor, so the drain begins in the one behind that.
        reactor = self._parts.reactor
        reactor.callLater(0, reactor.callLater, 0, self._drain)
        return succeed({**progress_of(self._parts), "is_stopping": True})

    def upgrade(self) -> Deferred[dict[str, Any]]:
        """See `Operated`."""
        return self._upgrade()


OF_RELOADS: Final = (Started, Reloaded, ReloadFailed)


class LastReload:
    """A sink of the events `OF_RELOADS` that remembers how the last reload ended."""

    def __init__(self) -> None:
        self._last: tuple[float, str] | None = None

    def __call__(self, event: Event, seconds: float) -> None:
        """Take *event*."""
        self._last = seconds, f"refused: {event.reason}" if isinstance(event, ReloadFailed) else "taken"

    def told(self) -> dict[str, object]:
        """Return the line for `ftpsd status`."""
        if self._last is None:
            return {}
        when, how = self._last
        return {"configuration": f"{how} at {moment(when)} UTC"}


def sessions_of(parts: Parts) -> dict[str, Any]:
    """Return the sessions of this process, the oldest first."""
    seen = present(parts.sessions, MOST_SESSIONS)
    return {"sessions": [each.as_json() for each in seen], "total": len(there(parts.sessions)), "missing": []}


def sightings_of(parts: Parts) -> dict[str, Any]:
    """Return what this process has seen of the clients of preflight accounts."""
    return {"sightings": parts.sightings.all(), "missing": []}


def busiest_of(parts: Parts) -> dict[str, Any]:
    """Return the sessions of this process that do something, for people who watch it."""
    seen = busiest(parts.sessions, MOST_WATCHED)
    return {"sessions": [each.as_json() for each in seen], "total": len(there(parts.sessions)), "missing": []}


def shown_sessions(
    config: Config, busiest: Callable[[], Deferred[dict[str, Any]]]
) -> Callable[[], Deferred[dict[str, Any]]]:
    """Return *busiest* for the status page, or what is told in its place: who reads the page need not know of users."""
    if config.metrics is not None and config.metrics.sessions:
        return busiest
    return lambda: succeed({"sessions": None, "total": 0, "missing": []})


def progress_of(parts: Parts) -> dict[str, int]:
    """Return how many sessions and transfers this process has."""
    sessions = there(parts.sessions)
    return {"sessions": len(sessions), "transfers": sum(pi.session.transfer is not None for pi in sessions)}


def kicked_of(parts: Parts, session: str | None, user: str | None, host: str) -> dict[str, Any]:
    """End a session of this process, or those of a user."""
    if session is not None:
        return {"ended": int(kick(parts.sessions, session)), "hosts": []}
    assert user is not None
    return {"ended": kick_user(parts.sessions, user, host), "hosts": sorted(hosts_of(parts.sessions, user))}
