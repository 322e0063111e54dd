"""Expectations out of a ledger in memory, by a clock of the test: each outcome once, over crashes and reloads."""

from __future__ import annotations

import json
from datetime import datetime
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from twisted.internet.task import Clock

from ftpsd.audit.bus import AuditBus
from ftpsd.audit.events import Event
from ftpsd.config.automation.event_sinks import Events
from ftpsd.config.automation.expectation_sections import Expectation
from ftpsd.events import progress_tables, record_tables
from ftpsd.events.awaited import waiting_tables
from ftpsd.events.awaited.due_today import due_on
from ftpsd.events.awaited.lookout import Lookout
from ftpsd.events.awaited.waiting import SETTLING
from ftpsd.events.deliveries import POLL, POLLS_TO_PRUNE, Deliveries
from ftpsd.events.record_tables import Draft
from tests.state import InlineStore
from tests.workers import InlineWorkers

BERLIN = ZoneInfo("Europe/Berlin")


def at(wall: str, day: str = "2026-12-01") -> float:
    """Return the Unix time of a time in Berlin."""
    return datetime.fromisoformat(f"{day}T{wall}").replace(tzinfo=BERLIN).timestamp()


class Ground:
    """A ledger, a clock and the expectation *keys*, from 06:00 to 09:00 in Berlin."""

    def __init__(self, now: float | None = None, **keys: Any) -> None:
        self.store = InlineStore()
        self.clock = Clock()
        self.clock.advance(at("05:00") if now is None else now)
        self.numbers = count(1)
        self.logged: list[tuple[str, str]] = []
        self.keys: dict[str, Any] = {
            **{"name": "pay", "path": "/inbox/pay-*.csv", "user": "acme", "from": "06:00", "by": "09:00"},
            **{"zone": "Europe/Berlin", "warn": None, **keys},
        }
        self.lookout = self.started()

    def started(self, **keys: Any) -> Lookout:
        """Return the lookout of another process, or that behind a reload with other *keys*."""
        self.keys |= keys
        bus = AuditBus(self.clock.seconds)
        bus.subscribe(self._note)
        self.lookout = Lookout(self.store, self.clock, bus)
        self.lookout.use((Expectation.model_validate(self.keys),))
        self.look()
        return self.lookout

    def _note(self, event: Event, _: float) -> None:
        self.logged.append((event.event.removeprefix("expectation-"), getattr(event, "day", "")))

    def note(self, *_: object) -> None:
        """Take no notice."""

    def look(self) -> None:
        """Have it look until there is nothing to do."""
        for _ in range(3):
            self.lookout.look()

    def go_to(self, wall: str, day: str = "2026-12-01", *, steps: int = 1) -> None:
        """Let the time pass."""
        left = at(wall, day) - self.clock.seconds()
        for _ in range(steps):
            self.clock.advance(left / steps)
            self.look()

    def upload(self, path: str, size: int = 100, event: str = "file-stored", **fields: Any) -> None:
        """Have an upload be complete now."""
        id = f"u-{next(self.numbers)}"
        data = {"user": "acme", "path": path, "bytes": size, **fields}
        draft = Draft(id, event, self.clock.seconds(), json.dumps(data))
        self.store.run(record_tables.record, draft, None)

    def told(self) -> list[str]:
        """Return the outcomes in the ledger, in order."""
        records = self.ledger()
        return [each.event.removeprefix("expectation-") for each in records if each.event.startswith("expectation-")]

    def ledger(self) -> list[record_tables.Record]:
        """Return all events."""
        found: list[record_tables.Record] = []
        self.store.run(record_tables.fetch, 0, 100_000).addCallback(found.extend)
        return found

    def due(self, day: str | None = None) -> list[tuple[str, str, int]]:
        """Return what `ftpsd expect` would."""
        section = (Expectation.model_validate(self.keys),)
        found: list[tuple[str, str, int]] = []
        wanted = None if day is None else datetime.fromisoformat(day).date()

        def read(connection: Any) -> None:
            for each in due_on(connection, section, wanted, self.clock.seconds()):
                found.append((each.day, each.state, each.came))

        self.store.run(read)
        return found


Upload = tuple[str, str, int]


