"""
A workflow as a receiver of events: its steps in order, each of them once.

* A finished step is in the state file before the next step begins (runs.py). A step whose daemon died between doing
  and noting it is tried again: file steps see that they are done (file_steps.py), programs, webhooks and mails come
  again with the same id.
* A step that fails is tried again with pauses, `attempts` times, or not at all where no later attempt can succeed. Then
  come the steps of `on_failure`, in the same way, and the event is a dead letter.
* Steps make no events of the ledger, so no workflow begins another one, or itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from fnmatch import translate
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime

from ftpsd.audit.events import Event, Who
from ftpsd.audit.topics.automation.workflow_events import WorkflowFailed, WorkflowFinished, WorkflowStepDone
from ftpsd.auth.credentials import LoginDenied
from ftpsd.config.automation.event_sinks import PUBLISHED_LATER
from ftpsd.config.automation.name_templates import BadName
from ftpsd.config.automation.workflow_rules import Workflow, WorkflowStep, mark_of
from ftpsd.config.people.user_records import UserRecord
from ftpsd.durable.state_trouble import StateTrouble
from ftpsd.durable.store import Store
from ftpsd.events.record_tables import Record, is_replaced
from ftpsd.events.sinks.receiver import GivenUp, NotTaken
from ftpsd.events.workflows import runs
from ftpsd.events.workflows.actions import Action, Moment
from ftpsd.events.workflows.file_steps import Superseded
from ftpsd.events.workflows.runs import OVER, Phase, Run
from ftpsd.events.workflows.user_trees import Trees
from ftpsd.storage.rules import Rules
from ftpsd.values.path import PathError, VirtualPath
from ftpsd.values.permission import Permission
from ftpsd.values.rule import Rule
from ftpsd.workers import PoolBusy, WorkerPool

_MARK: Final = frozenset({Permission.READ})
# Failed attempts, which the run counts: its deliveries have no bound of their own.
UNBOUNDED: Final = 1 << 31
REPLACED: Final = "the file was replaced since"
CHANGED: Final = (
    "the workflow was changed while this run was under way; `ftpsd workflows retry --from-start` begins anew"
)


@dataclass(frozen=True, slots=True)
class Pace:
    """The pacing of the deliveries to a workflow."""

    name: str
    longest_pause: float
    at_once: int
    attempts: int = UNBOUNDED

    @classmethod
    def of(cls, workflow: Workflow) -> Pace:
        """Return that of *workflow*."""
        return cls(runs.sink_of(workflow.name), workflow.longest_pause, workflow.at_once)


class Conditions:
    """The conditions of *workflow*, but for the role, which is not in an event."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._paths = Rules.of(tuple(Rule(path, _MARK) for path in workflow.paths))
        self._names = _pattern(workflow.names)

    def __call__(self, record: Record) -> bool:
        """Return whether *record* fulfils them."""
        workflow = self._workflow
        is_upload = record.event in PUBLISHED_LATER and "file-stored" in workflow.on
        if record.event not in workflow.on and not is_upload:
            return False
        data = json.loads(record.data)
        if workflow.users and (_user_of(data) or data.get("name")) not in workflow.users:
            return False
        size = data.get("bytes")
        if workflow.min_size is not None and (size is None or size < workflow.min_size):
            return False
        if workflow.max_size is not None and (size is None or size > workflow.max_size):
            return False
        path = data.get("path") or data.get("new")
        if path is None:  # a login, which is at no path
            return not workflow.names and workflow.paths == ("/**",)
        try:
            parts = VirtualPath.parse(path).parts
        except PathError:
            return False
        is_named = self._names is None or (bool(parts) and self._names(parts[-1]) is not None)
        return is_named and bool(self._paths.at(parts).allowed)


