"""Keepers: what the audit bus and the reply behind an upload rely on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import pytest
from twisted.internet.defer import CancelledError, Deferred, execute
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from ftpsd.audit.events import DAEMON, Started
from ftpsd.audit.keeping import Keeper, KeepsNothing, Occurrence
from ftpsd.config.automation.event_sinks import Events
from ftpsd.events.event_ledger import Ledger
from ftpsd.values.trace import Trace
from tests.keepers import HeldKeeper
from tests.state import InlineStore

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kind:
    """A *keeper*, and what makes it keep all that it was given."""

    keeper: Keeper
    work: Callable[[], None] = field(default=lambda: None)


def _held() -> Kind:
    keeper = HeldKeeper()
    return Kind(keeper, keeper.release)


class _NoFiles:
    """Workers for a keeper that has nothing to look at."""

    def run(self, function: Callable[..., T], *args: object, **kwargs: object) -> Deferred[T]:
        """Call *function* now."""
        return execute(function, *args, **kwargs)


def _ledger() -> Kind:
    ledger = Ledger(InlineStore(), _NoFiles(), Clock())
    ledger.use(Events(record=("file-deleted",)))
    return Kind(ledger)


KINDS: dict[str, Callable[[], Kind]] = {"nothing": lambda: Kind(KeepsNothing()), "held": _held, "ledger": _ledger}
TRACE = Trace(b"/srv/a", 1, 2, 3, 4)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """A keeper of every kind."""
    return KINDS[request.param]()


def occurrence(number: int) -> Occurrence:
    """Return one of many."""
    return Occurrence(f"a-{number}", float(number), Started(DAEMON))


def outcomes(answer: Deferred[None]) -> list[object]:
    """Return the list that the answer, or its error, is put into."""
    found: list[object] = []

    def failed(failure: Failure) -> None:
        found.append(failure.type)

    answer.addCallbacks(found.append, failed)
    return found


def test_every_occurrence_is_answered_once(kind: Kind) -> None:
    """Also when many are under way."""
    answers = [outcomes(kind.keeper.keep(occurrence(number))) for number in range(100)]
    kind.work()
    assert answers == [[None]] * 100


def test_whoever_cancels_holds_up_no_other(kind: Kind) -> None:
    """Nothing is owed to it any more."""
    first, second = (kind.keeper.keep(occurrence(number)) for number in (1, 2))
    results = outcomes(first), outcomes(second)
    first.cancel()
    kind.work()
    assert results[0] in ([None], [CancelledError])
    assert results[1] == [None]


def test_an_intent_is_answered_and_ended(kind: Kind) -> None:
    """By the event with its id, or by a look."""
    answers = [outcomes(kind.keeper.intend(occurrence(number), TRACE)) for number in range(3)]
    kind.work()
    assert answers == [[None]] * 3
    kept = outcomes(kind.keeper.keep(occurrence(0)))
    kind.keeper.settle("a-1")
    kind.keeper.settle("unknown")
    kind.work()
    assert kept == [None]


def test_nothing_costs_nothing() -> None:
    """The answer of the keeper that keeps nothing is there at once."""
    assert outcomes(KeepsNothing().keep(occurrence(1))) == [None]
