"""
The tables of jobs: their runs, what each knows of its files, and when each is due next.

Each function is called with an open state file, within a transaction of the caller's. A job has at most one run that is
under way, whichever process has it: the index of the table sees to it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from sqlite3 import Connection, IntegrityError
from typing import Any, Final

from ftpsd.durable import facts

# Kinds of facts: when a job is due next, by the name of the job; the last event that it has seen.
DUE: Final = "job-due"
SEEN: Final = "job-seen"
# Runs of one job that are kept, the newest.
MOST_RUNS: Final = 200


class RunState(StrEnum):
    """How far a run is."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"  # its daemon has ended; the next run goes on


@dataclass(frozen=True, slots=True)
class Run:
    """One run of *job*; *owner* is the process that has it, *due* is when it was to begin."""

    id: str
    job: str
    trigger: str
    due: float
    started: float
    owner: str
    state: RunState = RunState.RUNNING
    ended: float | None = None
    attempts: int = 0
    files: int = 0
    bytes: int = 0
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class KnownFile:
    """
    The knowledge of a job about the file *path* where it comes from: its *mark* then, and the *step* that it is at.

    *data* belongs to the step: the trace of a file about to be published, its digest.
    """

    path: str
    mark: str
    step: str
    data: dict[str, Any]


def claim(connection: Connection, run: Run, is_alive: Callable[[str], bool]) -> bool:
    """Begin *run*, unless a process that is alive has one of this job; runs of others are interrupted ones then."""
    under_way = "SELECT data, state, ended FROM job_runs WHERE job = ? AND state = 'running'"
    for other in _runs(connection.execute(under_way, (run.job,)).fetchall()):
        if is_alive(other.owner):
            return False
        save(connection, replace(other, state=RunState.INTERRUPTED, ended=run.started))
    try:
        connection.execute(
            "INSERT INTO job_runs (id, job, state, started, data) VALUES (?, ?, ?, ?, ?)",
            (run.id, run.job, str(run.state), run.started, _text(run)),
        )
    except IntegrityError:
        return False
    connection.execute(
        "DELETE FROM job_runs WHERE job = ?1 AND id NOT IN"
        " (SELECT id FROM job_runs WHERE job = ?1 ORDER BY started DESC, rowid DESC LIMIT ?2)",
        (run.job, MOST_RUNS),
    )
    return True


def save(connection: Connection, run: Run) -> None:
    """Write down how far *run* is."""
    values = str(run.state), run.ended, _text(run), run.id
    connection.execute("UPDATE job_runs SET state = ?, ended = ?, data = ? WHERE id = ?", values)


def interrupt(connection: Connection, is_alive: Callable[[str], bool], now: float) -> None:
    """Note that the runs of processes that have died are interrupted."""
    for run in _runs(connection.execute("SELECT data, state, ended FROM job_runs WHERE state = 'running'").fetchall()):
        if not is_alive(run.owner):
            reason = "the daemon ended meanwhile"
            save(connection, replace(run, state=RunState.INTERRUPTED, ended=now, reason=reason))


def latest(connection: Connection, job: str | None, most: int) -> list[Run]:
    """Return the last runs, of *job* or of all, the newest first."""
    query = "SELECT data, state, ended FROM job_runs {} ORDER BY started DESC, rowid DESC LIMIT ?"
    if job is None:
        return _runs(connection.execute(query.format(""), (most,)).fetchall())
    return _runs(connection.execute(query.format("WHERE job = ?"), (job, most)).fetchall())


def last_success(connection: Connection) -> dict[str, float]:
    """Return when each job has last ended well."""
    rows = connection.execute("SELECT job, max(ended) FROM job_runs WHERE state = 'done' GROUP BY job").fetchall()
    return {str(job): float(ended) for job, ended in rows}


# --- files


def known(connection: Connection, job: str) -> dict[str, KnownFile]:
    """Return all that *job* knows, by path."""
    rows = connection.execute("SELECT path, mark, step, data FROM job_files WHERE job = ?", (job,)).fetchall()
    found = (KnownFile(_path(path), mark, step, json.loads(data)) for path, mark, step, data in rows)
    return {each.path: each for each in found}


def know(connection: Connection, job: str, file: KnownFile, now: float) -> None:
    """Keep *file*."""
    path = file.path.encode("utf-8", "surrogatepass")
    connection.execute(
        "INSERT OR REPLACE INTO job_files (job, path, mark, step, changed, data) VALUES (?, ?, ?, ?, ?, ?)",
        (job, path, file.mark, file.step, now, json.dumps(file.data)),
    )


def forget(connection: Connection, job: str, paths: list[str]) -> None:
    """Forget files that are gone where they came from."""
    for path in paths:
        encoded = path.encode("utf-8", "surrogatepass")
        connection.execute("DELETE FROM job_files WHERE job = ? AND path = ?", (job, encoded))


# --- the clock


def due(connection: Connection, job: str, schedule: str) -> float | None:
    """Return when *job* is due next by *schedule*; None where that is not known, or was by another one."""
    value = facts.get(connection, DUE, job, 0.0)
    if value is None:
        return None
    moment, _, kept = value.partition(" ")
    return float(moment) if kept == schedule else None


def set_due(connection: Connection, job: str, schedule: str, moment: float) -> None:
    """Keep when *job* is due next."""
    facts.put(connection, DUE, job, f"{moment!r} {schedule}")


def seen(connection: Connection, job: str) -> int | None:
    """Return the number of the last event that *job* has looked at."""
    value = facts.get(connection, SEEN, job, 0.0)
    return None if value is None else int(value)


def set_seen(connection: Connection, job: str, number: int) -> None:
    """Keep how far *job* has looked at events."""
    facts.put(connection, SEEN, job, str(number))


def _text(run: Run) -> str:
    return json.dumps(asdict(run))


def _runs(rows: list[tuple[str, str, float | None]]) -> list[Run]:
    found = []
    for data, state, ended in rows:
        values = json.loads(data)
        found.append(Run(**{**values, "state": RunState(state), "ended": ended}))
    return found


def _path(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
