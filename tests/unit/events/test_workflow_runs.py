"""Runs of workflows on a real disk: each step once, whatever dies when; names; what fails; who is meant."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from ftpsd.audit.events import Event
from ftpsd.config.automation.workflow_rules import Workflow, WorkflowStep
from ftpsd.config.people.user_records import Mount, UserRecord
from ftpsd.events import record_tables
from ftpsd.events.record_tables import Draft, Record, last_number
from ftpsd.events.sinks.receiver import GivenUp, NotTaken
from ftpsd.events.workflows import runs
from ftpsd.events.workflows.actions import Action, FileAction, Moment
from ftpsd.events.workflows.file_steps import Result
from ftpsd.events.workflows.runs import Phase, Run
from ftpsd.events.workflows.workflow_run import Conditions, WorkflowRuns
from ftpsd.storage.base import Storage
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.mounts import MountedStorage
from ftpsd.storage.retention.held_places import HeldPlaces
from ftpsd.storage.retention.terms_of_keeping import Hold, View
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.path import VirtualPath
from ftpsd.values.trace import Trace
from ftpsd.workers import WorkerPool
from tests.state import InlineStore
from tests.workers import InlineWorkers


class Killed(BaseException):
    """The end of the process."""


class MortalStore(InlineStore):
    """A store with which the process ends in front of a call, or behind it, when it has made so many."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 1 << 30
        self.is_behind = False

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Deferred[Any]:
        self.left -= 1
        if self.left == 0 and not self.is_behind:
            return fail(Killed())
        done = super().run(function, *args, **kwargs)
        return fail(Killed()) if self.left == 0 else done


