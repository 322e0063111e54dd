"""
Work by the clock on the homes of all users, so that a file system that hangs holds up its own homes and no others.

Directories on disks of this machine share the upkeep's workers. Those that wait for a network or another program have
the workers of their lane, as the sessions of their users have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd.storage.file_systems import NOTHING, by_waiting
from ftpsd.workers import Lanes, Workers

T = TypeVar("T")

log = Logger()


class HomeWork:
    """Work on homes, by the workers that they wait in; *upkeep* for all that wait for a disk at most."""

    def __init__(self, upkeep: Workers, lanes: Lanes) -> None:
        self._upkeep = upkeep
        self._lanes = lanes
        self._under_way: set[tuple[str, frozenset[str]]] = set()
        self._told: set[tuple[str, frozenset[str]]] = set()

    def on(
        self,
        what: str,
        directories: Iterable[Path],
        function: Callable[[list[Path]], T],
        tell: Callable[[frozenset[str], T | None], None],
    ) -> Deferred[None]:
        """
        Call *function* with those of *directories*, in their order, that wait for the same things.

        *tell* gets what each group waits for and the result: None for one that is passed by, because its work of the
        time before is not over. The Deferred is that of the group on disks of this machine, and never fails; *what*
        names the work in the log.
        """
        return Deferred.fromCoroutine(self._on(what, list(directories), function, tell))

    async def _on(
        self,
        what: str,
        directories: list[Path],
        function: Callable[[list[Path]], T],
        tell: Callable[[frozenset[str], T | None], None],
    ) -> None:
        groups: dict[frozenset[str], list[Path]] = {}

        def begin() -> T:
            groups.update(by_waiting(directories))
            return function(groups.pop(NOTHING, []))

        try:
            tell(NOTHING, await self._upkeep.run(begin))
        except Exception:
            log.failure("work on homes failed: {what}", what=what)
        for waited_for, group in groups.items():
            self._begin(what, waited_for, group, function, tell)

    def _begin(
        self,
        what: str,
        waited_for: frozenset[str],
        group: list[Path],
        function: Callable[[list[Path]], T],
        tell: Callable[[frozenset[str], T | None], None],
    ) -> None:
        key = what, waited_for
        if key in self._under_way:
            if key not in self._told:
                self._told.add(key)
                mounts = ", ".join(sorted(waited_for))
                log.warn("homes on {mounts} are passed by, which does not answer: {what}", what=what, mounts=mounts)
            tell(waited_for, None)
            return
        self._under_way.add(key)

        def over(result: T | Failure) -> None:
            self._under_way.discard(key)
            if isinstance(result, Failure):
                log.failure("work on homes failed: {what}", result, what=what)
                return
            if key in self._told:
                self._told.discard(key)
                log.info("homes on {mounts}: it answers again: {what}", what=what, mounts=", ".join(sorted(waited_for)))
            tell(waited_for, result)

        self._lanes.of(waited_for).run(function, group).addBoth(over)
