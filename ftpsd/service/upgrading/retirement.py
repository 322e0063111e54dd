"""
The end of a process whose successor serves: its sessions go on as they were, for as long as that is asked of it.

* For `drain_timeout` everything goes on, new commands and transfers, too: a client that has begun a series of files
  need not know of the upgrade.
* Behind that a session ends with its command. A transfer under way goes on to its end, up to `handover_timeout`.
* Passive ports belong to the successor but for a few, by the number of sessions that may want one.
* A process ends behind the one before it, whose way to the operator it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.task import deferLater
from twisted.logger import Logger

from ftpsd.config.model import Config
from ftpsd.service.parts import Parts

# Seconds between two looks for the last session.
LOOK: Final = 0.2
# One in so many passive ports, at most, stays with the process before.
PART_OF_PORTS: Final = 4

log = Logger()


class Retirement:
    """The rest of the life of the process with *parts*; *may_end* returns whether nobody else needs it."""

    def __init__(self, parts: Parts, config: Config, may_end: Callable[[], bool]) -> None:
        self._parts = parts
        self._may_end = may_end
        now = parts.reactor.seconds()
        self._until = now + config.drain_timeout
        self._end = now + max(config.drain_timeout, config.handover_timeout)
        self._is_hurried = False
        self.has_run_out = False
        """Whether sessions are left that may go on no longer."""
        self._is_closing = False

    async def live_out(self) -> None:
        """Return when the last session has ended, or may go on no longer; or when `hurry` was called."""
        parts, reactor = self._parts, self._parts.reactor
        while not self._is_hurried and reactor.seconds() < self._end:
            if not parts.sessions and self._may_end():
                return
            leave_ports(parts, is_accepting=False)
            if reactor.seconds() >= self._until or not parts.ports.offered:
                self.close_behind_commands()
            await deferLater(reactor, LOOK)
        self.has_run_out = not self._is_hurried

    def hurry(self) -> None:
        """Wait no longer."""
        self._is_hurried = True

    def close_behind_commands(self) -> None:
        """Have every session end with the command that it is at; idle ones end now."""
        if not self._is_closing:
            self._is_closing = True
            log.info("{count} sessions from before the upgrade end", count=len(self._parts.sessions))
            for pi in list(self._parts.sessions):
                pi.drain()


def leave_ports(parts: Parts, *, is_accepting: bool = True) -> None:
    """
    Leave the passive ports to the successor, but for a few that the sessions of this process may want.

    A process that *is_accepting* clients still keeps them for those to come, too.
    """
    count = len(parts.ports.range)
    most = max(1, count // PART_OF_PORTS) if count > 1 else 0
    wanted = most if is_accepting else min(most, len(parts.sessions))
    parts.passive_listeners.close_some(parts.ports.keep(wanted))


def take_ports_back(parts: Parts) -> None:
    """Use all passive ports again: there will be no successor yet."""
    parts.ports.keep(len(parts.ports.range))
