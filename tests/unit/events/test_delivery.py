"""Deliveries: order for each path, pauses, dead letters, what a restart and the command line change."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from twisted.internet.task import Clock

from ftpsd.audit.topics.automation.ledger_events import EventGivenUp, SinkFailing, SinkRestored
from ftpsd.config.automation.event_sinks import Events
from ftpsd.events import progress_tables as tables
from ftpsd.events import record_tables
from ftpsd.events.deliveries import Deliveries
from ftpsd.events.delivery import MOST_BEHIND
from ftpsd.events.progress_tables import State, begin_again
from ftpsd.values.trace import Trace
from tests.unit.events.ground import Ground
from tests.workers import InlineWorkers


class Reactor(Clock):
    """A clock of which sinks take the reactor's threads; they have nothing to do here."""

    def callFromThread(self, call: Callable[..., object], *args: object) -> None:
        """Call *call*."""
        call(*args)


def state_of(ground: Ground, number: int) -> State:
    """Return how far the event is with the sink."""
    found: list[tuple[State, object]] = []
    ground.store.run(tables.state_of, "a", number).addCallback(found.append)
    return found[0][0]


def cursor(ground: Ground) -> int:
    """Return the cursor in the file."""
    found: list[tables.Progress] = []
    ground.store.run(tables.load, "a", 10).addCallback(found.append)
    return found[0].cursor


def test_a_new_sink_begins_with_the_next_event() -> None:
    """And takes each once, in order, with its cursor behind it."""
    ground = Ground(at_once=1)
    for number in range(500):
        ground.record(f"e{number}")
    assert ground.receiver.got == [f"e{number}" for number in range(500)]
    assert (cursor(ground), ground.delivery.waiting) == (500, 0)
    assert ground.started().fetched == 500
    assert len(ground.receiver.got) == 500


def test_one_path_waits_and_others_go_on() -> None:
    """Behind an event that failed those of its path wait, in order; not those of others."""
    ground = Ground(attempts=50)
    ground.receiver.refuses = lambda record: record.id == "a1"
    for id, place in (("a1", "/a"), ("b1", "/b"), ("a2", "/a"), ("b2", "/b"), ("a3", "/a")):
        ground.record(id, place)
    assert ground.receiver.got == ["a1", "b1", "b2"]
    assert cursor(ground) == 5
    ground.run(2)
    assert ground.receiver.got[3] == "a1"
    ground.receiver.refuses = lambda _: False
    ground.run(60)
    assert ground.receiver.got[-3:] == ["a1", "a2", "a3"]
    assert ground.delivery.waiting == 0
    assert [state_of(ground, number) for number in range(1, 6)] == [State.DELIVERED] * 5


def test_a_rename_keeps_its_place_among_both_names() -> None:
    """Its event is behind those of the former name, and in front of those of the new one."""
    ground = Ground(at_once=4)
    ground.receiver.holds = True
    ground.record("stored", "/old")
    draft = record_tables.Draft("renamed", "file-renamed", 0.0, '{"time":"now","new":"/new"}')
    ground.store.run(record_tables.record, draft, Trace(b"/new", 1, 1, 1, 1, former=b"/old"))
    ground.record("deleted", "/new")
    assert ground.receiver.got == ["stored"]
    ground.receiver.held.pop()[1].callback(None)
    assert ground.receiver.got == ["stored", "renamed"]
    ground.receiver.held.pop()[1].callback(None)
    assert ground.receiver.got == ["stored", "renamed", "deleted"]


def test_never_two_of_one_path_and_never_more_than_at_once() -> None:
    """Two of three files are under way."""
    ground = Ground(at_once=2)
    ground.receiver.holds = True
    for id, place in (("a1", "/a"), ("a2", "/a"), ("b1", "/b"), ("c1", "/c")):
        ground.record(id, place)
    assert ground.receiver.got == ["a1", "b1"]
    ground.receiver.held[1][1].callback(None)
    assert ground.receiver.got == ["a1", "b1", "c1"]


