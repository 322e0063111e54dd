"""
The actions of steps: each does one thing with an event and its file, and may be asked to do it again.

Files, gpg, programs and mail servers block, so they have workers of the workflow's own. Programs and webhooks are those
of sinks (program_sink.py, webhook.py): what they get is the event, with the file as it is called now.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ftpsd.config.automation.name_templates import fields_of, filled_name, filled_path
from ftpsd.config.automation.workflow_rules import Mail, MailStep, PGPStep, WorkflowStep
from ftpsd.config.people.user_records import UserRecord
from ftpsd.events.record_tables import Record
from ftpsd.events.sinks.receiver import GivenUp, NotTaken, Receiver
from ftpsd.events.workflows.file_steps import FileStep, Result, Subject
from ftpsd.events.workflows.runs import Doing, Phase, Run
from ftpsd.events.workflows.user_trees import Trees
from ftpsd.outward.mailing import Letter, NotSent, send_letter
from ftpsd.storage.base import Storage, StorageError
from ftpsd.storage.pgp.key_home import KeyHome
from ftpsd.storage.pgp.treatment import Treatment
from ftpsd.values.path import VirtualPath
from ftpsd.workers import WorkerPool

# Seconds in which gpg has to move something.
PATIENCE = 60.0
# The text of a mail that has none of its own.
FACTS = "{event}: {path}\nuser: {user}\nbytes: {size}\nsha256: {sha256}\nevent: {id}\n{step} {reason}\n"


@dataclass(frozen=True, slots=True)
class Moment:
    """
    The moment of one step: the event's *record* and *data*, the *run*, the event's *user* and the *trees* of now.

    *announce* keeps what is about to be done before it is done.
    """

    record: Record
    data: dict[str, Any]
    run: Run
    user: UserRecord | None
    trees: Trees
    announce: Callable[[Doing], Awaitable[None]]

    @property
    def fields(self) -> dict[str, str]:
        """The fields of templates."""
        run = self.run
        fields = fields_of(self.data, run.id, self.record.seconds, run.path, run.workflow)
        known = {} if run.sha256 is None else {"sha256": run.sha256}
        size = {} if run.size is None else {"size": str(run.size)}
        return {**fields, **known, **size, "step": run.failed_step, "reason": run.reason}

    def opened(self) -> Storage:
        """Open the trees of the user. Blocks. Raises: NotTaken."""
        if self.user is None:
            raise GivenUp(f"there is no user {self.run.user} any more")
        try:
            return self.trees.open(self.run.host, self.user)
        except StorageError as error:
            raise NotTaken(f"the home of {self.user.name} cannot be opened: {error.reason}") from None


class Action(Protocol):
    """One action of a step."""

    async def do(self, moment: Moment) -> Result | None:
        """Do it; return the file as it is then, None where it has not changed. Raises: NotTaken, Superseded."""

    def stop(self) -> None:
        """Break off what is under way."""


class FileAction:
    """A move, copy or rename, or the way through gpg, as *step* says; *pool* blocks for it."""

    def __init__(self, step: WorkflowStep, pool: WorkerPool, home: KeyHome | None) -> None:
        self._step = step
        self._pool = pool
        self._home = home
        self._is_stopped = False

    async def do(self, moment: Moment) -> Result | None:
        """Do it; steps behind a copy are about the file that was copied."""
        result = await self._do(moment)
        return None if self._step.copy_to is not None else result

    async def _do(self, moment: Moment) -> Result | None:
        """Look whether it is done, announce it, do it."""
        run, pool = moment.run, self._pool
        work = await pool.run(self._opened, moment)
        try:
            if run.doing is not None:
                found = await pool.run(work.found_done, run.doing)
                if found is not None:
                    return found
            doing = await pool.run(work.announce)
            if doing is not None:
                await moment.announce(doing)
            result = await pool.run(work.finish, doing)
            if result is None:  # to another file system
                await moment.announce(copied := await pool.run(work.announce_copy))
                result = await pool.run(work.finish, copied)
            return result
        finally:
            await pool.run(work.close)

    def stop(self) -> None:
        """Break off at the next piece."""
        self._is_stopped = True

    def _opened(self, moment: Moment) -> FileStep:
        run, step, pgp = moment.run, self._step, self._step.pgp
        source = VirtualPath.parse(run.path)
        treatment = None if pgp is None else treatment_of(pgp, step.timeout or PATIENCE)
        if pgp is not None and treatment is not None:
            target = _published(pgp, treatment, source, moment.fields)
            removes = not pgp.keep
        elif step.rename is not None:
            target, removes = source.parent / filled_name(step.rename, moment.fields), True
        else:
            template = step.move or step.copy_to
            assert template is not None
            target, removes = filled_path(template, moment.fields), step.move is not None
        return FileStep(
            moment.opened(),
            Subject(source, run.size, run.sha256),
            target,
            run.id,
            removes=removes,
            is_stopped=lambda: self._is_stopped,
            treatment=treatment,
            home=self._home,
        )


class SinkAction:
    """A program or webhook, which is a *receiver* of events."""

    def __init__(self, receiver: Receiver, pool: WorkerPool) -> None:
        self._receiver = receiver
        self._pool = pool

    async def do(self, moment: Moment) -> Result | None:
        """Send the event, with the file as it is called now."""
        run = moment.run
        data = {**moment.data, "workflow": run.workflow}
        if run.path:
            data |= {"path": run.path}
        if run.size is not None:
            data |= {"bytes": run.size, "sha256": run.sha256}
        if run.phase is Phase.ON_FAILURE:
            data |= {"failed_step": run.failed_step, "reason": run.reason}
        file = moment.record.file
        if run.finished and moment.user is not None:
            file = await self._pool.run(self._place, moment)
        await self._receiver.send([replace(moment.record, file=file, data=json.dumps(data))])
        return None

    def stop(self) -> None:
        """Break off what is under way."""
        self._receiver.stop()

    def _place(self, moment: Moment) -> bytes | None:
        """Return the path of this machine; None where there is no such file any more."""
        storage = moment.opened()
        try:
            return storage.trace(VirtualPath.parse(moment.run.path)).place
        except StorageError:
            return None
        finally:
            storage.close()


class MailAction:
    """A mail by the server of *mail*; *password* and *authority* are those of its files."""

    def __init__(
        self, step: MailStep, mail: Mail, password: str | None, authority: bytes | None, pool: WorkerPool
    ) -> None:
        self._step = step
        self._mail = mail
        self._password = password
        self._authority = authority
        self._pool = pool

    async def do(self, moment: Moment) -> Result | None:
        """Send it; the id of the message is that of the event and the step, so one that comes twice can be known."""
        run, fields = moment.run, moment.fields
        letter = Letter(
            sender=self._mail.sender,
            to=self._step.to,
            subject=self._step.subject.format_map(fields),
            text=(self._step.text or FACTS).format_map(fields),
            id=f"{run.id}.{run.workflow}.{run.phase}.{run.step}",
            seconds=moment.record.seconds,
        )
        try:
            await self._pool.run(send_letter, letter, self._mail, self._password, self._authority)
        except NotSent as error:
            raise NotTaken(str(error)) from None
        return None

    def stop(self) -> None:
        """Nothing is broken off: a mail that was sent and not noted comes again with its id."""


def treatment_of(step: PGPStep, patience: float) -> Treatment:
    """Return what *step* asks for, as the storage has it."""
    return Treatment(
        paths=(),
        encrypt_to=step.encrypt_to,
        sign_with=step.sign_with,
        armor=step.armor,
        decrypts=step.decrypt,
        verify_from=step.verify_from,
        max_expansion=step.max_expansion,
        patience=patience,
    )


def _published(step: PGPStep, treatment: Treatment, source: VirtualPath, fields: dict[str, str]) -> VirtualPath:
    """Return where the result goes. Raises: NotTaken for a message without a suffix."""
    try:
        name = treatment.published(source.name)
    except StorageError as error:
        if step.to is None or step.to.endswith("/"):
            raise GivenUp(error.reason) from None
        name = source.name
    if step.to is None:
        return source.parent / name
    # A directory takes it under its new name.
    return filled_path(step.to, {**fields, "name": name} if step.to.endswith("/") else fields)