def test_outcomes_by_table() -> None:
    """Files that came, when and with which keys, and the outcome told by noon."""
    size = {"size": {"min": 10, "max": 1000}}
    done = {"companions": ["*.done"]}
    table: list[tuple[str, dict[str, Any], list[Upload], list[str]]] = [
        ("nothing", {}, [], ["missing"]),
        ("in time", {}, [("08:59", "/inbox/pay-1.csv", 5)], ["on-time"]),
        ("to the second", {}, [("09:00", "/inbox/pay-1.csv", 5)], ["on-time"]),
        ("before the window", {}, [("05:59", "/inbox/pay-1.csv", 5)], ["missing"]),
        ("in the grace", {"grace": "30m"}, [("09:20", "/inbox/pay-1.csv", 5)], ["late"]),
        ("behind it", {}, [("10:00", "/inbox/pay-1.csv", 5)], ["missing", "late"]),
        ("another name", {}, [("08:00", "/inbox/other.csv", 5)], ["missing"]),
        ("another directory", {}, [("08:00", "/inbox/old/pay-1.csv", 5)], ["missing"]),
        ("one of two", {"count": 2}, [("08:00", "/inbox/pay-1.csv", 5)], ["missing"]),
        ("the same twice", {"count": 2}, [("08:00", "/inbox/pay-1.csv", 5)] * 2, ["missing"]),
        ("two", {"count": 2}, [("08:00", "/inbox/pay-1.csv", 5), ("08:30", "/inbox/pay-2.csv", 5)], ["on-time"]),
        ("too small", size, [("08:00", "/inbox/pay-1.csv", 9)], ["invalid"]),
        ("too large", size, [("08:00", "/inbox/pay-1.csv", 1001)], ["invalid"]),
        ("mended", size, [("08:00", "/inbox/pay-1.csv", 9), ("08:40", "/inbox/pay-1.csv", 10)], ["on-time"]),
        ("broken", size, [("08:00", "/inbox/pay-1.csv", 9), ("10:40", "/inbox/pay-1.csv", 10)], ["invalid", "late"]),
        ("no companion", done, [("08:00", "/inbox/pay-1.csv", 5)], ["invalid"]),
        ("only the companion", done, [("08:00", "/inbox/pay-1.done", 0)], ["missing"]),
        ("companion", done, [("08:00", "/inbox/pay-1.csv", 5), ("08:01", "/inbox/pay-1.done", 0)], ["on-time"]),
        ("it first", done, [("08:00", "/inbox/pay-1.csv.done", 0), ("08:01", "/inbox/pay-1.csv", 5)], ["on-time"]),
        ("of another", done, [("08:00", "/inbox/pay-1.csv", 5), ("08:01", "/inbox/pay-2.done", 0)], ["invalid"]),
        (
            "companion too late",
            {**done, "grace": "1h"},
            [("08:00", "/inbox/pay-1.csv", 5), ("09:01", "/inbox/pay-1.done", 0)],
            ["late"],
        ),
        (
            "companions are no files of a wide pattern",
            {**done, "path": "/inbox/**", "count": 2},
            [("08:00", "/inbox/a.csv", 5), ("08:01", "/inbox/a.done", 0)],
            ["missing"],
        ),
        ("a warning", {"warn": "30m"}, [("08:45", "/inbox/pay-1.csv", 5)], ["warning", "on-time"]),
        ("no need to warn", {"warn": "30m"}, [("08:15", "/inbox/pay-1.csv", 5)], ["on-time"]),
        ("warned and missing", {"warn": "30m"}, [], ["warning", "missing"]),
        ("warned early", {**size, "warn": "30m"}, [("06:30", "/inbox/pay-1.csv", 9)], ["warning", "invalid"]),
        ("no due day", {"days": ["mon"]}, [], []),
    ]
    # Looked at each minute, or once at the end, as by a daemon that was down meanwhile: the same but for warnings.
    for name, keys, uploads, expected in table:
        for is_down in (False, True):
            ground = Ground(**keys)
            for wall, path, length in uploads:
                if is_down:
                    ground.clock.advance(at(wall) - ground.clock.seconds())
                else:
                    ground.go_to(wall, steps=20)
                ground.upload(path, length)
            ground.go_to("12:00", steps=1 if is_down else 60)
            wanted = [word for word in expected if word != "warning"] if is_down else expected
            assert [word for word in ground.told() if not is_down or word != "warning"] == wanted, (name, is_down)
            assert [word for word, _ in ground.logged] == ground.told(), name


def test_others_are_not_it() -> None:
    """Uploads of other users and of virtual hosts, and what is no upload, do not count."""
    ground = Ground()
    ground.go_to("07:00")
    ground.upload("/inbox/pay-1.csv", user="other")
    ground.upload("/inbox/pay-1.csv", host="files.example.com")
    ground.upload("/inbox/pay-1.csv", event="file-sent")
    ground.upload("/inbox/pay-1.csv", event="file-deleted")
    ground.look()
    assert ground.due() == [("2026-12-01", "waiting", 0)]
    ground.upload("/inbox/pay-1.csv", event="file-copied")
    ground.look()
    assert ground.told() == ["on-time"]
    released: dict[str, Any] = {"user": None, "owner": "acme", "bytes": None}
    published: list[tuple[str, dict[str, Any]]] = [("upload-published", {}), ("quarantine-released", released)]
    for event, who in published:
        later = Ground(size={"min": 10})
        later.go_to("07:00")
        later.upload("/inbox/pay-1.csv", event=event, **who)
        later.look()
        assert later.told() == ["on-time"], event
    of_host = Ground(host="files.example.com")
    of_host.go_to("07:00")
    of_host.upload("/inbox/pay-1.csv")
    of_host.look()
    assert of_host.told() == []
    of_host.upload("/inbox/pay-1.csv", host="files.example.com")
    of_host.look()
    assert of_host.told() == ["on-time"]


