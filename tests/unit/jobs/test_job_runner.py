"""When jobs run: by the clock, late, while they run, behind events, after a crash, and in one process alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from ftpsd.audit.bus import AuditBus
from ftpsd.audit.events import Event
from ftpsd.audit.topics.automation.job_events import JobEnded, JobSkipped, JobStarted
from ftpsd.config.automation.job_sections import Job
from ftpsd.events import record_tables
from ftpsd.events.record_tables import Draft
from ftpsd.jobs import job_tables as tables
from ftpsd.jobs.cron_times import count_between, next_after
from ftpsd.jobs.job_run import Means
from ftpsd.jobs.job_runner import AT_ONCE, JobRunner
from ftpsd.jobs.job_tables import Run
from ftpsd.jobs.moving import Progress
from ftpsd.partners.contact import Fault, PartnerError
from tests.state import InlineStore
from tests.workers import InlineWorkers

DEAD = "no-boot 1 1"
HOUR = 3600.0


class Ground:
    """A runner on a fake clock, whose jobs do as *does* says."""

    def __init__(self, *jobs: dict[str, Any], store: InlineStore | None = None, begun: float = 1000.0) -> None:
        self.store = store or InlineStore()
        self.clock = Clock()
        self.clock.advance(begun)
        self.told: list[Event] = []
        self.bus = AuditBus(self.clock.seconds)
        self.bus.subscribe(lambda event, _: self.told.append(event))
        self.ran: list[str] = []
        self.held: list[Deferred[None]] = []
        self.does: Callable[[Job, Progress], Deferred[None] | None] = lambda *_: None
        self.jobs = tuple(Job.model_validate({"backup": {"directory": "/b"}, **job}) for job in jobs)

        async def back_up(job: Job, progress: Progress) -> None:
            self.ran.append(job.name)
            if (waited := self.does(job, progress)) is not None:
                await waited

        trees: Any = None
        self.runner = JobRunner(self.store, self.bus, InlineWorkers(), self.clock)
        self.runner.use(self.jobs, Means({}, trees, back_up))
        self.runner.start()
        self.clock.advance(0)

    def hold(self, *_: object) -> Deferred[None]:
        """Have a run wait."""
        self.held.append(Deferred())
        return self.held[-1]

    def go(self, seconds: float, step: float = 1.0) -> None:
        """Let so many seconds pass."""
        self.clock.pump([step] * int(seconds / step))

    def events(self, kind: type[Event]) -> list[Any]:
        """Return what was told, of that kind."""
        return [each for each in self.told if isinstance(each, kind)]


def test_both_changes_of_the_clock() -> None:
    """A fixed time runs once on either day; one that counts minutes follows the real time."""

    def moments(expression: str, first: str, count: int) -> list[str]:
        zone = ZoneInfo("Europe/Berlin")
        now, found = datetime.fromisoformat(first).replace(tzinfo=zone).timestamp(), []
        for _ in range(count):
            now = next_after(expression, "Europe/Berlin", now)
            found.append(datetime.fromtimestamp(now, zone).strftime("%d %H:%M%z"))
        return found

    spring, autumn = "2026-03-28T12:00", "2026-10-24T12:00"
    assert moments("30 2 * * *", spring, 2) == ["29 03:00+0200", "30 02:30+0200"]
    assert moments("30 2 * * *", autumn, 2) == ["25 02:30+0200", "26 02:30+0100"]
    half_hours = moments("*/30 * * * *", "2026-10-25T01:40", 4)
    assert half_hours == ["25 02:00+0200", "25 02:30+0200", "25 02:00+0100", "25 02:30+0100"]
    assert count_between("0 * * * *", "UTC", 0.0, 24 * HOUR) == 25
    assert count_between("* * * * *", "UTC", 0.0, 1e9) == 1000


def test_by_the_clock_and_once_for_each_moment() -> None:
    """Each hour one run; a restart in between forgets none, and repeats none."""
    ground = Ground({"name": "a", "at": "0 * * * *"})
    ground.go(3 * HOUR)
    assert ground.ran == ["a"] * 3
    assert {event.result for event in ground.events(JobEnded)} == {"done"}
    ground.runner.stop()
    again = Ground({"name": "a", "at": "0 * * * *"}, store=ground.store, begun=ground.clock.seconds())
    again.go(30)
    assert again.ran == []
    again.go(HOUR)
    assert again.ran == ["a"]


def test_moments_that_were_missed() -> None:
    """One run for all of them, or none, as the job says; either way it is told."""
    for missed, ran, skipped in (("once", ["a"], 4), ("skip", [], 5)):
        ground = Ground({"name": "a", "at": "0 * * * *", "missed": missed})
        ground.go(60)
        ground.runner.stop()
        later = Ground({"name": "a", "at": "0 * * * *", "missed": missed}, store=ground.store, begun=5.5 * HOUR)
        later.go(10)
        assert later.ran == ran
        assert [(event.reason, event.moments) for event in later.events(JobSkipped)] == [("missed", skipped)]
        assert [event.trigger for event in later.events(JobStarted)] == ["missed"][: len(ran)]
        later.go(HOUR)
        assert later.ran == [*ran, "a"]


def test_a_job_that_still_runs() -> None:
    """The next moment is skipped, or is one run behind it."""
    for overlap, count in (("skip", 1), ("queue", 2)):
        ground = Ground({"name": "a", "at": "0 * * * *", "overlap": overlap})
        ground.does = ground.hold
        ground.go(3 * HOUR, 60)
        assert ground.ran == ["a"]
        assert len(ground.events(JobSkipped)) == (2 if overlap == "skip" else 0)
        ground.held[0].callback(None)
        ground.go(5)
        assert len(ground.ran) == count


def test_attempts_are_bounded_and_behind_pauses() -> None:
    """Pauses double up to the longest; a refused login ends the run at once; the reason is on record."""
    for fault, count in ((Fault.UNREACHABLE, 4), (Fault.LOGIN, 1), (Fault.UNTRUSTED, 1)):
        ground = Ground({"name": "a", "attempts": 4, "longest_pause": "8s"})
        moments: list[float] = []

        def fails(_: Job, __: Progress) -> Deferred[None]:
            moments.append(ground.clock.seconds())  # noqa: B023
            raise PartnerError(fault, "no")  # noqa: B023

        ground.does = fails
        Deferred.fromCoroutine(ground.runner.order("a"))
        ground.go(60)
        assert len(moments) == count
        assert [later - first for first, later in pairwise(moments)] == [5, 8, 8][: count - 1]
        (ended,) = ground.events(JobEnded)
        assert (ended.result, ended.reason, ended.attempts) == ("failed", "no", count)
    ground = Ground({"name": "a", "time_limit": "150s", "attempts": 1})
    ground.does = ground.hold
    with capturedLogs() as lines:
        Deferred.fromCoroutine(ground.runner.order("a"))
        ground.go(160)
    # A line a minute says how far it is.
    assert len([line for line in lines if "files left" in str(line.get("log_format"))]) == 2
    (ended,) = ground.events(JobEnded)
    assert "time limit" in ended.reason


def test_one_process_alone_has_a_run() -> None:
    """A second one does not begin it, with the same state file; a run whose process has died is gone on with."""
    ground = Ground({"name": "a", "at": "0 * * * *"})
    ground.does = ground.hold
    ground.go(HOUR)
    other = Ground({"name": "a", "at": "0 * * * *"}, store=ground.store, begun=ground.clock.seconds())
    Deferred.fromCoroutine(other.runner.order("a"))
    other.go(10)
    assert (ground.ran, other.ran) == (["a"], [])
    store = InlineStore()
    store.run(tables.claim, Run("r1", "a", "clock", 0.0, 0.0, DEAD), lambda owner: owner != DEAD)
    after = Ground({"name": "a"}, store=store)
    after.go(10)
    assert after.ran == ["a"]
    found: list[list[Run]] = []
    store.run(tables.latest, "a", 10).addCallback(found.append)
    runs = [(run.trigger, str(run.state)) for run in found[0]]
    assert runs == [("interrupted", "done"), ("clock", "interrupted")]
    again = Ground({"name": "a"}, store=store)
    again.go(10)
    assert again.ran == []


def test_behind_events() -> None:
    """Only what fits, several as one run, what has come meanwhile as one more, none of before the job was there."""
    ground = Ground({"name": "a", "on": {"paths": ["/in/*"], "users": ["alice"]}})

    def store(number: int, path: str, user: str = "alice") -> None:
        data = f'{{"path": "{path}", "user": "{user}"}}'
        ground.store.run(record_tables.record, Draft(str(number), "file-stored", 0.0, data), None)

    ground.go(2)
    store(1, "/out/x")
    store(2, "/in/x", "bob")
    ground.go(3)
    assert ground.ran == []
    ground.does = ground.hold
    for number in (3, 4, 5):
        store(number, f"/in/{number}")
    ground.go(3)
    assert ground.ran == ["a"]
    store(6, "/in/6")
    ground.go(3)
    assert ground.ran == ["a"]
    ground.does = lambda *_: None
    ground.held[0].callback(None)
    ground.go(5)
    assert ground.ran == ["a", "a"]
    ground.runner.stop()
    later = Ground({"name": "a", "on": {"paths": ["/in/*"]}}, store=ground.store)
    store(7, "/in/7")
    later.go(5)
    assert later.ran == ["a"]


def test_runs_at_once_are_bounded() -> None:
    """The others wait for their turn; a state file that breaks loses no moment."""
    ground = Ground(*({"name": f"j{number}", "at": "0 * * * *"} for number in range(AT_ONCE + 2)))
    ground.does = ground.hold
    ground.go(60)
    ground.store.is_broken = True
    ground.go(HOUR)
    assert ground.ran == []
    ground.store.is_broken = False
    ground.go(5)
    assert len(ground.ran) == AT_ONCE
    ground.held[0].callback(None)
    ground.go(2)
    assert len(ground.ran) == AT_ONCE + 1
    ground.runner.stop()


def test_a_clock_that_was_wrong() -> None:
    """One a year ahead, at the start or later, puts nothing off; one that is set back a bit repeats nothing."""
    job = {"name": "a", "at": "0 * * * *"}
    year = 365 * 24 * HOUR
    ahead = Ground(job, begun=year)
    ahead.go(10)
    ahead.runner.stop()
    right = Ground(job, store=ahead.store, begun=1000.0)
    right.go(HOUR)
    assert right.ran == ["a"]
    # While it runs, by two minutes across the moment, and then by a year.
    right.clock.rightNow = 2 * HOUR - 10
    right.go(20)
    assert right.ran == ["a"] * 2
    right.clock.rightNow -= 120
    for call in right.clock.getDelayedCalls():
        call.reset(1)
    right.go(300)
    assert right.ran == ["a"] * 2
    right.clock.rightNow += year
    right.go(10)
    right.clock.rightNow -= year
    for call in right.clock.getDelayedCalls():
        call.reset(1)
    before = len(right.ran)
    right.go(HOUR)
    assert len(right.ran) == before + 1
