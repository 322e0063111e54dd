"""
The runs of jobs: by the clock, behind events, by order, and after an interruption. One process of a server has it.

* That a job was due, and its run, are written in one transaction: no crash loses a run, and none is begun twice.
* A run that the end of the daemon has interrupted is begun again at the start.
* Moments that have passed while nobody was there are one run (`missed: once`) or none.
* A moment that comes while the job runs is skipped, or is one more run behind it (`overlap: queue`).
* So many runs are under way at once; others wait in order, one of each job.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd.audit.bus import AuditBus
from ftpsd.audit.events import DAEMON
from ftpsd.audit.topics.automation.job_events import JobEnded, JobSkipped, JobStarted
from ftpsd.config.automation.job_sections import Job
from ftpsd.durable.state_trouble import StateTrouble
from ftpsd.durable.store import Store
from ftpsd.events.disk_look import is_alive, own_name
from ftpsd.jobs import job_tables as tables
from ftpsd.jobs.cron_times import count_between, next_after
from ftpsd.jobs.event_triggers import new_events
from ftpsd.jobs.job_run import JobRun, Means
from ftpsd.jobs.job_tables import Run, RunState
from ftpsd.workers import PoolBusy, Workers

LOOK: Final = 1.0
# Runs at once: each has a child process, and reads and writes files of users.
AT_ONCE: Final = 4
# Seconds behind its moment after which a run comes too late to be the one of that moment.
GRACE: Final = 60.0
MOST_HISTORY: Final = 200

log = Logger()


class UnknownJob(Exception):
    """There is no such job."""


class JobRunner:
    """The jobs of a server; *store* has what they know, *pool* makes calls of storage."""

    def __init__(self, store: Store, bus: AuditBus, pool: Workers, reactor: Any) -> None:
        self._store = store
        self._bus = bus
        self._pool = pool
        self._reactor = reactor
        self._owner = own_name()
        self._jobs: dict[str, Job] = {}
        self._means: Means | None = None
        self._due: dict[str, tuple[str, float]] = {}
        self._running: dict[str, tuple[Run, JobRun, Deferred[Any]]] = {}
        self._beginning: set[str] = set()
        self._queued: set[str] = set()
        self._room = DeferredSemaphore(AT_ONCE)
        self._call: Any = None
        self._is_started = False
        self._is_loaded = False
        self._is_looking = False
        self._looked_at = 0.0
        self.successes: dict[str, float] = {}
        """When each job has last ended well."""

    def use(self, jobs: tuple[Job, ...], means: Means) -> None:
        """Have *jobs* from now on; runs under way go on as they are."""
        self._jobs = {job.name: job for job in jobs}
        self._means = means
        self._due = {name: due for name, due in self._due.items() if name in self._jobs}
        if self._is_started and self._jobs and self._call is None:
            self._call = self._reactor.callLater(0, self._look)

    def start(self) -> None:
        """Begin."""
        self._is_started = True
        if self._jobs:
            self._call = self._reactor.callLater(0, self._look)

    def stop(self) -> None:
        """End; what is under way is interrupted, and gone on with at the next start."""
        self._is_started = False
        if self._call is not None and self._call.active():
            self._call.cancel()
        for _, _, deferred in [*self._running.values()]:
            deferred.cancel()

    # --- orders

    async def order(self, name: str) -> dict[str, Any]:
        """Begin a run now; return it, or the one that is under way. Raises: UnknownJob, StateTrouble."""
        if name not in self._jobs:
            raise UnknownJob(name)
        if name not in self._running:
            await self._begin(self._jobs[name], "order", self._reactor.seconds())
        found = self._running.get(name)
        return {} if found is None else {**_told(found[0]), **found[1].progress.told()}

    async def history(self, name: str | None, most: int = MOST_HISTORY) -> list[dict[str, Any]]:
        """Return the last runs, the newest first. Raises: UnknownJob, StateTrouble."""
        if name is not None and name not in self._jobs:
            raise UnknownJob(name)
        return [self._now(run) for run in await self._store.run(tables.latest, name, most)]

    async def listed(self) -> list[dict[str, Any]]:
        """Return all jobs: what each does, when it is due, how its last run went. Raises: StateTrouble."""
        found = []
        for name, job in self._jobs.items():
            last = await self._store.run(tables.latest, name, 1)
            found.append(
                {
                    "job": name,
                    "kind": job.kind,
                    "at": job.at,
                    "time_zone": job.time_zone,
                    "next": self._due[name][1] if name in self._due else None,
                    "running": name in self._running,
                    "last_success": self.successes.get(name),
                    "last": self._now(last[0]) if last else None,
                }
            )
        return found

    def running(self) -> dict[str, float]:
        """Return the number of runs of each job that are under way."""
        return {name: float(name in self._running) for name in self._jobs}

    def status(self) -> str:
        """Return one line for the status page."""
        if not self._jobs:
            return "none"
        running = ", ".join(sorted(self._running))
        return f"{len(self._jobs)}, {f'running: {running}' if running else 'none runs'}"

    # --- by the clock

    def _look(self) -> None:
        self._call = self._reactor.callLater(LOOK, self._look) if self._is_started and self._jobs else None
        if self._is_looking:
            return
        self._is_looking = True

        def over(result: object) -> None:
            self._is_looking = False
            if isinstance(result, Failure) and not result.check(StateTrouble, PoolBusy, CancelledError):
                log.failure("jobs could not be looked at", result)

        Deferred.fromCoroutine(self._looked()).addBoth(over)

    async def _looked(self) -> None:
        now = self._reactor.seconds()
        if not self._is_loaded:
            await self._store.run(tables.interrupt, is_alive, now)
            self.successes = await self._store.run(tables.last_success)
            for name, job in [*self._jobs.items()]:
                last = await self._store.run(tables.latest, name, 1)
                if last and last[0].state is RunState.INTERRUPTED:
                    await self._begin(job, "interrupted", now)
            self._is_loaded = True
        for job in [*self._jobs.values()]:
            if job.at is not None:
                await self._look_at(job, now)
        self._looked_at = now
        for name in [*self._queued]:
            if name not in self._running and name in self._jobs:
                self._queued.discard(name)
                await self._begin(self._jobs[name], "queued", now)
        waiting = [job for job in self._jobs.values() if job.on is not None]
        for name, number in await self._store.run(new_events, waiting) if waiting else ():
            await self._wanted(self._jobs[name], "event", now, partial(_set_seen, name, number))

    async def _look_at(self, job: Job, now: float) -> None:
        assert job.at is not None
        schedule = f"{job.at} {job.time_zone}"
        known, due = self._due.get(job.name, ("", 0.0))
        if known != schedule:
            found = await self._store.run(tables.due, job.name, schedule)
            if found is None:
                found = next_after(job.at, job.time_zone, now)
                await self._store.run(tables.set_due, job.name, schedule, found)
            due = self._within_reach(job, found, now)
            self._due[job.name] = schedule, due
        elif now < self._looked_at:
            due = self._within_reach(job, due, now)
            self._due[job.name] = schedule, due
        if now < due:
            return
        later = next_after(job.at, job.time_zone, now)
        moments = count_between(job.at, job.time_zone, due, now)
        is_late = now - due > GRACE
        skipped = moments if is_late and job.missed == "skip" else moments - 1

        def move(connection: Any) -> None:
            tables.set_due(connection, job.name, schedule, later)

        if is_late and job.missed == "skip":
            await self._store.run(move)
        else:
            await self._wanted(job, "missed" if is_late else "clock", due, move)
        self._due[job.name] = schedule, later
        if skipped:
            self._bus.publish(JobSkipped(DAEMON, job.name, "missed", skipped))
            text = "job {job}: {count} moments have passed while nobody was there to run it"
            log.warn(text, job=job.name, count=skipped)

    @staticmethod
    def _within_reach(job: Job, due: float, now: float) -> float:
        """
        Return *due*, or the next moment where that is nearer by more than one: the clock was wrong, and far ahead.

        A clock that is set back across the moment of a run does not repeat it.
        """
        assert job.at is not None
        upcoming = next_after(job.at, job.time_zone, now)
        return due if due <= next_after(job.at, job.time_zone, upcoming) else upcoming

    async def _wanted(self, job: Job, trigger: str, due: float, also: Callable[[Any], None] | None = None) -> None:
        """Begin a run, or do what `overlap` says; *also* is in the same transaction."""
        if job.name not in self._running:
            await self._begin(job, trigger, due, also)
            return
        if also is not None:
            await self._store.run(also)
        # A file that an event has brought must not be left lying until the next one.
        if job.overlap == "queue" or trigger == "event":
            self._queued.add(job.name)
        else:
            self._bus.publish(JobSkipped(DAEMON, job.name, "running", 1))

    async def _begin(self, job: Job, trigger: str, due: float, also: Callable[[Any], None] | None = None) -> None:
        if job.name in self._beginning:
            # The run that begins sees what this one would have seen.
            if also is not None:
                await self._store.run(also)
            return
        now = self._reactor.seconds()
        run = Run(secrets.token_hex(6), job.name, trigger, due, now, self._owner)

        def begin(connection: Any) -> bool:
            if also is not None:
                also(connection)
            return tables.claim(connection, run, is_alive)

        self._beginning.add(job.name)
        try:
            is_ours = await self._store.run(begin)
        finally:
            self._beginning.discard(job.name)
        if not is_ours:
            self._bus.publish(JobSkipped(DAEMON, job.name, "running", 1))
            return
        assert self._means is not None
        work = JobRun(job, run.id, self._means, self._store, self._bus, self._pool, self._reactor)
        done = Deferred.fromCoroutine(self._run(run, work))
        self._running[job.name] = run, work, done
        done.addErrback(_unexpected, job.name)
        done.addBoth(lambda _: self._running.pop(job.name, None))

    async def _run(self, run: Run, work: JobRun) -> None:
        await self._room.acquire()
        try:
            self._bus.publish(JobStarted(DAEMON, run.job, run.id, run.trigger))
            log.info("job {job} begins ({trigger})", job=run.job, trigger=run.trigger)
            try:
                await work.run()
            except CancelledError:
                log.info("job {job} is interrupted; it goes on at the next start", job=run.job)
                return
            except Exception:
                log.failure("job {job} has failed in a way that nobody has thought of", job=run.job)
                work.progress.failed[""] = "internal error; see the log"
            await self._ended(run, work)
        finally:
            self._room.release()

    async def _ended(self, run: Run, work: JobRun) -> None:
        progress, now = work.progress, self._reactor.seconds()
        state = RunState.FAILED if progress.failed else RunState.DONE
        reason = progress.reason()
        ended = replace(
            run,
            state=state,
            ended=now,
            attempts=progress.attempts,
            files=progress.files,
            bytes=progress.bytes,
            reason=reason,
        )
        if state is RunState.DONE:
            self.successes[run.job] = now
        seconds = now - run.started
        told = str(state), progress.files, progress.bytes, seconds, progress.attempts, reason
        self._bus.publish(JobEnded(DAEMON, run.job, run.id, *told))
        text = "job {job}: {state}, {files} files, {bytes} bytes" + (": {reason}" if reason else "")
        (log.warn if reason else log.info)(
            text, job=run.job, state=str(state), files=progress.files, bytes=progress.bytes, reason=reason
        )
        await self._store.run(tables.save, ended)

    def _now(self, run: Run) -> dict[str, Any]:
        """Return *run* for people and programs, as it is now."""
        found = self._running.get(run.job)
        told = _told(run)
        return told if found is None or found[0].id != run.id else {**told, **found[1].progress.told()}


def _set_seen(name: str, number: int, connection: Any) -> None:
    tables.set_seen(connection, name, number)


def _told(run: Run) -> dict[str, Any]:
    return {
        "run": run.id,
        "job": run.job,
        "trigger": run.trigger,
        "state": str(run.state),
        "due": run.due,
        "started": run.started,
        "ended": run.ended,
        "attempts": run.attempts,
        "files": run.files,
        "bytes": run.bytes,
        "reason": run.reason,
    }


def _unexpected(failure: Failure, job: str) -> None:
    """Take a failure of the state file for told: the store's listener has told it."""
    if not failure.check(StateTrouble, PoolBusy, CancelledError):
        log.failure("job {job} has ended badly", failure, job=job)