class MortalPool(InlineWorkers):
    """Workers with which the process ends in front of a call, or behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 1 << 30
        self.is_behind = False

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Deferred[Any]:
        if getattr(function, "__name__", "") == "close":  # the kernel does it
            return super().run(function, *args, **kwargs)
        self.left -= 1
        if self.left == 0 and not self.is_behind:
            return fail(Killed())
        done = super().run(function, *args, **kwargs)
        return fail(Killed()) if self.left == 0 else done

    def stop(self, patience: float = 0.0) -> bool:
        return True


class Noting:
    """An action that notes what it gets, and fails while *fails* says so."""

    def __init__(self, seen: list[tuple[str, str]], name: str) -> None:
        self.seen = seen
        self.name = name
        self.fails: Callable[[int], Exception | None] = lambda _: None
        self.calls = 0

    async def do(self, moment: Moment) -> Result | None:
        self.calls += 1
        error = self.fails(self.calls)
        if error is not None:
            raise error
        self.seen.append((self.name, moment.run.path))
        return None

    def stop(self) -> None:
        """Nothing is under way."""


class Home:
    """Two users with homes, one with a mount, a state file, and workflows that act there."""

    def __init__(self, folder: Path) -> None:
        self.home, self.mount = folder / "home", folder / "mount"
        self.home.mkdir()
        self.mount.mkdir()
        self.store = MortalStore()
        self.pool = MortalPool()
        self.clock = Clock()
        self.told: list[Event] = []
        self.counts: list[tuple[str, str, str]] = []
        self.seen: list[tuple[str, str]] = []
        self.places = HeldPlaces(tuple)
        self.user: UserRecord | None = UserRecord(
            "alice", None, self.home, role="partner", mounts=(Mount(VirtualPath.parse("/mnt"), self.mount),)
        )

    def find(self, host: str, name: str) -> Deferred[UserRecord | None]:
        return succeed(self.user if name == "alice" else None)

    def open(self, host: str, user: UserRecord) -> Storage:
        policy = UploadPolicy(durable=False)
        held = replace(policy, holding=self.places.of(self.home, View("alice", "", ())))
        home = LocalJail.open(self.home, uploads=held, owner="alice")
        mounted = LocalJail.open(self.mount, uploads=policy, owner="alice")
        return MountedStorage(home, {VirtualPath.parse("/mnt"): mounted})

    def runner(self, workflow: Workflow, replaced: dict[int, Action] | None = None) -> WorkflowRuns:
        """Return the receiver of another process."""

        def actions(steps: Sequence[WorkflowStep]) -> list[Action]:
            return [
                (replaced or {}).get(at) or FileAction(step, self.pool, None)  # type: ignore[arg-type]
                if step.action in ("move", "copy", "rename")
                else (replaced or {}).get(at) or Noting(self.seen, step.action)
                for at, step in enumerate(steps)
            ]

        failing: list[Action] = [
            FileAction(step, self.pool, None)  # type: ignore[arg-type]
            if step.action in ("move", "copy", "rename")
            else Noting(self.seen, f"failure:{step.action}")
            for step in workflow.on_failure
        ]
        count = lambda *what: self.counts.append(what)  # noqa: E731
        pool: Any = self.pool
        tell, trees = self.told.append, lambda: self
        return WorkflowRuns(
            workflow, actions(workflow.steps), failing, trees, self.store, self.clock, tell, count, set(), pool
        )

    def upload(self, path: str, content: bytes, number: int = 1, **more: Any) -> Record:
        """Put a file there, and return its event."""
        file = self.home / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        data = {"time": "now", "event": "file-stored", "user": "alice", "path": path, "bytes": len(content), **more}
        return Record(number, f"e-{number}", "file-stored", 1_796_000_000.0, (path,), None, json.dumps(data))

    def files(self) -> dict[str, bytes]:
        """Return all files that are seen."""
        found = {}
        for root, prefix in ((self.home, ""), (self.mount, "mnt/")):
            for path in root.rglob("*"):
                if path.is_file() and not path.name.startswith(".ftpsd-"):
                    found[prefix + str(path.relative_to(root))] = path.read_bytes()
        return found

    def finished(self, record: Record) -> int:
        """Return how many steps are noted."""
        found: list[Run | None] = []
        InlineStore.run(self.store, runs.load, "w", record.id).addCallback(found.append)
        return 0 if found[0] is None else len(found[0].finished)

    def run_of(self, record: Record, workflow: str = "w") -> Run:
        """Return the run that is in the state file."""
        found: list[Run | None] = []
        InlineStore.run(self.store, runs.load, workflow, record.id).addCallback(found.append)
        assert found[0] is not None
        return found[0]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def workflow(steps: Sequence[Any], **keys: Any) -> Workflow:
    """Return a workflow."""
    return Workflow.model_validate({"name": "w", "steps": steps, **keys})


PROGRAM = {"program": ["/bin/true"]}


def outcome(sending: Deferred[None]) -> BaseException | None:
    """Return how it has ended."""
    found: list[Any] = []
    sending.addBoth(found.append)
    assert found, "it has not ended"
    return None if found[0] is None else found[0].value


def test_killed_before_and_behind_every_call(home: Home) -> None:
    """No finished step is done twice, none is lost, and the files are where the steps have put them, once."""
    each = workflow(
        [
            {"copy": "/copies/{stem}-{id}{suffix}"},
            PROGRAM,
            {"rename": "{date}-{name}"},
            {"move": "/mnt/{year}/"},
            PROGRAM,
            {"move": "/done/{name}"},
        ]
    )
    date, expected_calls = "2026-11-30", 0
    for is_behind in (False, True):
        for of_store in (True, False):
            for at in range(1, 200):
                record = home.upload("/in/a.txt", b"content", number=at + 1000 * is_behind + 2000 * of_store)
                home.seen.clear()
                mortal: Any = home.store if of_store else home.pool
                mortal.left, mortal.is_behind = at, is_behind
                died = outcome(home.runner(each).send([record]))
                mortal.left = 1 << 30
                noted = home.finished(record)
                before = len(home.seen)
                if died is not None:
                    assert isinstance(died, Killed), died
                    assert outcome(home.runner(each).send([record])) is None
                assert home.run_of(record).phase is Phase.DONE
                assert home.files() == {
                    f"copies/a-{record.id}.txt": b"content",
                    f"done/{date}-a.txt": b"content",
                }, (at, is_behind, of_store)
                # A program may come again where the death came between it and its note, and is never left out.
                names = [(name, path) for name, path in home.seen]
                wanted = [("program", "/in/a.txt"), ("program", f"/mnt/2026/{date}-a.txt")]
                assert [pair for at_, pair in enumerate(names) if pair not in names[:at_]] == wanted
                assert len(names) <= 3
                if noted > 1:
                    assert wanted[0] not in names[before:]
                for file in (home.home / "copies").iterdir():
                    file.unlink()
                for file in (home.home / "done").iterdir():
                    file.unlink()
                if died is None:
                    break
            expected_calls += at
    assert expected_calls > 40, "the calls are not seen any more"


def test_names_that_come_from_clients_stay_parts_of_names(home: Home) -> None:
    """Nothing in a user, a name or a suffix leads elsewhere; what is no name is final, and tried once."""
    table = [
        ("/in/..", "/x/{name}", None),
        ("/in/a", "/x/{user}/{name}", "x/alice/a"),
        ("/in/a.tar.gz", "/x/{stem}{suffix}", "x/a.tar.gz"),
        ("/in/.profile", "/x/{stem}-{suffix}y", "x/.profile-y"),
        ("/in/{id}", "/x/", "x/{id}"),
        ("/in/b", "{folder}/done/{name}", "in/done/b"),
        ("/in/c", "/x/{suffix}/c", None),
        ("/in/d", "/x/.ftpsd-{name}", None),
        ("/in/e", "/x/{name}{name}{name}", "x/eee"),
    ]
    for number, (path, template, target) in enumerate(table):
        if path == "/in/..":
            record = Record(1, "dots", "file-stored", 0.0, (), None, json.dumps({"user": "alice", "path": "/in/.."}))
        else:
            record = home.upload(path, b"x", number=number)
        died = outcome(home.runner(workflow([{"move": template}])).send([record]))
        if target is None:
            assert isinstance(died, GivenUp), (path, template, died)
        else:
            assert died is None, (path, template, died)
            assert target in home.files()
    data = {"user": "../../etc", "path": "/in/a", "event": "file-stored"}
    record = Record(90, "evil", "file-stored", 0.0, (), None, json.dumps(data))
    home.user = UserRecord("../../etc", None, home.home)
    home.find = lambda host, name: succeed(home.user)  # type: ignore[method-assign]
    home.upload("/in/a", b"x")
    assert outcome(home.runner(workflow([{"copy": "/x/{user}"}])).send([record])) is None
    assert "x/.._.._etc" in home.files()
    assert sorted(path.name for path in home.home.parent.iterdir()) == ["home", "mount"]


def test_no_file_is_replaced_and_the_file_is_that_of_the_event(home: Home) -> None:
    """A taken name gets the id; a file that was replaced since belongs to another event; one that is gone fails."""
    each = workflow([{"move": "/done/{name}"}])
    home.upload("/done/a.txt", b"older")
    record = home.upload("/in/a.txt", b"newer", number=7)
    assert outcome(home.runner(each).send([record])) is None
    assert home.files() == {"done/a.txt": b"older", "done/a-e-7.txt": b"newer"}
    storage = home.open("", home.user)  # type: ignore[arg-type]
    sink = storage.open_sink(VirtualPath.parse("/in/b"))
    sink.write(memoryview(b"the second"))
    sink.commit()
    record = Record(
        8, "e-8", "file-stored", 0.0, (), None, json.dumps({"user": "alice", "path": "/in/b", "sha256": "0" * 64})
    )
    assert outcome(home.runner(each).send([record])) is None
    assert home.run_of(record).phase is Phase.SUPERSEDED
    assert "in/b" in home.files()
    (home.home / "in" / "b").unlink()
    record = Record(9, "e-9", "file-stored", 0.0, (), None, json.dumps({"user": "alice", "path": "/in/b"}))
    died = outcome(home.runner(each).send([record]))
    assert isinstance(died, GivenUp)
    assert str(died) == "/in/b: there is no such file"


def test_a_file_that_was_replaced_is_known_without_a_checksum(home: Home) -> None:
    """Without SHA-256 the ledger tells: it has another event about the file; a download is none."""
    each = workflow([{"move": "/done/{name}"}])
    data = json.dumps({"user": "alice", "path": "/in/a"})
    for event, phase in (
        ("file-sent", Phase.DONE),
        ("file-stored", Phase.SUPERSEDED),
        ("file-renamed", Phase.SUPERSEDED),
    ):
        home.upload("/in/a", event.encode())
        place = os.fsencode(home.home / "in" / "a")
        numbers: list[int] = []
        for number, name in enumerate(("file-stored", event)):
            draft = Draft(f"{event}-{number}", name, 0.0, data)
            home.store.run(record_tables.record, draft, Trace(place, 1, 1, 1, 1))
            home.store.run(last_number).addCallback(numbers.append)
        earlier = Record(numbers[0], f"{event}-0", "file-stored", 0.0, (), place, data)
        assert outcome(home.runner(each).send([earlier])) is None
        assert home.run_of(earlier).phase is phase, event
        assert ((home.home / "in" / "a").exists()) is (phase is Phase.SUPERSEDED), event


def test_failures_end_in_the_failure_steps_and_a_retry_goes_on(home: Home) -> None:
    """So many attempts, then on_failure once, then a dead letter; a retry does no finished step again."""
    each = workflow([{"copy": "/kept/{name}"}, PROGRAM], on_failure=[{"move": "/failed/{name}"}, PROGRAM], attempts=3)
    record = home.upload("/in/a", b"x")
    program = Noting(home.seen, "program")
    program.fails = lambda _: NotTaken("not now")
    ended = [outcome(home.runner(each, {1: program}).send([record])) for _ in range(4)]
    assert [type(end) for end in ended] == [NotTaken, NotTaken, GivenUp, GivenUp]
    assert str(ended[0]) == "program: not now"
    assert program.calls == 3
    assert home.seen == [("failure:program", "/failed/a")]
    run = home.run_of(record)
    assert (run.phase, run.failed_step, run.reason, run.path) == (Phase.FAILED, "program", "not now", "/failed/a")
    assert home.files() == {"kept/a": b"x", "failed/a": b"x"}
    program.fails = lambda _: None
    home.store.run(lambda connection: runs.retry(connection, run, 0.0, from_start=False))
    assert outcome(home.runner(each, {1: program}).send([record])) is None
    assert home.seen[-1] == ("program", "/failed/a")
    assert home.files() == {"kept/a": b"x", "failed/a": b"x"}
    # Final at once, and behind a change of the steps only from the start.
    record = home.upload("/in/b", b"x", number=2)
    program.fails = lambda _: GivenUp("never")
    calls = program.calls
    assert isinstance(outcome(home.runner(each, {1: program}).send([record])), GivenUp)
    assert program.calls == calls + 1
    run = home.run_of(record)
    home.store.run(lambda connection: runs.retry(connection, run, 0.0, from_start=False))
    changed = workflow([{"copy": "/other/{name}"}, PROGRAM])
    assert "--from-start" in str(outcome(home.runner(changed).send([record])))
    home.store.run(lambda connection: runs.retry(connection, run, 0.0, from_start=True))
    assert outcome(home.runner(changed).send([record])) is None
    assert "other/b" in home.files()
    assert {what[2] for what in home.counts} == {"done", "failed"}


def test_holds_users_who_are_gone_and_roles(home: Home) -> None:
    """A file that a hold keeps is not moved, and is copied; no user, no step; another role is passed by."""
    hold = Hold("h1", "court", 0.0, "op", ("/in/**",))
    home.places = HeldPlaces(lambda: (hold,))
    home.places.use(lambda: {home.home: [View("alice", "", ())]})
    record = home.upload("/in/a", b"x")
    moving = workflow([{"move": "/x/a"}])
    died = outcome(home.runner(moving).send([record]))
    assert isinstance(died, GivenUp)
    assert "legal hold h1" in str(died)
    copying = workflow([{"copy": "/x/a"}], name="c")
    assert outcome(home.runner(copying).send([record])) is None
    assert home.files() == {"in/a": b"x", "x/a": b"x"}
    other = home.upload("/y/a", b"x", number=2)
    assert outcome(home.runner(workflow([{"move": "/x/b"}], roles=["staff"])).send([other])) is None
    assert "y/a" in home.files()
    home.user = None
    third = home.upload("/y/c", b"x", number=3)
    assert str(outcome(home.runner(moving).send([third]))) == "there is no user alice any more"


def test_conditions() -> None:
    """Event, user, path, name and size; all of them have to fit."""
    data = {"user": "alice", "path": "/in/Invoice.PDF", "bytes": 5000}
    table: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
        ({}, {}, True),
        ({"on": ["file-sent"]}, {}, False),
        ({"users": ["alice", "bob"]}, {}, True),
        ({"users": ["bob"]}, {}, False),
        ({"paths": ["/in/**"]}, {}, True),
        ({"paths": ["/in"]}, {}, False),
        ({"paths": ["/out/**", "/in/*"]}, {}, True),
        ({"names": ["*.pdf"]}, {}, True),
        ({"names": ["*.csv", "inv*"]}, {}, True),
        ({"names": ["pdf"]}, {}, False),
        ({"min_size": 5000, "max_size": "5 kB"}, {}, True),
        ({"min_size": 5001}, {}, False),
        ({"max_size": 4999}, {}, False),
        ({"min_size": 1}, {"bytes": None}, False),
        ({"paths": ["/new/*"]}, {"path": None, "new": "/new/x"}, True),
        ({"names": ["*"]}, {"path": None}, False),
        ({}, {"path": None}, True),
        ({}, {"event": "quarantine-released", "user": None, "owner": "alice"}, True),
        ({"users": ["alice"]}, {"event": "upload-published"}, True),
        ({"users": ["alice"]}, {"event": "quarantine-released", "user": None, "owner": "bob"}, False),
        ({"on": ["file-sent"]}, {"event": "upload-published"}, False),
    ]
    for keys, more, fits in table:
        record = Record(1, "e", more.get("event", "file-stored"), 0.0, (), None, json.dumps({**data, **more}))
        assert Conditions(workflow([PROGRAM], **keys))(record) is fits, (keys, more)


def test_old_runs_go_and_dead_letters_stay() -> None:
    """A run that is over goes with its age; one that was given up, or is under way, stays."""
    store = InlineStore()
    for number, phase in enumerate([Phase.DONE, Phase.FAILED, Phase.STEPS, Phase.SUPERSEDED]):
        run = Run("w", f"e{number}", number, 0.0, 10.0, "/a", phase=phase)
        store.run(runs.save, run)
    store.run(
        lambda connection: connection.execute("INSERT INTO deliveries VALUES ('workflow.w', 1, 'dead', 1, 0, '')")
    )
    gone: list[int] = []
    store.run(runs.prune, 5.0, 100).addCallback(gone.append)
    store.run(runs.prune, 11.0, 100).addCallback(gone.append)
    left: list[list[Run]] = []
    store.run(runs.latest, None, [], 10).addCallback(left.append)
    assert (gone, [run.id for run in left[0]]) == ([0, 2], ["e1", "e2"])


def test_a_pool_of_its_own_ends_with_the_last_run(home: Home) -> None:
    """Also when it is stopped while nothing is under way."""
    pool = WorkerPool("w", 1, 1, lambda *_: None)
    pool.start()
    each = workflow([PROGRAM])
    tell, count = home.told.append, lambda *_: None
    actions = [Noting(home.seen, "p")]
    runner = WorkflowRuns(each, actions, [], lambda: home, home.store, home.clock, tell, count, set(), pool)
    runner.stop()
    assert pool.stop(10)
