"""
The ledger in the daemon: the keeper of the audit bus (audit/keeping.py), in the state file.

* 226 behind an upload means that its event is in the ledger, on the disk. The intent is written before the file is
  published; while it cannot be, because the state file is broken or its disk is full, nothing is published.
* A file that was published, and could not be recorded then, is recorded as soon as that can be: the intent is there.
  After a crash a look at the disk settles the intents that are left (disk_look.py), in one process for all.
* An upload under a temporary name is held until it is renamed, and then is one event, with the id of the upload. A
  client that never renames it has its event, with the temporary name, when `temporary_for` is over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from fnmatch import translate
from functools import partial
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd.audit.events import Event, FileSent
from ftpsd.audit.jsonline import encode_event
from ftpsd.audit.keeping import NotKept, Occurrence
from ftpsd.audit.topics.accept_events import QuarantineReleased, UploadPublished
from ftpsd.audit.topics.tree_events import FileRenamed
from ftpsd.config.automation.event_sinks import Events
from ftpsd.durable.state_trouble import StateTrouble
from ftpsd.durable.store import Store
from ftpsd.events import record_tables as tables
from ftpsd.events.disk_look import done_and_not, is_done, own_name
from ftpsd.events.record_tables import Draft, Intent
from ftpsd.values.direction import Result
from ftpsd.values.path import VirtualPath
from ftpsd.values.trace import Trace
from ftpsd.workers import PoolBusy, Workers

# Events that were published, and wait for the state file to be usable again; beyond it the next start records them.
MOST_UNSETTLED: Final = 10_000
RENAMED: Final = FileRenamed.event
STORED: Final = "file-stored"
# A file that was uploaded some time ago is there now: for those who want to know of uploads, too.
PUBLICATIONS: Final = frozenset({UploadPublished.event, QuarantineReleased.event})

log = Logger()


class Ledger:
    """The events of `events` in *store*; *files* are the workers that look at disks. Reactor thread only."""

    def __init__(self, store: Store, files: Workers, clock: IReactorTime) -> None:
        self.recorded: Callable[[], object] = _nobody
        """Called when an event has come into the ledger."""
        self._store = store
        self._files = files
        self._clock = clock
        self._owner = own_name()
        self._settings: Events | None = None
        self._names: frozenset[str] = frozenset()
        self.is_keeping = False
        """Whether events are kept at all."""
        self._temporary: re.Pattern[str] | None = None
        self._intended: dict[str, tuple[Draft, Trace]] = {}
        # They have happened, and are to be recorded as soon as the file can be used.
        self._unsettled: dict[str, tuple[Draft, Trace]] = {}

    def use(self, settings: Events | None) -> None:
        """Follow *settings* from now on."""
        self._settings = settings
        self._names = frozenset() if settings is None else frozenset(settings.record)
        self.is_keeping = bool(self._names)
        patterns = settings.temporary if settings is not None and STORED in settings.record else ()
        # Names on disks of Windows' clients come in any case.
        self._temporary = re.compile("|".join(map(translate, patterns)), re.IGNORECASE) if patterns else None

    def keeps(self, event: Event, /) -> bool:
        """Return whether *event* is recorded, or may free an upload that is held."""
        if getattr(event, "result", Result.COMPLETE) is not Result.COMPLETE or getattr(event, "hidden", None):
            return False  # it is not there, or not yet
        if event.event in self._names or (event.event in PUBLICATIONS and STORED in self._names):
            return True
        # Uploads held below a directory go on their way with it.
        return isinstance(event, FileRenamed) and (
            self._is_temporary(event.old) or (event.kind is not None and self._temporary is not None)
        )

    def intend(self, occurrence: Occurrence, trace: Trace, /) -> Deferred[None]:
        """Write down that *occurrence* is about to be true."""
        draft = _drafted(occurrence)
        self._intended[draft.id] = draft, trace
        written = self._store.run(tables.intend, Intent(draft, trace, self._owner))
        answer: Deferred[None] = Deferred()

        def done(_: None) -> None:
            if answer.called:  # nobody has waited for so long, so it was not done
                self._drop(draft.id)
            else:
                answer.callback(None)

        def failed(failure: Failure) -> None:
            self._intended.pop(draft.id, None)
            if not answer.called:
                answer.errback(_why(failure))

        written.addCallbacks(done, failed)
        return answer

    def keep(self, occurrence: Occurrence, /) -> Deferred[None]:
        """Write *occurrence* into the ledger."""
        draft = _drafted(occurrence)
        _, trace = self._intended.pop(draft.id, (None, None))
        return self._keep(draft, trace, occurrence.event)

    def _keep(self, draft: Draft, trace: Trace | None, event: Event | None = None) -> Deferred[None]:
        # A caller that cancels waits no longer; what is written is written all the same, once.
        answer: Deferred[None] = Deferred()

        def done(_: None) -> None:
            self.recorded()
            if not answer.called:
                answer.callback(None)

        def failed(failure: Failure) -> None:
            if trace is not None and len(self._unsettled) < MOST_UNSETTLED:
                self._unsettled[draft.id] = draft, trace
            if not answer.called:
                answer.errback(_why(failure))

        self._store.run(self._step(draft, trace, event)).addCallbacks(done, failed)
        return answer

    def settle(self, intended: str, /) -> None:
        """Look whether what was *intended* has been done, and record or forget it."""
        found = self._intended.pop(intended, None)
        if found is not None:
            self._settle(*found)

    def _settle(self, draft: Draft, trace: Trace) -> None:
        def looked(has_happened: bool) -> None:
            if has_happened:
                self._keep(draft, trace).addErrback(_ignored)
            else:
                self._drop(draft.id)

        looking = self._files.run(is_done, draft.event, trace)
        looking.addCallbacks(looked, _ignored)

    def _drop(self, id: str) -> None:
        self._intended.pop(id, None)
        # An intent that cannot be dropped now is dropped when it is looked at after the end of this process.
        self._store.run(tables.drop_intent, id).addErrback(_ignored)

    def _step(self, draft: Draft, trace: Trace | None, event: Event | None = None) -> Callable[..., None]:
        """Return what writes *draft* down, by what it is."""
        if trace is None:
            return lambda connection: tables.record(connection, draft, None, _keys_of(event))
        if draft.event == RENAMED:
            return self._renaming(draft, trace)
        if draft.event == STORED and self._is_temporary(json.loads(draft.data)["path"]):
            return partial(_call, tables.hold, draft, trace)
        return partial(_call, tables.record, draft, trace)

    def _renaming(self, draft: Draft, trace: Trace) -> Callable[..., None]:
        data = json.loads(draft.data)
        is_recorded = RENAMED in self._names
        if data.get("kind"):
            return partial(_call, partial(tables.rename_directory, is_recorded=is_recorded), draft, trace)
        path = data["new"]
        is_held = self._is_temporary(path)
        return lambda connection: tables.rename(
            connection, draft, trace, path, is_recorded=is_recorded, is_held=is_held
        )

    def _is_temporary(self, path: str) -> bool:
        return self._temporary is not None and self._temporary.match(path.rpartition("/")[2]) is not None

    # --- by the clock

    def look(self) -> None:
        """Record what could not be recorded when it happened."""
        if self._store.trouble is not None:
            return
        waiting, self._unsettled = self._unsettled, {}
        for draft, trace in waiting.values():
            self._keep(draft, trace).addErrback(_ignored)

    def settle_left(self) -> Deferred[None]:
        """Settle the intents of processes that have died, and let go of uploads that were held for too long."""
        return Deferred.fromCoroutine(self._settle_left()).addErrback(_ignored)

    async def _settle_left(self) -> None:
        now = self._clock.seconds()
        found = await self._store.run(_intents, are_held=False, before=now)
        done, undone = await self._files.run(done_and_not, found)
        for intent in done:
            await self._store.run(self._step(tables.settled(intent.draft), intent.trace))
            log.info("events: {id} was found to have happened before a crash", id=intent.draft.id)
        for intent in undone:
            await self._store.run(tables.drop_intent, intent.draft.id)
        patience = 0.0 if self._settings is None else self._settings.temporary_for
        for intent in await self._store.run(_intents, are_held=True, before=now - patience):
            if await self._files.run(is_done, intent.draft.event, intent.trace):
                await self._store.run(tables.record, intent.draft, intent.trace)
            else:
                await self._store.run(tables.drop_intent, intent.draft.id)
        self.recorded()


def _intents(connection: object, are_held: bool, before: float) -> list[Intent]:
    return tables.intents(connection, are_held=are_held, before=before)  # type: ignore[arg-type]


def _call(function: Callable[..., None], draft: Draft, trace: Trace, connection: object) -> None:
    function(connection, draft, trace)


def _drafted(occurrence: Occurrence) -> Draft:
    event, seconds = occurrence.event, occurrence.seconds
    return Draft(occurrence.id, event.event, seconds, encode_event(event, seconds).decode("ascii").rstrip("\n"))


def _keys_of(event: Event | None) -> tuple[str, ...]:
    """Return the keys of an event about no change of a file: downloads of one path by one user are in order."""
    if isinstance(event, FileSent):
        return (f"{event.who.host}:{event.who.user}:{VirtualPath.parse(event.path)}",)
    return ()


def _why(failure: Failure) -> Failure:
    """Return *failure* of the state file, which was told by its listener, without its traceback."""
    if failure.check(StateTrouble, PoolBusy):
        return Failure(NotKept(str(failure.value) or "too many calls of the state file wait"))
    return failure


def _ignored(failure: Failure) -> None:
    """Take a failure of the file for told: the store's listener has told it."""
    if not failure.check(StateTrouble, PoolBusy, NotKept):
        log.failure("events could not be settled", failure)


def _nobody() -> None:
    """Nobody wants to know."""
