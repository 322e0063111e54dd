"""
One run of a job: attempts with pauses that double, until all is done or there is no sense in more.

A run that is cancelled, because the daemon ends, leaves what it knows in the state file: the next one goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from ftpsd.audit.bus import AuditBus
from ftpsd.audit.events import Who
from ftpsd.audit.keeping import NotKept
from ftpsd.config.automation.job_sections import Job, Moving
from ftpsd.config.automation.partner_files import PartnerFiles
from ftpsd.config.automation.partner_sections import Partner
from ftpsd.durable.state_trouble import StateTrouble
from ftpsd.durable.store import Store
from ftpsd.jobs.local_tree import LocalTree
from ftpsd.jobs.moving import Attempt, Progress
from ftpsd.jobs.pulling import pull
from ftpsd.jobs.pushes import push_all
from ftpsd.partners.contact import Fault, PartnerError
from ftpsd.partners.partner_session import PartnerSession, contact_of
from ftpsd.storage.base import Storage, StorageError
from ftpsd.workers import PoolBusy, Workers

FIRST_PAUSE: Final = 5.0
# Seconds between two lines in the log about a run that takes long.
TELL: Final = 60.0

log = Logger()


class NoTree(Exception):
    """The tree of a user cannot be opened; the text says why."""


class Trees(Protocol):
    """The users, and their trees."""

    async def open(self, host: str, user: str, job: str) -> tuple[Storage, Callable[[], None]]:
        """Open the tree of *user* for the job called *job*, and return what closes it. Raises: NoTree."""


@dataclass(frozen=True, slots=True)
class Means:
    """The means of runs; *back_up* runs a backup in a child process. Raises: PartnerError for what fails."""

    partners: dict[str, tuple[Partner, PartnerFiles]]
    trees: Trees
    back_up: Callable[[Job, Progress], Awaitable[None]]


class JobRun:
    """The run *id* of *job*; *reactor* has its clock and its child processes."""

    def __init__(
        self, job: Job, id: str, means: Means, store: Store, bus: AuditBus, pool: Workers, reactor: Any
    ) -> None:
        self.job = job
        self.id = id
        self.progress = Progress()
        self._means = means
        self._store = store
        self._bus = bus
        self._pool = pool
        self._reactor = reactor
        self._telling: Any = None

    async def run(self) -> None:
        """Make attempts until all is done; `progress.failed` has what is not. Raises: CancelledError."""
        progress, job = self.progress, self.job
        deadline = self._reactor.seconds() + job.time_limit
        self._telling = self._reactor.callLater(TELL, self._tell)
        try:
            while True:
                progress.attempts += 1
                progress.failed.pop("", None)
                is_for_good = False
                left = deadline - self._reactor.seconds()
                try:
                    await Deferred.fromCoroutine(self._attempt()).addTimeout(max(1.0, left), self._reactor, _over)
                except PartnerError as error:
                    progress.failed[""] = str(error)
                    # Asking again and again with a wrong password locks the account there.
                    is_for_good = error.fault in (Fault.UNTRUSTED, Fault.LOGIN)
                except (StorageError, StateTrouble, NotKept, NoTree) as error:
                    progress.failed[""] = str(error) or "the record of it cannot be kept"
                except PoolBusy:
                    progress.failed[""] = "the server is busy"
                if not progress.failed or is_for_good or progress.attempts >= job.attempts:
                    return
                pause = min(job.longest_pause, FIRST_PAUSE * 2 ** (progress.attempts - 1))
                if self._reactor.seconds() + pause >= deadline:
                    return
                log.warn("job {job}: {why}; again in {pause} s", job=job.name, why=progress.reason(), pause=pause)
                await deferLater(self._reactor, pause)
        finally:
            self._telling.cancel()

    def _tell(self) -> None:
        told = self.progress.told()
        log.info(
            "job {job}: {files} files and {bytes} bytes moved, {files_left} files left, now {now}",
            job=self.job.name,
            **{name: told[name] for name in ("files", "bytes", "files_left", "now")},
        )
        self._telling = self._reactor.callLater(TELL, self._tell)

    async def _attempt(self) -> None:
        job, moving = self.job, self.job.moving
        if moving is None:
            await self._means.back_up(job, self.progress)
            return
        partner, files = self._means.partners[moving.partner]
        storage, close = await self._means.trees.open(moving.host, moving.user, job.name)
        session = PartnerSession(self._reactor)
        try:
            await session.open(contact_of(partner, files))
            tree = LocalTree(storage, self._who(moving), self._pool, self._bus, self._reactor)
            attempt = Attempt(job, moving, session, tree, self._store, self._bus, self._reactor, self.progress)
            if job.pull is not None:
                await pull(attempt)
            else:
                await push_all(attempt, partner)
        except CancelledError:
            session.kill()
            raise
        finally:
            session.close()
            close()

    def _who(self, moving: Moving) -> Who:
        return Who(self.id, moving.user, "", f"job:{self.job.name}", moving.host)


def _over(_: object, seconds: float) -> None:
    raise PartnerError(Fault.UNREACHABLE, f"it was not done within the time limit ({seconds:.0f} s were left)")
