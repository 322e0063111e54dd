"""
A circuit breaker: a server that does not answer is left alone for a while, so that logins fail at once.

Only silence counts: no connection, or no answer in time. A server that answers quickly, whatever it says, costs nothing
to ask, and one name that it cannot cope with must not shut out the others.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IReactorTime

# Consecutive failures, so that one lost connection is none, and one client with a difficult name is not enough.
FAILURES: Final = 3
# Seconds until one question is let through, doubled with each that fails.
PAUSE: Final = 5.0
LONGEST_PAUSE: Final = 60.0


class Breaker:
    """The breaker of one server; *clock* is the reactor's."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._failures = 0
        self._pause = PAUSE
        self._closed_until: float | None = None
        self._is_trying = False

    @property
    def is_open(self) -> bool:
        """Whether questions are refused, but for one now and then."""
        return self._closed_until is not None

    def may_ask(self) -> bool:
        """
        Return whether a question may be asked now.

        Every one that may has to be followed by `answered`, `failed` or `left`.
        """
        if self._closed_until is None:
            return True
        if self._is_trying or self._clock.seconds() < self._closed_until:
            return False
        self._is_trying = True
        return True

    def answered(self) -> bool:
        """Take note of an answer; return whether it ends a pause."""
        was_open = self.is_open
        self._failures, self._pause, self._closed_until, self._is_trying = 0, PAUSE, None, False
        return was_open

    def failed(self) -> bool:
        """Take note of silence; return whether a pause begins that was none before."""
        self._failures += 1
        if self._closed_until is not None:
            if not self._is_trying:
                return False  # asked before the pause began
            self._is_trying = False
            self._pause = min(LONGEST_PAUSE, 2 * self._pause)
        elif self._failures < FAILURES:
            return False
        was_open = self.is_open
        self._closed_until = self._clock.seconds() + self._pause
        return not was_open

    def left(self) -> None:
        """Take note of a question that was given up, which says nothing about the server."""
        self._is_trying = False
