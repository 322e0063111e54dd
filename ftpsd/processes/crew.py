"""
The processes of a server: started, told what all of them are to do, and replaced when one dies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd.processes.child import Child, Deaths

EXIT_DYING = 3

log = Logger()


class Crew:
    """
    *count* processes, which *start* starts.

    *ready* is called with each that accepts connections, *ended* with each that is dead, *died* for one that is
    replaced, *give_up* with an exit code when there is no sense in that, *is_over* returns whether none is to follow.
    """

    def __init__(
        self,
        count: int,
        reactor: Any,
        *,
        start: Callable[[Child], None],
        ready: Callable[[Child], None],
        ended: Callable[[Child], None],
        died: Callable[[], None],
        give_up: Callable[[int], None],
        is_over: Callable[[], bool],
    ) -> None:
        self.count = count
        self.has_begun = False
        """Whether all of them have accepted connections at the same time."""
        self._reactor = reactor
        self._start = start
        self._ready = ready
        self._ended = ended
        self._died = died
        self._give_up = give_up
        self._is_over = is_over
        self._children: dict[int, Child] = {}
        self._deaths = [Deaths() for _ in range(count)]

    def fill(self) -> None:
        """Start all of them."""
        for index in range(self.count):
            self._fill(index)

    @property
    def is_empty(self) -> bool:
        """Whether there is no process."""
        return not self._children

    def ready(self) -> list[Child]:
        """Return the processes that accept connections, in order."""
        return [child for _, child in sorted(self._children.items()) if child.is_ready]

    def order(self, what: str) -> Deferred[None]:
        """Have those that are ready do *what* is asked; the Deferred fires when they have."""
        asked = [child.ask(what).addErrback(_told, child) for child in self.ready()]
        return DeferredList(asked).addCallback(lambda _: None)

    def hand_duties_to(self, child: Child) -> None:
        """Have *child* accept clients and take its duties, if it waits for that."""
        if child.waits:
            child.waits = False
            for order in ("accept", "take-duties"):
                child.ask(order).addErrback(_told, child)

    def signal(self, name: str, *, unready_alone: bool = False) -> None:
        """Send a signal to all of them, or to those that do not accept connections yet."""
        for child in self._children.values():
            if not (unready_alone and child.is_ready):
                child.signal(name)

    def _fill(self, index: int) -> None:
        if not self._is_over():
            child = self._children[index] = Child(index, self._began, self._has_ended)
            self._start(child)

    def _began(self, child: Child) -> None:
        if self._is_over():
            child.signal("TERM")
            return
        if self.has_begun:
            log.info("{name} serves, pid {pid}", name=child.name, pid=child.pid)
        self.has_begun = self.has_begun or len(self.ready()) == self.count
        self._ready(child)

    def _has_ended(self, child: Child, sentence: str) -> None:
        del self._children[child.index]
        self._ended(child)
        if self._is_over():
            return
        log.error("{name} {sentence}", name=child.name, sentence=sentence)
        if not self.has_begun:
            # It has reported the reason, and would do so again.
            self._give_up(child.exit_code or EXIT_DYING)
            return
        self._died()
        delay = self._deaths[child.index].delay_after()
        if delay is None:
            log.critical("{name} dies again and again; the server ends", name=child.name)
            self._give_up(EXIT_DYING)
        else:
            self._reactor.callLater(delay, self._fill, child.index)


def _told(failure: Failure, child: Child) -> None:
    if failure.check(ConnectionDone, ConnectionLost):
        return  # it has ended, which is reported by itself
    log.warn("{name}: {why}", name=child.name, why=failure.getErrorMessage() or type(failure.value).__name__)
