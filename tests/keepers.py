"""A keeper of events that takes as long as the test says."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from ftpsd.audit.keeping import Occurrence


class HeldKeeper:
    """Keeps what it is given when it is released, or fails; *given* is all of it."""

    def __init__(self) -> None:
        self.given: list[Occurrence] = []
        self._waiting: list[Deferred[None]] = []

    def keep(self, occurrence: Occurrence) -> Deferred[None]:
        """Keep *occurrence* later."""
        self.given.append(occurrence)
        answer: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(answer)
        return answer

    def release(self) -> None:
        """Have kept all that was given."""
        self._each(lambda answer: answer.callback(None))

    def fail(self, error: Exception) -> None:
        """Fail with all that was given."""
        self._each(lambda answer: answer.errback(error))

    def _each(self, end: Callable[[Deferred[None]], None]) -> None:
        while self._waiting:
            end(self._waiting.pop(0))
