"""
The admin endpoint of several processes: all of them are asked before it answers.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.web.server import NOT_DONE_YET, Request

from ftpsd.admin.endpoint import SCRAPE_SHARE, AdminResource, Exposition
from ftpsd.admin.live_feed import LiveFeed
from ftpsd.processes.child import Child
from ftpsd.processes.sums import Sums
from ftpsd.service.upkeep import BUSIEST

ASKS_FIRST = (b"/", b"/metrics")
# Seconds. A process that hangs makes a round long; the numbers of the others must not grow old meanwhile.
OLD_AT_MOST = 1.0


class Rounds:
    """A round of questions to every process at once; a caller during a round waits for its end."""

    def __init__(
        self, children: Callable[[], list[Child]], sums: Sums, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._children = children
        self._sums = sums
        self._seconds = seconds
        self._good_until = 0.0

    def refresh(self) -> Deferred[None]:
        """Ask unless the last round is good still; rounds take the processes no more time than scrapes may."""
        began = self._seconds()
        if began < self._good_until:
            return succeed(None)

        def over(_: None) -> None:
            ended = self._seconds()
            self._good_until = ended + min((ended - began) * (1 / SCRAPE_SHARE - 1), OLD_AT_MOST)

        return self.ask().addCallback(over)

    def ask(self) -> Deferred[None]:
        """
        Bring sums and states up to date; a process that does not answer in time keeps its old numbers. Never fails.
        """
        return DeferredList(
            [child.look().addCallback(self._answered, child) for child in self._children()]
        ).addCallback(lambda _: None)

    def _answered(self, _: None, child: Child) -> None:
        # It may have died over it, and then its last numbers have been put by.
        if child.is_ready:
            self._sums.keep(child.index, child.families)


class Front(AdminResource):
    """All paths of the endpoint; *ask* brings their numbers up to date."""

    def __init__(
        self,
        exposition: Exposition,
        ready: Callable[[], bool],
        status: Callable[[], Mapping[str, object]],
        ask: Callable[[], Deferred[None]],
        names: Container[str],
        feed: LiveFeed | None = None,
    ) -> None:
        super().__init__(exposition, ready, status, names, feed)
        self._ask = ask

    def render(self, request: Request) -> Any:
        """Answer *request*, some when the processes have answered."""
        if request.path not in ASKS_FIRST:
            return super().render(request)
        has_gone = False

        def gone(_: object) -> None:
            nonlocal has_gone
            has_gone = True

        def answer(_: None) -> None:
            if not has_gone:
                request.write(super(Front, self).render(request))
                request.finish()

        request.notifyFinish().addErrback(gone)
        self._ask().addCallback(answer)
        return NOT_DONE_YET


def busiest_client(children: Iterable[Child]) -> int:
    """Return the number of passive ports of the client that has the most of them, in all *children* together."""
    held: Counter[str] = Counter()
    for child in children:
        held.update(child.ports)
    return max(held.values(), default=0)


def status_of(children: list[Child], own: Mapping[str, object], sessions: Callable[[int], int]) -> dict[str, object]:
    """Return the contents of the status page: *own*, the numbers of all *children* added up, and a line for each."""
    shown: dict[str, object] = {}
    for child in children:
        for key, value in child.status.items():
            known = shown.get(key)
            if isinstance(value, int) and isinstance(known, int):
                shown[key] = known + value
            else:
                shown.setdefault(key, value)
    if BUSIEST in shown:
        shown[BUSIEST] = busiest_client(children)
    lines = {child.name: f"pid {child.pid}, sessions: {sessions(child.index)}" for child in children}
    return {**shown, **own, "processes": lines}
