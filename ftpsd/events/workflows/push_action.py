"""
The push of a file to another FTPS server, by the client that jobs have (ftpsd/partners), in a child process.

It goes under a temporary name, is resumed where an attempt has ended, and then renamed. That it is about to be renamed
is announced: after a crash a whole file under the final name is ours, and goes no second time.
"""

from __future__ import annotations

from typing import Any

from ftpsd.config.automation.name_templates import filled_path
from ftpsd.config.automation.partner_files import PartnerFiles
from ftpsd.config.automation.partner_sections import Partner
from ftpsd.config.automation.workflow_rules import PushStep
from ftpsd.events.sinks.receiver import NotTaken
from ftpsd.events.workflows.actions import Moment
from ftpsd.events.workflows.file_steps import Result, Subject, explained, require_subject
from ftpsd.events.workflows.runs import Doing
from ftpsd.partners.contact import Fault, PartnerError
from ftpsd.partners.partner_session import PartnerSession, contact_of
from ftpsd.partners.pushing import push, stored_file
from ftpsd.storage.base import Storage
from ftpsd.values.path import VirtualPath
from ftpsd.workers import Workers


class PushAction:
    """The push that *step* says to *partner*, whose *files* these are; *pool* reads the file."""

    def __init__(self, step: PushStep, partner: Partner, files: PartnerFiles, pool: Workers, reactor: Any) -> None:
        self._step = step
        self._partner = partner
        self._contact = contact_of(partner, files)
        self._pool = pool
        self._reactor = reactor
        self._sessions: set[PartnerSession] = set()

    async def do(self, moment: Moment) -> Result | None:
        """Push the file."""
        run = moment.run
        target = filled_path(self._step.to, moment.fields)
        subject = Subject(VirtualPath.parse(run.path), run.size, run.sha256)
        storage = await self._pool.run(_opened, moment, subject)
        session = PartnerSession(self._reactor)
        self._sessions.add(session)
        try:
            with explained():
                await self._push(session, storage, subject.path, target, moment)
        except PartnerError as error:
            raise NotTaken(f"{self._partner.name}: {error}") from None
        finally:
            session.close()
            self._sessions.discard(session)
            storage.close()
        return None

    def stop(self) -> None:
        """Break off what is under way; a later attempt resumes it."""
        for session in self._sessions:
            session.kill()

    async def _push(
        self, session: PartnerSession, storage: Storage, path: VirtualPath, target: VirtualPath, moment: Moment
    ) -> None:
        doing = moment.run.doing
        outgoing = await stored_file(self._pool, storage, path)

        async def announce() -> None:
            await moment.announce(Doing(str(target), 0, 0, outgoing.size))

        await session.open(self._contact)
        await _make_directories(session, target.parent)
        await push(
            session,
            outgoing,
            str(target),
            is_atomic=self._partner.uploads == "atomic",
            may_be_done=doing is not None and doing.target == str(target),
            before_rename=announce,
        )


async def _make_directories(session: PartnerSession, folder: VirtualPath) -> None:
    for length in range(1, len(folder.parts) + 1):
        # Most servers say of what is there that they cannot make it, some that we may not.
        try:
            await session.make_directory(str(VirtualPath(folder.parts[:length])))
        except PartnerError as error:
            if error.fault is not Fault.REFUSED:
                raise


def _opened(moment: Moment, subject: Subject) -> Storage:
    """Open the trees, in which the file is the one of the event. Raises: NotTaken, Superseded."""
    storage = moment.opened()
    try:
        with explained():
            require_subject(storage, subject)
    except BaseException:
        storage.close()
        raise
    return storage