def test_an_event_that_is_given_up() -> None:
    """After its attempts it is a dead letter, which is told; the next of its path is delivered."""
    ground = Ground(attempts=3)
    ground.receiver.refuses = lambda record: record.id == "bad"
    ground.record("bad", "/a")
    ground.record("good", "/a")
    ground.run(30)
    assert ground.receiver.got.count("bad") == 3
    assert ground.receiver.got[-1] == "good"
    (given_up,) = [event for event in ground.told if isinstance(event, EventGivenUp)]
    assert (given_up.id, given_up.attempts, given_up.reason) == ("bad", 3, "no")
    assert (state_of(ground, 1), ground.delivery.dead, ground.counts.count("given-up")) == (State.DEAD, 1, 1)
    ground.receiver.refuses = lambda _: False
    ground.store.run(tables.replay, "a", [1], ground.clock.seconds())
    ground.delivery.reload()
    assert ground.receiver.got[-1] == "bad"
    assert (state_of(ground, 1), ground.delivery.dead) == (State.DELIVERED, 0)


def test_a_receiver_that_is_down_is_left_alone() -> None:
    """One event tries it, with longer and longer pauses; the others keep their attempts, and go when it is back."""
    ground = Ground(attempts=1000, longest_pause="60s", at_once=4)
    ground.receiver.refuses = lambda _: True
    for number in range(20):
        ground.record(f"e{number}")
    ground.run(600)
    assert len(ground.receiver.got) < 40
    assert ground.receiver.got.count("e0") > 5
    assert set(ground.receiver.got) <= {"e0", "e1", "e2", "e3"}
    assert [type(event) for event in ground.told] == [SinkFailing]
    ground.receiver.refuses = lambda _: False
    ground.run(61)
    assert ground.delivery.waiting == 0
    assert [type(event) for event in ground.told] == [SinkFailing, SinkRestored]


def test_pauses_double_and_differ() -> None:
    """From a second on, with jitter, up to the longest."""
    ground = Ground(attempts=1000, longest_pause="8s")
    moments: list[float] = []

    def refuse(_: object) -> bool:
        moments.append(ground.clock.seconds())
        return True

    ground.receiver.refuses = refuse
    ground.record("a")
    ground.run(120)
    pauses = [after - before for before, after in pairwise(moments)]
    assert pauses[0] <= 1.25
    assert max(pauses) <= 8.25
    assert len({round(pause, 2) for pause in pauses[5:]}) > 2


def test_a_restart_forgets_nothing() -> None:
    """Attempts, dead letters and what waits are those of before; what was under way comes again."""
    ground = Ground(attempts=3)
    ground.receiver.refuses = lambda record: record.id == "bad"
    ground.record("bad")
    ground.record("good")
    ground.run(2)
    tried = ground.receiver.got.count("bad")
    ground.receiver.holds = True
    ground.record("under way")
    ground.delivery.stop()
    assert ground.receiver.is_stopped
    ground.receiver.holds = False
    ground.delivery = ground.started()
    ground.run(30)
    assert ground.receiver.got.count("bad") == 3 > tried
    assert ground.receiver.got.count("under way") == 2
    assert ground.receiver.got.count("good") == 1


def test_what_the_command_line_drops_never_goes() -> None:
    """Be it waiting for another attempt, or not fetched yet; the cursor gets past it."""
    ground = Ground(attempts=50)
    ground.receiver.refuses = lambda _: True
    ground.record("a", "/a")
    ground.record("b", "/a")
    assert ground.receiver.got == ["a"]
    ground.store.run(tables.drop, "a", [1, 2])
    ground.delivery.reload()
    ground.receiver.refuses = lambda _: False
    ground.run(30)
    assert ground.receiver.got == ["a"]
    ground.record("c", "/a")
    assert ground.receiver.got == ["a", "c"]
    ground.delivery.stop()
    ground.record("d")
    ground.record("e")
    ground.store.run(tables.drop, "a", [4])
    ground.delivery = ground.started()
    assert ground.receiver.got == ["a", "c", "e"]
    assert (cursor(ground), ground.store.run(tables.rows_of, "a", list(State), 10).result) == (5, [])


def test_a_pause_lets_what_is_under_way_come_to_its_end() -> None:
    """Then nothing is on its way, the cursor is in the file, and another process sends the rest."""
    ground = Ground(at_once=1)
    ground.receiver.holds = True
    ground.record("a")
    ground.record("b")
    ground.delivery.pause()
    before = ground.delivery.is_still
    ground.receiver.held.pop()[1].callback(None)
    assert (before, ground.delivery.is_still) == (False, True)
    assert (ground.receiver.got, cursor(ground)) == (["a"], 1)
    ground.delivery.stop()
    ground.receiver.holds = False
    ground.started()
    assert ground.receiver.got == ["a", "b"]


