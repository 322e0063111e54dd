"""
The table of runs: how far each workflow is with each event.

A run is written when it begins, before and behind each step that changes files, and behind every other step, so that
the next process goes on with the step that is not finished. Each function is called with an open state file, within a
transaction of the caller's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from sqlite3 import Connection
from typing import Any, Final

from ftpsd.events.progress_tables import replay

PREFIX: Final = "workflow."
# Lines of the history of one run.
MOST_HISTORY: Final = 60


class Phase(StrEnum):
    """The state of a run."""

    STEPS = "steps"
    ON_FAILURE = "on-failure"
    DONE = "done"
    SUPERSEDED = "superseded"
    FAILED = "failed"


OVER: Final = frozenset({Phase.DONE, Phase.SUPERSEDED, Phase.FAILED})


@dataclass(frozen=True, slots=True)
class Doing:
    """
    A change that a step is about to make: the file *inode* of *device*, with *size* bytes on the disk, comes to
    *target*, and *source* then goes.
    """

    target: str
    device: int
    inode: int
    size: int
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """
    The run of *workflow* behind the event *id* with the *number*, of *user* of *host*.

    *step* steps of *phase* are finished, whose marks are in *finished*; the next one has failed *attempts* times, the
    last for *reason*. The file is now called *path*; of *size* and *sha256* those are known that are not None.
    """

    workflow: str
    id: str
    number: int
    begun: float
    changed: float
    path: str
    user: str | None = None
    host: str = ""
    phase: Phase = Phase.STEPS
    step: int = 0
    attempts: int = 0
    reason: str = ""
    failed_step: str = ""
    size: int | None = None
    sha256: str | None = None
    finished: tuple[str, ...] = ()
    doing: Doing | None = None
    history: tuple[dict[str, Any], ...] = ()

    def noted(self, now: float, action: str, result: str, **more: Any) -> tuple[dict[str, Any], ...]:
        """Return the history with one line more."""
        line = {"time": now, "phase": str(self.phase), "step": self.step, "action": action, "result": result, **more}
        return (*self.history, line)[-MOST_HISTORY:]


def sink_of(workflow: str) -> str:
    """Return the name under which the deliveries to *workflow* are kept; no sink has a dot in its name."""
    return PREFIX + workflow


def load(connection: Connection, workflow: str, id: str) -> Run | None:
    """Return the run of *workflow* behind the event *id*."""
    row = connection.execute("SELECT data FROM runs WHERE workflow = ? AND id = ?", (workflow, id)).fetchone()
    return None if row is None else _run(row[0])


def save(connection: Connection, run: Run) -> None:
    """Keep *run*."""
    values = (run.workflow, run.id, run.number, str(run.phase), run.changed, json.dumps(asdict(run)))
    connection.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?)", values)


def latest(connection: Connection, workflow: str | None, phases: Sequence[str], most: int) -> list[Run]:
    """Return the runs that have changed last, of all workflows or one, in any phase or those; the oldest first."""
    marks = ", ".join("?" * len(phases))
    where = ["1", *(["workflow = ?"] if workflow is not None else []), *([f"phase IN ({marks})"] if phases else [])]
    values = [*([workflow] if workflow is not None else []), *phases, most]
    query = f"SELECT data FROM runs WHERE {' AND '.join(where)} ORDER BY changed DESC, number DESC LIMIT ?"
    return [_run(data) for (data,) in connection.execute(query, values).fetchall()][::-1]


def of_event(connection: Connection, id: str) -> list[Run]:
    """Return the runs of all workflows behind the event *id*."""
    rows = connection.execute("SELECT data FROM runs WHERE id = ? ORDER BY workflow", (id,))
    return [_run(data) for (data,) in rows.fetchall()]


def counts(connection: Connection, workflow: str) -> dict[str, int]:
    """Return how many runs of *workflow* there are in each phase."""
    rows = connection.execute("SELECT phase, count(*) FROM runs WHERE workflow = ? GROUP BY phase", (workflow,))
    return {str(phase): int(count) for phase, count in rows.fetchall()}


def retry(connection: Connection, run: Run, now: float, *, from_start: bool) -> None:
    """
    Have *run* gone on with, with the file where it is now.

    It begins with the step that has failed, or with the first one *from_start*; else finished steps are not done again.
    """
    data = asdict(run)
    if from_start:
        data |= {"phase": str(Phase.STEPS), "step": 0, "finished": [], "doing": None}
    elif run.phase in (Phase.ON_FAILURE, Phase.FAILED):
        # `finished` has one mark for each finished step of the workflow itself.
        data |= {"phase": str(Phase.STEPS), "step": len(run.finished), "doing": None}
    save(connection, _run(json.dumps(data | {"attempts": 0, "reason": "", "failed_step": "", "changed": now})))
    replay(connection, sink_of(run.workflow), [run.number], now)


def prune(connection: Connection, before: float, most: int) -> int:
    """Remove up to *most* runs that are over since before that Unix time, but for those given up; return how many."""
    return connection.execute(
        "DELETE FROM runs WHERE (workflow, id) IN (SELECT workflow, id FROM runs WHERE changed < ? AND"
        " phase IN ('done', 'superseded', 'failed') AND NOT EXISTS (SELECT 1 FROM deliveries WHERE"
        " deliveries.sink = 'workflow.' || runs.workflow AND deliveries.number = runs.number)"
        " ORDER BY changed LIMIT ?)",
        (before, most),
    ).rowcount


def _run(text: str) -> Run:
    data = json.loads(text)
    doing = data.pop("doing")
    return Run(
        **{
            **data,
            "phase": Phase(data["phase"]),
            "finished": tuple(data["finished"]),
            "history": tuple(data["history"]),
            "doing": None if doing is None else Doing(**doing),
        }
    )
