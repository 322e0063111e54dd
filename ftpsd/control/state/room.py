"""
Room on the control connection, for replies that are sent in parts.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from ftpsd.data.trouble import Cause, Lost


class Room:
    """The room on the control connection, as its server-PI reports it."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._is_there = True
        self._wanted: Deferred[None] | None = None

    async def wait(self, patience: float) -> None:
        """
        Return when the client has taken the bytes sent before.

        Raises:
            CancelledError: the session has ended meanwhile.
            Lost: the client took nothing for *patience* seconds.
        """
        if self._is_there:
            return
        self._wanted = Deferred()
        stall = self._clock.callLater(patience, self._wanted.errback, Lost(Cause.REPLY_NOT_TAKEN))
        try:
            await self._wanted
        finally:
            self._wanted = None
            if stall.active():
                stall.cancel()

    def changed(self, is_there: bool) -> None:
        """Let `wait` wait, or return: the control connection takes nothing more for now, or does again."""
        self._is_there = is_there
        if is_there and self._wanted is not None:
            self._wanted.callback(None)

    def end(self) -> None:
        """Wait no longer: the session has ended."""
        if self._wanted is not None:
            self._wanted.cancel()