def test_events_that_come_while_all_is_read_anew() -> None:
    """Those that were out of the ledger by then, and had not gone because the receiver was down, are not passed by."""
    ground = Ground(attempts=50)
    ground.receiver.refuses = lambda _: True
    for id in ("a", "b", "c", "d", "e"):
        ground.record(id)
    assert "e" not in ground.receiver.got
    ground.store.is_late = True
    ground.delivery.reload()
    ground.record("f")
    ground.store.answer()
    ground.store.is_late = False
    ground.receiver.refuses = lambda _: False
    ground.run(60)
    assert set(ground.receiver.got) == {"a", "b", "c", "d", "e", "f"}
    assert ground.delivery.waiting == 0


def test_nothing_is_read_anew_before_the_command_line_changes_something() -> None:
    """Polls of a server whose events nobody has replayed or dropped ask two questions each, and read nothing again."""
    ground = Ground()
    ground.clock = Reactor()
    deliveries = Deliveries(ground.store, ground.clock, InlineWorkers(), ground.told.append, print, print)
    deliveries.use(Events.model_validate({"sinks": [{"name": "a", "file": "/dev/null"}]}), {})
    deliveries.start()
    try:
        ground.run(5)
        before = ground.store.calls
        ground.run(10)
        assert ground.store.calls - before == 10
        ground.store.run(tables.replay, "a", [], 0.0)
        ground.run(1)
        assert ground.store.calls - before == 10 + 1 + 1 + 1 + 1  # the replay, its poll, what is read anew, new events
    finally:
        deliveries.stop()


@pytest.mark.slow
def test_so_many_wait_and_no_more() -> None:
    """Then nothing new is fetched, and the memory that a sink takes has a bound."""
    ground = Ground(attempts=1000)
    ground.receiver.refuses = lambda _: True
    for number in range(MOST_BEHIND + 500):
        ground.record(f"e{number}", "/a")
    assert ground.delivery.waiting < MOST_BEHIND + 500
    ground.receiver.refuses = lambda _: False
    ground.run(60)
    assert ground.delivery.waiting == 0
    assert ground.receiver.got[-1] == f"e{MOST_BEHIND + 499}"


def test_only_what_a_sink_wants() -> None:
    """Others are passed by, and the cursor with them."""
    ground = Ground(only=["file-deleted"])
    ground.record("a")
    ground.record("b", event="file-deleted")
    ground.record("c")
    assert (ground.receiver.got, cursor(ground)) == (["b"], 3)


def test_a_state_file_that_breaks() -> None:
    """Deliveries go on when it is mended, with the same events."""
    ground = Ground()
    ground.record("a")
    ground.store.is_broken = True
    ground.delivery.poke()
    ground.store.is_broken = False
    ground.record("b")
    assert ground.receiver.got == ["a", "b"]


def test_a_ledger_that_is_lost() -> None:
    """Events read of it come again, with all that is recorded in the one of now; no number of the old one counts."""
    ground = Ground(at_once=1)
    ground.receiver.holds = True
    for id in ("a", "b"):
        ground.record(id)
    ground.store.begin_another()
    ground.record("c")
    (_, under_way), *_ = ground.receiver.held
    ground.receiver.holds = False
    ground.store.run(begin_again, ["a"], ground.delivery.untaken)
    ground.delivery.reload()
    under_way.callback(None)
    assert (ground.receiver.got, cursor(ground)) == (["a", "c", "a", "b"], 3)
    ground.record("d")
    assert (ground.receiver.got[-1], cursor(ground)) == ("d", 4)


def test_what_goes_from_the_ledger() -> None:
    """Events taken by all sinks, by age; the oldest above the bound, whatever they are, and how many of them."""
    ground = Ground(attempts=50)
    ground.receiver.refuses = lambda record: record.id == "e3"
    for number in range(10):
        ground.record(f"e{number}")
    counts: list[tuple[int, int]] = []
    ground.store.run(tables.prune, ["a"], time.time(), 1000).addCallback(counts.append)
    ground.store.run(tables.prune, ["a"], time.time(), 1000).addCallback(counts.append)
    assert counts == [(9, 0), (0, 0)]
    ground.receiver.refuses = lambda _: True
    for number in range(10, 30):
        ground.record(f"e{number}")
    ground.store.run(tables.prune, ["a"], -1.0, 10).addCallback(counts.append)
    assert counts[2] == (11, 11)
    ground.delivery.reload()
    ground.receiver.refuses = lambda _: False
    ground.run(3600)
    assert ground.delivery.waiting == 0
    assert ground.receiver.got[-10:] == [f"e{number}" for number in range(20, 30)]
