"""
The timers of one connection, by name: one at a time of each.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Timers:
    """The timers that run; all end with their connection."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._running: dict[str, IDelayedCall] = {}

    def set(self, name: str, seconds: float, function: Callable[[], object]) -> None:
        """Call *function* in so many *seconds*, in the place of the function that *name* would have called."""
        self.cancel(name)
        self._running[name] = self._clock.callLater(seconds, function)

    def cancel(self, name: str) -> None:
        """Let *name* call nothing; harmless when it does not run."""
        timer = self._running.pop(name, None)
        if timer is not None and timer.active():
            timer.cancel()

    def stop(self) -> None:
        """Cancel all."""
        for name in list(self._running):
            self.cancel(name)