def test_each_outcome_is_told_once_over_restarts_and_processes() -> None:
    """A process that starts anew at any moment, and a second one beside it, tell nothing again."""
    ground = Ground(warn="1h")
    for hour in ("07:00", "08:10", "08:50", "09:30", "11:00"):
        ground.go_to(hour)
        ground.started()
        beside = ground.lookout
        ground.started()
        beside.look()
    assert ground.told() == ["warning", "missing"]
    assert [word for word, _ in ground.logged] == ["warning", "missing"]
    ids = [each.id for each in ground.ledger()]
    assert ids == ["expectation-pay-2026-12-01-warning", "expectation-pay-2026-12-01-missing"]


def test_what_a_crash_kept_from_the_audit_log_is_said_at_the_next_start() -> None:
    """The outcome is in the ledger; between that and the log the process dies."""
    ground = Ground()
    section = (Expectation.model_validate(ground.keys),)
    ground.clock.advance(at("10:00") - ground.clock.seconds())
    ground.store.run(waiting_tables.advance, section, ground.clock.seconds())
    assert (ground.told(), ground.logged) == (["missing"], [])
    ground.started()
    assert ground.logged == [("missing", "2026-12-01")]
    ground.started()
    assert len(ground.logged) == 1


def test_a_step_that_fails_leaves_everything_as_it_was() -> None:
    """A state file that breaks in the middle: nothing is told then, and once when it is mended."""
    ground = Ground()
    ground.go_to("08:00")
    ground.upload("/inbox/pay-1.csv")
    ground.store.is_broken = True
    ground.look()
    assert ground.logged == []
    ground.store.is_broken = False
    ground.look()
    assert (ground.told(), ground.logged) == (["on-time"], [("on-time", "2026-12-01")])


def test_down_over_several_deadlines() -> None:
    """Each window of the time that the daemon was down is judged, by what came then; none of before it was expected."""
    ground = Ground(days="business-days")
    ground.go_to("08:00")
    ground.upload("/inbox/pay-1.csv")
    ground.look()
    ground.clock.advance(at("07:00", "2026-12-03") - ground.clock.seconds())
    ground.upload("/inbox/pay-3.csv")
    ground.clock.advance(at("08:00", "2026-12-08") - ground.clock.seconds())
    ground.started()
    days = [(word, day[-2:]) for word, day in ground.logged]
    assert days == [("on-time", "01"), ("missing", "02"), ("on-time", "03"), ("missing", "04"), ("missing", "07")]
    ground.clock.advance(400 * 86400)
    ground.logged.clear()
    ground.look()
    assert 20 <= len(ground.logged) <= 24, "a month back, and no more"


def test_a_new_expectation_begins_with_a_deadline_that_is_ahead() -> None:
    """In the middle of a window what came before counts; behind the deadline the day is let be."""
    ground = Ground(now=at("05:00"), name="other")
    ground.go_to("07:00")
    ground.upload("/inbox/pay-1.csv")
    ground.go_to("08:00")
    ground.started(name="new")
    assert ground.told() == ["on-time", "on-time"]
    late = Ground(now=at("10:00"))
    late.go_to("12:00")
    assert late.told() == []
    late.go_to("10:00", "2026-12-02")
    assert late.logged == [("missing", "2026-12-02")]


def test_a_reload_changes_the_window_of_today() -> None:
    """An open window follows the new keys, with what had come; a day that has its outcome keeps it."""
    ground = Ground()
    ground.go_to("07:00")
    ground.upload("/inbox/pay-1.txt")
    ground.look()
    ground.started(by="11:00")
    ground.go_to("09:30")
    assert ground.told() == []
    ground.started(path="/inbox/pay-*.txt")
    assert ground.told() == ["on-time"], "it came before the pattern was changed"
    ground.started(by="10:00", path="/inbox/pay-*.csv")
    ground.go_to("12:00")
    assert ground.told() == ["on-time"]
    ground.go_to("12:00", "2026-12-02")
    assert ground.told() == ["on-time", "missing"]


def test_a_clock_that_jumps() -> None:
    """Forward it decides, back it takes nothing back and tells nothing twice."""
    ground = Ground()
    ground.go_to("07:00")
    ground.go_to("10:00")
    assert ground.told() == ["missing"]
    ground.clock.rightNow -= 3 * 3600.0
    ground.look()
    ground.upload("/inbox/pay-1.csv")
    ground.look()
    assert ground.told() == ["missing", "late"]
    ground.go_to("12:00")
    assert ground.told() == ["missing", "late"]


