"""
One attempt of a job that moves files: what pulls and pushes have in common.

Each file is one by itself: one that fails is told of and left, and the others go on. A failure of the connection, or of
the state file, ends the attempt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ftpsd.audit.bus import AuditBus
from ftpsd.config.automation.event_sinks import TEMPORARY
from ftpsd.config.automation.job_sections import Job, Moving
from ftpsd.durable.store import Store
from ftpsd.jobs import job_tables as tables
from ftpsd.jobs.job_tables import KnownFile
from ftpsd.jobs.local_tree import LocalTree
from ftpsd.partners.contact import Fault, PartnerError
from ftpsd.partners.partner_session import PartnerSession
from ftpsd.storage.base import StorageError
from ftpsd.values.path import VirtualPath

# Reasons of files that failed that a run keeps.
MOST_REASONS: Final = 5
# Failures of the connection, not of one file.
OF_ALL: Final = frozenset({Fault.UNREACHABLE, Fault.UNTRUSTED, Fault.LOGIN, Fault.BROKEN})

log = Logger()


@dataclass(slots=True)
class Progress:
    """How far a run is; what it has done so far counts over all its attempts."""

    files: int = 0
    bytes: int = 0
    moved: int = 0
    files_left: int = 0
    bytes_left: int = 0
    of_file: int = 0
    now: str = ""
    attempts: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def move(self, count: int) -> None:
        """Count bytes that have moved."""
        self.moved += count
        self.of_file += count

    def pass_file(self, size: int) -> None:
        """Note that the file of now, which has *size* bytes, is over, however that was."""
        self.files_left -= 1
        self.bytes_left -= size
        self.of_file = 0

    def told(self) -> dict[str, Any]:
        """Return it for people and programs."""
        return {
            "files": self.files,
            "bytes": self.moved,
            "files_left": self.files_left,
            "bytes_left": max(0, self.bytes_left - self.of_file),
            "now": self.now,
            "attempts": self.attempts,
        }

    def reason(self) -> str | None:
        """Return why not all went well."""
        if not self.failed:
            return None
        some = [f"{path}: {why}" if path else why for path, why in [*self.failed.items()][:MOST_REASONS]]
        more = len(self.failed) - len(some)
        return "; ".join(some) + (f"; and {more} more" if more > 0 else "")


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt of *job* over *session*, in *tree*."""

    job: Job
    moving: Moving
    session: PartnerSession
    tree: LocalTree
    store: Store
    bus: AuditBus
    clock: IReactorTime
    progress: Progress
    made: set[str] = field(default_factory=set)
    """Directories of the partner that are there by now."""

    async def known(self) -> dict[str, KnownFile]:
        """Return what the job knows of its files."""
        return await self.store.run(tables.known, self.job.name)

    async def know(self, path: str, mark: str, step: str, **data: Any) -> None:
        """Keep how far a file is."""
        await self.store.run(tables.know, self.job.name, KnownFile(path, mark, step, data), self.clock.seconds())

    async def forget(self, paths: list[str]) -> None:
        """Forget files."""
        if paths:
            await self.store.run(tables.forget, self.job.name, paths)

    async def settle(
        self, failed: Mapping[str, PartnerError | StorageError], known: Mapping[str, KnownFile], paths: set[str]
    ) -> None:
        """Note the directories that could not be looked at, and forget what is not among *paths*: it is gone."""
        if not failed:
            await self.forget([path for path in known if path not in paths])
        self._forget_failures(paths)
        for path, error in failed.items():
            self.failed(path, error)

    def _forget_failures(self, paths: set[str]) -> None:
        """Forget failures of files that are gone: nobody can do more about them."""
        failed = self.progress.failed
        for path in [path for path in failed if path and path not in paths]:
            del failed[path]

    def failed(self, path: str, error: PartnerError | StorageError) -> None:
        """Note the failure of one file. Raises: *error*, where it is none of that file alone."""
        if isinstance(error, PartnerError) and error.fault in OF_ALL:
            raise error
        why = error.reason if isinstance(error, StorageError) else str(error)
        self.progress.failed[path] = why
        log.warn("job {job}: {path}: {why}", job=self.job.name, path=path, why=why)


async def ensure_directory(attempt: Attempt, directory: str) -> None:
    """Make *directory* of the partner, and what is missing above it."""
    parts = [part for part in directory.split("/") if part]
    for length in range(1, len(parts) + 1):
        folder = "/" + "/".join(parts[:length])
        if folder in attempt.made:
            continue
        # Most servers say of what is there that they cannot make it, some that we may not.
        try:
            await attempt.session.make_directory(folder)
        except PartnerError as error:
            if error.fault is not Fault.REFUSED:
                raise
        attempt.made.add(folder)


def matcher(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    """Return what tells whether a job takes a file of that name: as *patterns* say, and no temporary one."""
    wanted = re.compile("|".join(map(translate, patterns)))
    temporary = re.compile("|".join(map(translate, TEMPORARY)), re.IGNORECASE)
    return lambda name: wanted.match(name) is not None and temporary.match(name) is None


def below(directory: str, name: str) -> str:
    """Return the path of *name*, perhaps that of a file further below, in *directory*."""
    return f"{directory.rstrip('/')}/{name}"


def under(directory: VirtualPath, names: str) -> VirtualPath:
    """Return the path *names* below *directory*, such as "sub/a". Raises: PathError."""
    return VirtualPath((*directory.parts, *names.split("/")))
