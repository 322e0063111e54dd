"""The promise of lanes: what hangs holds up the calls that wait for it, and no others."""

from __future__ import annotations

from threading import Event
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from ftpsd.workers import MOST_LANES, WorkerLanes
from tests.reactor import Reactor

NFS, CIFS = frozenset({"/mnt/nfs"}), frozenset({"/mnt/cifs"})


class Hanging:
    """Lanes of two threads each, and calls that hang until `end`."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        self.lanes = WorkerLanes(2, 100, self.reactor.callFromThread)
        self.released = Event()
        self.hanging: list[Any] = []

    def hang(self, waits_for: frozenset[str]) -> None:
        """Have more calls hang than a lane has threads."""
        for _ in range(5):
            self.lanes.of(waits_for).run(self.released.wait).addBoth(self.hanging.append)

    def result(self, deferred: Deferred[Any]) -> Any:
        """Return what *deferred* fires with."""
        found: list[Any] = []
        deferred.addBoth(found.append)
        self.reactor.run_until(lambda: bool(found))
        return found[0]

    def end(self) -> None:
        """Let all calls end."""
        self.released.set()
        self.lanes.stop()


@pytest.fixture
def world() -> Any:
    """Lanes, whose threads end with the test."""
    made = Hanging()
    yield made
    made.end()


def test_what_hangs_holds_up_nobody_else(world: Hanging) -> None:
    """Nor does a command about it and something else."""
    world.hang(NFS)
    world.hang(NFS | CIFS)
    assert world.result(world.lanes.of(CIFS).run(pow, 2, 3)) == 8
    assert world.hanging == []
    assert world.lanes.queued == 6
    world.released.set()
    world.reactor.run_until(lambda: len(world.hanging) == 10)


def test_there_are_so_many_and_no_more(world: Hanging) -> None:
    """Calls that would need a further lane share the one with least to do."""
    pools = {world.lanes.of(frozenset({str(number)})) for number in range(MOST_LANES)}
    assert len(pools) == MOST_LANES
    world.hang(frozenset({"0"}))
    shared = world.lanes.of(NFS)
    assert shared in pools
    assert shared is not world.lanes.of(frozenset({"0"}))
    assert world.result(shared.run(pow, 2, 3)) == 8