class WorkflowRuns:
    """
    The receiver of the events of *workflow*; *steps* and *on_failure* are its actions.

    *tell* is called with events for the audit log, *count* with the workflow, an action and "done" or "failed".
    *under_way* are the runs that the process is at; *pool*, in which the actions block, ends with the last of them.
    """

    most = 1

    def __init__(
        self,
        workflow: Workflow,
        steps: Sequence[Action],
        on_failure: Sequence[Action],
        trees: Callable[[], Trees],
        store: Store,
        clock: IReactorTime,
        tell: Callable[[Event], object],
        count: Callable[[str, str, str], object],
        under_way: set[tuple[str, str]],
        pool: WorkerPool,
    ) -> None:
        self._under_way = under_way
        self._pool = pool
        self._running = 0
        self._workflow = workflow
        self._plan: dict[Phase, Sequence[tuple[WorkflowStep, Action]]] = {
            Phase.STEPS: [*zip(workflow.steps, steps, strict=True)],
            Phase.ON_FAILURE: [*zip(workflow.on_failure, on_failure, strict=True)],
        }
        self._trees = trees
        self._store = store
        self._clock = clock
        self._tell = tell
        self._count = count
        self._is_stopped = False

    def send(self, records: Sequence[Record]) -> Deferred[None]:
        """Do what is not finished of the run behind the one of *records*."""
        (record,) = records
        return Deferred.fromCoroutine(self._told(record.id, self._send(record)))

    def stop(self) -> None:
        """Break off what is under way."""
        self._is_stopped = True
        for plan in self._plan.values():
            for _, action in plan:
                action.stop()
        self._end_pool()

    def _end_pool(self) -> None:
        if self._is_stopped and not self._running:
            self._pool.stop(0.0)

    async def _told(self, id: str, sending: Coroutine[Any, Any, None]) -> None:
        key = self._workflow.name, id
        if key in self._under_way:
            sending.close()
            raise NotTaken("it is under way, as it was before a reload")
        self._under_way.add(key)
        self._running += 1
        try:
            await sending
        except (StateTrouble, PoolBusy) as error:
            raise NotTaken(f"the state file: {error}") from None
        except CancelledError:
            raise NotTaken("it was broken off") from None
        finally:
            self._under_way.discard(key)
            self._running -= 1
            self._end_pool()

    async def _send(self, record: Record) -> None:
        run = await self._store.run(runs.load, self._workflow.name, record.id)
        if run is not None and run.phase in (Phase.DONE, Phase.SUPERSEDED):
            return
        data = json.loads(record.data)
        user = await self._user(data)
        if run is None:
            if self._workflow.roles and (user is None or user.role not in self._workflow.roles):
                return
            run = await self._save(self._begun(record, data))
        elif run.phase is Phase.FAILED:
            raise GivenUp(run.reason)
        while run.phase not in OVER:
            if self._is_stopped:
                raise NotTaken("the server is being stopped")
            run = await self._one_more(run, record, data, user)
        if run.phase is Phase.FAILED:
            raise GivenUp(run.reason)

    async def _user(self, data: dict[str, Any]) -> UserRecord | None:
        name = _user_of(data)
        if not name:
            return None
        try:
            return await self._trees().find(data.get("host") or "", name)
        except LoginDenied:
            return None

    def _begun(self, record: Record, data: dict[str, Any]) -> Run:
        now = self._clock.seconds()
        path = data.get("path") or data.get("new") or ""
        who = _user_of(data), data.get("host") or ""
        return Run(self._workflow.name, record.id, record.number, now, now, path, *who, sha256=data.get("sha256"))

    # --- one step

    async def _one_more(self, run: Run, record: Record, data: dict[str, Any], user: UserRecord | None) -> Run:
        """Do the next step of *run*, or end it; return it as it is then. Raises: NotTaken, to be tried again."""
        plan = self._plan[run.phase]
        if run.step >= len(plan):
            return await self._end(run, Phase.DONE if run.phase is Phase.STEPS else Phase.FAILED)
        step, action = plan[run.step]
        if run.phase is Phase.STEPS and not self._is_same(run):
            return await self._end(replace(run, reason=CHANGED, failed_step=step.action), Phase.FAILED)

        # Where the event has no SHA-256, nothing of the file tells which one it is.
        is_nameless = run.sha256 is None and run.size is None and run.doing is None
        if is_nameless and record.file and await self._store.run(is_replaced, record.number, record.file):
            return await self._end(replace(run, reason=REPLACED), Phase.SUPERSEDED)

        async def announce(doing: runs.Doing) -> None:
            nonlocal run
            run = await self._save(replace(run, doing=doing))

        try:
            result = await action.do(Moment(record, data, run, user, self._trees(), announce))
        except Superseded:
            return await self._end(replace(run, reason=REPLACED), Phase.SUPERSEDED)
        except (NotTaken, BadName) as error:
            return await self._failed(run, step, error)
        self._count(run.workflow, step.action, "done")
        now, more = self._clock.seconds(), {}
        path, size, sha256 = run.path, run.size, run.sha256
        if result is not None:
            path, size, sha256 = str(result.path), result.size, result.sha256
            more = {"path": run.path, "target": path}
        self._tell(WorkflowStepDone(_who(run), run.workflow, run.id, run.step + 1, step.action, run.path, path))
        finished = (*run.finished, mark_of(step)) if run.phase is Phase.STEPS else run.finished
        return await self._save(
            replace(
                run,
                step=run.step + 1,
                attempts=0,
                doing=None,
                path=path,
                size=size,
                sha256=sha256,
                finished=finished,
                history=run.noted(now, step.action, "done", **more),
            )
        )

    def _is_same(self, run: Run) -> bool:
        """Return whether the finished steps are those of the workflow as it is now."""
        return run.finished == tuple(mark_of(step) for step, _ in self._plan[Phase.STEPS][: len(run.finished)])

    async def _failed(self, run: Run, step: WorkflowStep, error: Exception) -> Run:
        if self._is_stopped:
            raise NotTaken("the server is being stopped")
        self._count(run.workflow, step.action, "failed")
        reason, attempts = str(error), run.attempts + 1
        history = run.noted(self._clock.seconds(), step.action, "failed", reason=reason, attempt=attempts)
        run = replace(run, attempts=attempts, history=history)
        is_final = isinstance(error, (GivenUp, BadName)) or attempts >= self._workflow.attempts
        if run.phase is Phase.ON_FAILURE:
            # The reason of the run stays that of the step it failed at.
            if not is_final:
                await self._save(run)
                raise NotTaken(f"on_failure: {step.action}: {reason}")
            return await self._end(
                replace(run, reason=f"{run.reason}; on_failure: {step.action}: {reason}"), Phase.FAILED
            )
        run = replace(run, reason=reason, failed_step=step.action)
        if not is_final:
            await self._save(run)
            raise NotTaken(f"{step.action}: {reason}")
        place = run.step + 1
        self._tell(WorkflowFailed(_who(run), run.workflow, run.id, place, step.action, run.path, attempts, reason))
        return await self._save(replace(run, phase=Phase.ON_FAILURE, step=0, attempts=0, doing=None))

    async def _end(self, run: Run, phase: Phase) -> Run:
        history = run.noted(self._clock.seconds(), "", str(phase), reason=run.reason)
        run = await self._save(replace(run, phase=phase, doing=None, history=history))
        self._tell(WorkflowFinished(_who(run), run.workflow, run.id, str(phase), run.path))
        return run

    async def _save(self, run: Run) -> Run:
        run = replace(run, changed=self._clock.seconds())
        await self._store.run(runs.save, run)
        return run


def _user_of(data: dict[str, Any]) -> str | None:
    """Return the user in whose trees the file of an event is; `owner` where somebody else has let it go."""
    return data.get("user") or data.get("owner")


def _who(run: Run) -> Who:
    return Who(session="", user=run.user, peer="", listener="", host=run.host)


def _pattern(names: Sequence[str]) -> Callable[[str], object] | None:
    # Names on disks of Windows' clients come in any case.
    return re.compile("|".join(map(translate, names)), re.IGNORECASE).match if names else None
