"""The silence of a client: the time since it sent something or was answered, and the limit for it."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from ftpsd.control.flow.timers import Timers


class Silence:
    """
    The silence on one connection; a command at work counts as activity.

    *limit* returns the seconds that it may last, which a client can change; *too_long* is called when they are over.
    """

    def __init__(
        self,
        clock: IReactorTime,
        timers: Timers,
        is_busy: Callable[[], bool],
        limit: Callable[[], float],
        too_long: Callable[[], object],
    ) -> None:
        self._clock = clock
        self._timers = timers
        self._is_busy = is_busy
        self._limit = limit
        self._too_long = too_long
        self._watched = 0.0
        self.since = clock.seconds()
        """The time at which it began."""

    @property
    def seconds(self) -> float:
        """How long it has lasted; none while a command runs."""
        return 0.0 if self._is_busy() else self._clock.seconds() - self.since

    def watch(self) -> None:
        """Call *too_long* when the silence has lasted as long as it may."""
        self._watched = self._limit()
        if self._is_busy():
            self.since = self._clock.seconds()
        remaining = self.since + self._watched - self._clock.seconds()
        if remaining <= 0:
            self._too_long()
        else:
            self._timers.set("idle", remaining, self.watch)

    def limit_may_have_changed(self) -> None:
        """Watch by the limit of now, where it is another one."""
        if self._limit() != self._watched:
            self.watch()
