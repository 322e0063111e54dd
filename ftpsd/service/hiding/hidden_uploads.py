"""
The hidden uploads of a server: settled one after the other for each name, some at a time, in one of its processes.

It looks every second for what has come, in the directory that all processes share, also after a crash. An engine that
is down is asked again after a while, a little later each time. A file system that hangs holds up its own uploads alone.

Where `quarantine.directory` has been changed, by a reload or while the server was stopped, what waits in the one before
is brought to the new one: the state file knows the places in which uploads may wait. Sessions of before the reload may
go on to use the old one.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from sqlite3 import Connection
from time import monotonic, time
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.logger import Logger

from ftpsd.audit.events import Event, Who
from ftpsd.audit.topics.accept_events import UploadPublished, UploadRefused
from ftpsd.auth.credentials import LoginDenied, SourceUnavailable
from ftpsd.config.users import UserRecord
from ftpsd.durable import facts
from ftpsd.durable.state_trouble import StateTrouble
from ftpsd.scanning.accept_gate import AcceptGate
from ftpsd.scanning.judgements import Judgement
from ftpsd.scanning.quarantine import Quarantine, Record
from ftpsd.scanning.stepping import step
from ftpsd.scanning.waiting.hidden_place import HiddenPlace
from ftpsd.scanning.waiting.settling import Fate, Settled, Settling, Site
from ftpsd.service.build import gates_of
from ftpsd.service.building.held_trees import content_of, tree_of, tree_seen
from ftpsd.service.serving import Serving
from ftpsd.storage.base import StorageError
from ftpsd.storage.file_systems import NOTHING, by_waiting
from ftpsd.storage.quota.ledger import NO_LEDGER
from ftpsd.workers import PoolBusy, Workers

# Seconds between two looks for what has come.
LOOK = 1.0
# Uploads that are settled at once: the upkeep has other work, too.
AT_ONCE = 3
# Seconds until one without a verdict is asked about again: at first, and at most.
SOON, LATE = 5.0, 300.0
# The facts of the state file about directories in which uploads may wait.
PLACE = "hidden-place"

log = Logger()


@dataclass(slots=True)
class _Wait:
    """When to ask again about an upload, and how long to wait after that."""

    until: float
    pause: float


class HiddenUploads:
    """The hidden uploads of *serving*."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._waits: dict[str, _Wait] = {}
        self._under_way: set[str] = set()
        # Those of them in trees that wait for more than a disk, by what these wait for.
        self._elsewhere: dict[frozenset[str], set[str]] = {}
        self._hidden: HiddenPlace | None = None
        # The directories of quarantines in which uploads may wait: those that are noted, once that has been read.
        self._noted: set[str] | None = None
        self._places: set[str] = set()
        self._told: dict[str, str] = {}

    @property
    def quarantine(self) -> Quarantine:
        """The quarantine of the present configuration."""
        section = self._serving.loaded.config.quarantine
        return Quarantine(section.directory, section.max_size)

    @property
    def hidden(self) -> HiddenPlace:
        """The place of the present configuration."""
        section = self._serving.loaded.config.quarantine
        place = HiddenPlace(section.directory, section.max_size)
        if self._hidden is None or (self._hidden.directory, self._hidden.most) != (place.directory, place.most):
            self._hidden = place
        return self._hidden

    def look(self) -> Deferred[None]:
        """Settle what can be; for the clockwork. Never fails."""
        return Deferred.fromCoroutine(self._look()).addErrback(
            lambda failure: log.failure("hidden uploads could not be looked at", failure)
        )

    def bring_together(self) -> Deferred[None]:
        """Bring what waits elsewhere to the place of now; for the clockwork. Never fails."""
        return Deferred.fromCoroutine(self._bring_together()).addErrback(
            lambda failure: log.failure("hidden uploads could not be brought together", failure)
        )

    async def _look(self) -> None:
        upkeep = self._serving.parts.upkeep
        records = await upkeep.run(self.hidden.records)
        present = {record.incident for record in records}
        self._waits = {incident: wait for incident, wait in self._waits.items() if incident in present}
        due: dict[tuple[str, str], list[Record]] = {}
        for record in records:
            due.setdefault((record.tree, record.inner), []).append(record)
        # The first for each name: later ones would be replaced by it.
        first = [each[0] for each in due.values() if self._is_due(each[0]) and each[0].incident not in self._under_way]
        places = await upkeep.run(by_waiting, {Path(record.tree) for record in first})
        for waited_for in places.keys() - {NOTHING}:
            self._settle_elsewhere(waited_for, [each for each in first if Path(each.tree) in places[waited_for]])
        here = frozenset(places.get(NOTHING, ()))
        near = [record for record in first if Path(record.tree) in here]
        for begin in range(0, len(near), AT_ONCE):
            if self._serving.parts.accounts.is_stopped:
                return
            await DeferredList([self._settled(record, upkeep) for record in near[begin : begin + AT_ONCE]])

    def _settle_elsewhere(self, waited_for: frozenset[str], records: Sequence[Record]) -> None:
        """Settle as many of *records* as may be under way in trees that wait; nobody waits for these."""
        workers = self._serving.parts.lanes.of(waited_for)
        there = self._elsewhere.setdefault(waited_for, set())
        for record in records[: AT_ONCE - len(there)]:
            there.add(record.incident)
            self._settled(record, workers).addBoth(partial(_left, there, record.incident))

    def _settled(self, record: Record, workers: Workers) -> Deferred[None]:
        """Settle *record*; never fails."""
        settling = Deferred.fromCoroutine(self._settle(record, workers))
        return settling.addErrback(lambda failure: log.failure("a hidden upload could not be settled", failure))

    async def _bring_together(self) -> None:
        """Note the place of now, and bring what waits in the places of before to it."""
        here, state = str(self.quarantine.directory), self._serving.parts.state
        self._places.add(here)
        if state.is_configured:
            try:
                if self._noted is None:
                    self._noted = await self._noted_places(here)
                    self._places |= self._noted
                if here not in self._noted:
                    await state.run(facts.put, PLACE, here)
                    self._noted.add(here)
            except (StateTrouble, PoolBusy):
                pass  # told by others; tried again with the next look
        for other in sorted(self._places - {here}):
            await self._adopt(other)

    async def _noted_places(self, here: str) -> set[str]:
        """Return the places that the state file knows, without those in which nothing waits any more."""
        state, upkeep = self._serving.parts.state, self._serving.parts.upkeep
        noted = await state.run(_places)
        for other in sorted(noted - {here}):
            with suppress(OSError):  # it stays, for nobody knows
                if await upkeep.run(HiddenPlace(Path(other), 0).size) == (0, 0):
                    await state.run(facts.remove, PLACE, other)
                    noted.discard(other)
        return noted

    async def _adopt(self, other: str) -> None:
        upkeep, section = self._serving.parts.upkeep, self._serving.loaded.config.quarantine
        place = HiddenPlace(Path(other), section.max_size)
        try:
            waiting, _ = await upkeep.run(place.size)
            if not waiting:
                return
            trees, left = await upkeep.run(self.hidden.adopt, place, frozenset(self._under_way))
            # A count that was before this one has not seen what came from a place of before the start.
            await upkeep.run(self._count, [Path(tree) for tree in sorted(trees)])
        except OSError as error:
            self._tell_once(other, f"what waits in {other} cannot be brought here: {error.strerror}")
        else:
            text = f"hidden uploads that waited in {other} were brought to {section.directory}"
            self._tell_once(other, f"{text}; {left} find no room" if left else text)

    def _count(self, trees: Sequence[Path]) -> None:
        accounts = self._serving.parts.accounts
        for tree in trees:
            if accounts.ledger(tree) is not NO_LEDGER:
                accounts.count(accounts.of(tree))

    def _tell_once(self, place: str, text: str) -> None:
        if self._told.get(place) != text:
            self._told[place] = text
            log.warn("{text}", text=text)

    def _is_due(self, record: Record) -> bool:
        wait = self._waits.get(record.incident)
        return wait is None or monotonic() >= wait.until

    async def _settle(self, record: Record, workers: Workers) -> None:
        self._under_way.add(record.incident)
        try:
            await self._settle_now(record, workers)
        finally:
            self._under_way.discard(record.incident)

    async def _settle_now(self, record: Record, workers: Workers) -> None:
        parts, section = self._serving.parts, self._serving.loaded.config.scanning
        try:
            owner = await self._owner(record)
            site = await workers.run(self._site, record, owner)
        except (StorageError, LoginDenied, SourceUnavailable) as error:
            self._put_off(record, error.reason if isinstance(error, StorageError) else str(error))
            return
        settling = Settling(record, site, self.hidden, self.quarantine, section.hidden_for)
        steps = settling.run()
        wait: float | None = 0.0
        while wait is not None:
            if wait:
                await deferLater(parts.reactor, wait, lambda: None)
            wait = await workers.run(step, steps)
        if settling.settled is not None:
            await self._tell(settling.settled)

    async def _owner(self, record: Record) -> UserRecord | None:
        """
        Return the owner of *record*, where only a source knows of that user.

        A source that does not answer is asked again for as long as an engine is that does not.

        Raises:
            SourceUnavailable, LoginDenied: it does not answer, or keeps the user out.
        """
        for host in self._serving.runtime.hosts.all:
            if host.name == record.host and all(user.name != record.owner for user in host.accounts.known()):
                try:
                    return await host.accounts.find(record.owner)
                except (LoginDenied, SourceUnavailable):
                    if time() - record.time < self._serving.loaded.config.scanning.hidden_for:
                        raise
        return None

    def _site(self, record: Record, owner: UserRecord | None) -> Site:
        """Return the tree of *record* as it is now. Blocks. Raises: StorageError."""
        content = content_of(self._serving, Path(record.tree))

        def opened(judgements: Sequence[Judgement]) -> Any:
            return tree_of(self._serving, record, content, judgements, owner)

        ledger = self._serving.parts.accounts.ledger(Path(record.tree))
        return Site(self._gate(record, owner), content, opened, ledger)

    def _gate(self, record: Record, owner: UserRecord | None) -> AcceptGate | None:
        gates, seen = (
            gates_of(self._serving.loaded.config, self._serving.parts),
            tree_seen(self._serving, record, owner),
        )
        return None if seen is None else gates.of_tree(record.host, *seen)

    async def _tell(self, settled: Settled) -> None:
        record, bus = settled.record, self._serving.parts.bus
        if settled.fate is Fate.WAITS:
            self._put_off(record, settled.why)
            return
        event = _event(settled)
        if bus.keeps(event):
            # Where it cannot be kept, the bus has told so.
            await bus.publish_kept(event).addErrback(lambda _: None)
        else:
            bus.publish(event)

    def _put_off(self, record: Record, why: str) -> None:
        before = self._waits.get(record.incident)
        pause = SOON if before is None else min(LATE, 2 * before.pause)
        self._waits[record.incident] = _Wait(monotonic() + pause, pause)
        if before is None:
            log.warn("hidden upload {incident} waits: {why}", incident=record.incident, why=why)


def _left(under_way: set[str], incident: str, _: object) -> None:
    under_way.discard(incident)


def _places(connection: Connection) -> set[str]:
    return {fact.key for fact in facts.every(connection, PLACE, 0.0)}


def _event(settled: Settled) -> Event:
    record = settled.record
    who = Who(session="", user=record.owner, peer="", listener="", host=record.host)
    if settled.fate is Fate.PUBLISHED:
        seconds = round(time() - record.time, 3)
        return UploadPublished(who, record.path, record.incident, record.bytes, seconds, record.sha256)
    return UploadRefused(
        who,
        "STOR",
        record.path,
        record.incident,
        record.verdict,
        record.engine or None,
        record.signatures or None,
        record.found or None,
        record.bytes,
        record.sha256,
        settled.fate is Fate.QUARANTINED,
    )
