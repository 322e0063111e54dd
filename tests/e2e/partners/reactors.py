"""A real reactor for one coroutine, with real child processes; the next test has another."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.process import reapAllProcesses
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

T = TypeVar("T")


def driven(make: Callable[[Any], Coroutine[Deferred[Any], Any, T]], seconds: float = 60.0) -> T:
    """Run the coroutine that *make* makes for a reactor, and return what it returns."""
    reactor: Any = EPollReactor()
    outcome: list[Any] = []

    def ended(result: object) -> None:
        outcome.append(result)
        reactor.callLater(0, reactor.stop)

    # In place of SIGCHLD: pytest's thread keeps the signals that it has.
    reaping = LoopingCall(reapAllProcesses)
    reaping.clock = reactor

    def begin() -> None:
        reaping.start(0.02)
        Deferred.fromCoroutine(make(reactor)).addTimeout(seconds, reactor).addBoth(ended)

    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    (result,) = outcome
    if isinstance(result, Failure):
        result.raiseException()
    return result  # type: ignore[no-any-return]
