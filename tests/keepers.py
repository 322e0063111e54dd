"""A keeper of events that takes as long as the test says."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed

from ftpsd.audit.events import Event, FileStored
from ftpsd.audit.keeping import Occurrence
from ftpsd.audit.topics.tree_events import FileCopied, FilesCombined
from ftpsd.values.direction import Result
from ftpsd.values.trace import Trace

KINDS = FileStored | FileCopied | FilesCombined


class HeldKeeper:
    """
    Keeps what it is given when it is released, or fails; *given* is all of it.

    So it does with what is *intended* where *holds_intents*, else at once; *settled* is what was given up.
    """

    is_keeping = True

    def __init__(self, *, holds_intents: bool = False) -> None:
        self.given: list[Occurrence] = []
        self.intended: list[tuple[Occurrence, Trace]] = []
        self.settled: list[str] = []
        self._holds_intents = holds_intents
        self._waiting: list[Deferred[None]] = []

    def keeps(self, event: Event) -> bool:
        """Files that are there, whole."""
        return isinstance(event, KINDS) and getattr(event, "result", Result.COMPLETE) is Result.COMPLETE

    def intend(self, occurrence: Occurrence, trace: Trace) -> Deferred[None]:
        """Write *occurrence* down, later where that is held."""
        self.intended.append((occurrence, trace))
        return self._later() if self._holds_intents else succeed(None)

    def settle(self, intended: str) -> None:
        """Note it."""
        self.settled.append(intended)

    def keep(self, occurrence: Occurrence) -> Deferred[None]:
        """Keep *occurrence* later."""
        self.given.append(occurrence)
        return self._later()

    def _later(self) -> Deferred[None]:
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