def test_the_oldest_open_window_gets_the_file() -> None:
    """With a grace of a day yesterday's file may come this morning, and today's behind it."""
    ground = Ground(grace="24h")
    ground.go_to("07:00", "2026-12-02")
    ground.upload("/inbox/pay-1.csv")
    ground.look()
    assert ground.logged == [("late", "2026-12-01")]
    ground.upload("/inbox/pay-2.csv")
    ground.look()
    assert ground.logged == [("late", "2026-12-01"), ("on-time", "2026-12-02")]


def test_an_upload_that_is_recorded_a_little_later_is_in_time() -> None:
    """Its event may come into the ledger some seconds behind the deadline: by then it is not judged yet."""
    ground = Ground()
    ground.go_to("09:00")
    ground.clock.advance(SETTLING - 1)
    ground.look()
    data = json.dumps({"user": "acme", "path": "/inbox/pay-1.csv", "bytes": 5})
    ground.store.run(record_tables.record, Draft("u", "file-stored", at("08:59"), data), None)
    ground.look()
    assert ground.told() == ["on-time"]


def test_events_wait_for_the_reader() -> None:
    """The ledger keeps what has not been looked at, and lets the rest go."""
    ground = Ground(count=1000)
    ground.go_to("07:00")
    for number in range(450):
        ground.upload(f"/inbox/pay-{number}.csv")
    ground.lookout.look()  # one batch
    prune = progress_tables.prune
    ground.store.run(prune, [*ground.lookout.reader], ground.clock.seconds() + 1, 1_000_000)
    left = len(ground.ledger())
    assert left == 450 - waiting_tables.BATCH
    ground.look()
    assert ground.due() == [("2026-12-01", "waiting", 450)]
    ground.store.run(prune, [*ground.lookout.reader], ground.clock.seconds() + 1, 1_000_000)
    assert ground.ledger() == []
    ground.started()
    assert ground.due() == [("2026-12-01", "waiting", 450)], "what came is remembered without the ledger"


def test_a_year_of_business_days() -> None:
    """Every business day of a year has one outcome, over both changes of the clocks."""
    holidays = {"country": "DE", "subdivision": "BY"}
    ground = Ground(now=at("00:00", "2026-01-01"), days="business-days", holidays=holidays, grace="30m")
    end = at("23:59", "2026-12-31")
    day = 0
    while ground.clock.seconds() < end:
        ground.clock.advance(3 * 3600.0)
        ground.look()
        hour = datetime.fromtimestamp(ground.clock.seconds(), BERLIN).hour
        if hour in (6, 7, 8):
            day += 1
            if day % 3:
                ground.upload(f"/inbox/pay-{day}.csv")
    first = dict(reversed([(day, word) for word, day in ground.logged]))
    assert len(first) == 252
    assert set(first.values()) == {"on-time", "missing"}
    late = [day for word, day in ground.logged if word == "late"]  # what came on the weekend behind
    assert len(late) + 252 == len(ground.logged)
    assert {first[day] for day in late} == {"missing"}


def test_what_is_due_today() -> None:
    """The words of `ftpsd expect`, through the day."""
    ground = Ground(grace="30m", days="business-days")
    steps = [("05:30", "upcoming"), ("08:00", "waiting"), ("09:10", "overdue"), ("09:40", "missing")]
    for wall, state in steps:
        ground.go_to(wall)
        assert ground.due() == [("2026-12-01", state, 0)], wall
    ground.upload("/inbox/pay-1.csv")
    ground.look()
    assert ground.due() == [("2026-12-01", "late", 1)]
    assert ground.due("2026-12-05") == []
    assert ground.due("2026-12-04") == [("2026-12-04", "upcoming", 0)]
    assert ground.due("2026-11-30") == [("2026-11-30", "not-judged", 0)]


def test_deliveries_let_no_event_go_that_expectations_have_not_read() -> None:
    """The ledger of a server without any sink, which keeps nothing longer than it has to."""
    ground = Ground()
    ground.go_to("07:00")
    deliveries = Deliveries(ground.store, ground.clock, InlineWorkers(), ground.note, ground.note, ground.note)
    deliveries.readers = lambda: ground.lookout.reader
    deliveries.use(Events.model_validate({"keep": 0}), {})
    deliveries.start()
    ground.upload("/inbox/pay-1.csv")
    for _ in range(POLLS_TO_PRUNE + 1):
        ground.clock.advance(POLL)
    assert len(ground.ledger()) == 1
    ground.look()
    assert ground.told() == ["on-time"]
    for _ in range(POLLS_TO_PRUNE + 1):
        ground.clock.advance(POLL)
        ground.look()
    assert ground.ledger() == []
    deliveries.stop()
