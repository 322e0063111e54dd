"""The means of jobs: partners and their files, the trees of users, and backups in child processes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd.auth.credentials import LoginBusy, LoginDenied
from ftpsd.auth.realm import IAvatar, Realm
from ftpsd.config.automation.job_sections import Job
from ftpsd.control.state.hosts import Hosts
from ftpsd.jobs.job_run import Means, NoTree
from ftpsd.jobs.moving import Progress
from ftpsd.partners.contact import Fault, PartnerError
from ftpsd.service.load import Loaded
from ftpsd.storage.base import Storage

# Bytes of one line of a child, and of what it says of its troubles.
LONGEST: Final = 64 * 1024

log = Logger()


def job_means(loaded: Loaded, hosts: Hosts, reactor: Any, path: Path) -> Means:
    """Return the means of the jobs of *loaded*, which was read from the file *path*."""
    partners = {each.name: (each, loaded.partner_files[each.name]) for each in loaded.config.partners}
    return Means(partners, TreesForJobs(hosts), _backing_up(path, reactor))


class TreesForJobs:
    """The trees of the users of *hosts*."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    async def open(self, host: str, user: str, job: str) -> tuple[Storage, Callable[[], None]]:
        """See `Trees`."""
        found = next((each for each in self._hosts.all if each.name == host), None)
        if found is None:
            raise NoTree(f"there is no virtual host {host} any more")
        try:
            record = await found.accounts.find(user)
            if record is None:
                raise NoTree(f"there is no user {user}")
            assert isinstance(found.portal.realm, Realm)
            _, avatar, close = await found.portal.realm.for_job(job).requestAvatar(record, None, IAvatar)
        except LoginDenied as denied:
            raise NoTree(f"the tree of {user} cannot be opened: {denied.reason}") from None
        except LoginBusy:
            raise NoTree("the server is busy") from None
        storage: Storage = avatar.storage  # type: ignore[union-attr]
        return storage, close


def _backing_up(config: Path, reactor: Any) -> Callable[[Job, Progress], Awaitable[None]]:
    async def back_up(job: Job, progress: Progress) -> None:
        child = BackupChild(progress)
        command = [sys.executable, "-P", "-m", "ftpsd", "backup", "--config", os.path.abspath(config)]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        reactor.spawnProcess(child, sys.executable, [*command, "--job", job.name, "--lines"], environ, path="/")
        await child.ended

    return back_up


class BackupChild(ProcessProtocol):
    """A backup in a child process, which says how far it is in lines of JSON."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._line = b""
        self._said = b""
        self.ended: Deferred[None] = Deferred(lambda _: self._kill())

    def _kill(self) -> None:
        try:
            if self.transport is not None:
                self.transport.signalProcess("TERM")
        except ProcessExitedAlready:
            pass  # it was faster

    def outReceived(self, data: bytes) -> None:
        """Take lines of progress."""
        *lines, self._line = (self._line + data).split(b"\n")
        self._line = self._line[:LONGEST]
        for line in lines:
            told = json.loads(line)
            progress = self._progress
            progress.files, progress.bytes, progress.moved = told["files"], told["bytes"], told["copied"]
            progress.files_left, progress.now = told["files_left"], told["now"]

    def errReceived(self, data: bytes) -> None:
        """Keep the end of what it complains of."""
        self._said = (self._said + data)[-LONGEST:]

    def processEnded(self, reason: Failure) -> None:
        """Tell how it ended."""
        said = self._said.decode("utf-8", "replace").strip()
        if said:
            log.warn("a backup says: {said}", said=said)
        if self.ended.called:
            return
        if reason.check(ProcessDone):
            self.ended.callback(None)
            return
        end = reason.value
        how = "was killed" if isinstance(end, ProcessTerminated) and end.signal is not None else "has failed"
        last = said.splitlines()[-1] if said else "its process says nothing"
        self.ended.errback(Failure(PartnerError(Fault.LATER, f"the backup {how}: {last}")))
