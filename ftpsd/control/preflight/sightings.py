"""
The sightings of all preflight accounts of this process, the last few of each: a table that is bounded both ways.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from ftpsd.audit.events import Event, SessionClosed, Who
from ftpsd.audit.topics.preflight_events import PreflightDone
from ftpsd.control.preflight.advice import changes, exemptions
from ftpsd.control.preflight.report import report_file
from ftpsd.control.preflight.sighting import SEEN, Sighting
from ftpsd.values.handshake import TLSFacts

# Accounts, those that were used last, and sessions of each, the newest; a client makes a few.
MOST_ACCOUNTS: Final = 100
MOST_SESSIONS: Final = 20
# The kinds of events that the table takes.
NOTED: Final = (*SEEN, SessionClosed)


class Sightings:
    """The observations of clients of preflight accounts since the process began; *publish* tells of their sessions."""

    def __init__(self, publish: Callable[[Event], None] = lambda _: None) -> None:
        self._publish = publish
        self._accounts: OrderedDict[tuple[str, str], list[Sighting]] = OrderedDict()
        self._live: dict[str, Sighting] = {}

    def begin(
        self, who: Who, began: float, tls: TLSFacts | None, server_name: str | None, *, wants_utf8: bool
    ) -> Callable[[], bytes]:
        """Watch the session of *who*, which has logged in; return what makes the report, from any thread."""
        assert who.user is not None
        sighting = Sighting(who.session, who.user, who.host, who.peer, began, server_name=server_name)
        sighting.wants_utf8 = wants_utf8
        if tls is not None:
            sighting.tls, sighting.cipher, sighting.group = tls.version, tls.cipher, tls.group
        account = who.host, who.user
        seen = self._accounts.setdefault(account, [])
        self._accounts.move_to_end(account)
        seen.append(sighting)
        for old in seen[:-MOST_SESSIONS]:
            self._forget(old)
        # A new list: a worker may read the other.
        self._accounts[account] = seen[-MOST_SESSIONS:]
        while len(self._accounts) > MOST_ACCOUNTS:
            for old in self._accounts.popitem(last=False)[1]:
                self._forget(old)
        self._live[who.session] = sighting
        return lambda: report_file(self.of(*account) or [sighting])

    def of(self, host: str, user: str) -> list[Sighting]:
        """Return the sightings of *user* on *host*, the newest last."""
        return self._accounts.get((host, user), [])

    def note(self, event: Event, _seconds: float) -> None:
        """Take an event of a session; those of all other accounts are none of ours."""
        sighting = self._live.get(event.who.session)
        if sighting is None:
            return
        if not isinstance(event, SessionClosed):
            sighting.note(event)
            return
        del self._live[event.who.session]
        needs = ", ".join(f"{each.key}: {each.value}" for each in exemptions([sighting]) if not each.is_global)
        self._publish(PreflightDone(event.who, needs, len(changes([sighting]))))

    def all(self) -> list[dict[str, Any]]:
        """Return all sightings for programs."""
        return [each.as_json() for seen in self._accounts.values() for each in seen]

    def _forget(self, sighting: Sighting) -> None:
        if self._live.get(sighting.session) is sighting:
            del self._live[sighting.session]
