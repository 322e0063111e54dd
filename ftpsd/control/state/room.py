"""
Room on the control connection: whether its client takes the replies. A client that does not read them is given no more.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from zope.interface import implementer

from ftpsd.data.trouble import Cause, Lost


@implementer(IPushProducer)
class Room:
    """The room on the control connection, as its transport reports it; *go_on* is called when there is some again."""

    def __init__(self, clock: IReactorTime) -> None:
        self.is_there = True
        self.go_on: Callable[[], None] = _nothing
        self._clock = clock
        self._wanted: Deferred[None] | None = None

    async def wait(self, patience: float) -> None:
        """
        Return when the client has taken the bytes sent before.

        Raises:
            CancelledError: the session has ended meanwhile.
            Lost: the client took nothing for *patience* seconds.
        """
        if self.is_there:
            return
        self._wanted = Deferred()
        stall = self._clock.callLater(patience, self._wanted.errback, Lost(Cause.REPLY_NOT_TAKEN))
        try:
            await self._wanted
        finally:
            self._wanted = None
            if stall.active():
                stall.cancel()

    def pauseProducing(self) -> None:
        """Let `wait` wait: the client does not read its replies (IPushProducer)."""
        self.is_there = False

    def resumeProducing(self) -> None:
        """Go on (IPushProducer)."""
        self.is_there = True
        if self._wanted is not None:
            self._wanted.callback(None)
        self.go_on()

    def stopProducing(self) -> None:
        """Nothing to stop; `connectionLost` follows (IPushProducer)."""

    def end(self) -> None:
        """Wait no longer: the session has ended."""
        if self._wanted is not None:
            self._wanted.cancel()


def _nothing() -> None:
    """Nothing waits yet."""
