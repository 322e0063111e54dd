"""
The hidden uploads of a server: settled one after the other for each name, some at a time, in one of its processes.

It looks every second for what has come, in the directory that all processes share, also after a crash. An engine that
is down is asked again after a while, a little later each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, time
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.logger import Logger

from ftpsd.audit.events import Event, Who
from ftpsd.audit.topics.accept_events import UploadPublished, UploadRefused
from ftpsd.config.users import Mount, UserRecord
from ftpsd.scanning.accept_gate import AcceptGate
from ftpsd.scanning.judgements import Judgement
from ftpsd.scanning.quarantine import Quarantine, Record
from ftpsd.scanning.settling import Fate, Settled, Settling, Site
from ftpsd.scanning.stepping import step
from ftpsd.service.build import gates_of
from ftpsd.service.building.held_trees import content_of, tree_of
from ftpsd.service.serving import Serving
from ftpsd.storage.base import StorageError

# Seconds between two looks for what has come.
LOOK = 1.0
# Uploads that are settled at once: the upkeep has other work, too.
AT_ONCE = 3
# Seconds until one without a verdict is asked about again: at first, and at most.
SOON, LATE = 5.0, 300.0

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

    @property
    def quarantine(self) -> Quarantine:
        """The quarantine of the present configuration."""
        section = self._serving.loaded.config.quarantine
        return Quarantine(section.directory, section.max_size)

    def look(self) -> Deferred[None]:
        """Settle what can be; for the clockwork. Never fails."""
        return Deferred.fromCoroutine(self._look()).addErrback(
            lambda failure: log.failure("hidden uploads could not be looked at", failure)
        )

    async def _look(self) -> None:
        upkeep = self._serving.parts.upkeep
        records = await upkeep.run(_waiting, self.quarantine.hidden)
        present = {record.incident for record in records}
        self._waits = {incident: wait for incident, wait in self._waits.items() if incident in present}
        due: dict[tuple[str, str], list[Record]] = {}
        for record in records:
            due.setdefault((record.tree, record.inner), []).append(record)
        # The first for each name: later ones would be replaced by it.
        first = [each[0] for each in due.values() if self._is_due(each[0])]
        for begin in range(0, len(first), AT_ONCE):
            if self._serving.parts.accounts.is_stopped:
                return
            settling = [Deferred.fromCoroutine(self._settle(record)) for record in first[begin : begin + AT_ONCE]]
            for is_fine, failure in await DeferredList(settling, consumeErrors=True):
                if not is_fine:
                    log.failure("a hidden upload could not be settled", failure)

    def _is_due(self, record: Record) -> bool:
        wait = self._waits.get(record.incident)
        return wait is None or monotonic() >= wait.until

    async def _settle(self, record: Record) -> None:
        parts, section = self._serving.parts, self._serving.loaded.config.scanning
        try:
            site = await parts.upkeep.run(self._site, record)
        except StorageError as error:
            self._put_off(record, error.reason)
            return
        settling = Settling(record, site, self.quarantine.hidden, self.quarantine, section.hidden_for)
        steps = settling.run()
        wait: float | None = 0.0
        while wait is not None:
            if wait:
                await deferLater(parts.reactor, wait, lambda: None)
            wait = await parts.upkeep.run(step, steps)
        if settling.settled is not None:
            await self._tell(settling.settled)

    def _site(self, record: Record) -> Site:
        """Return the tree of *record* as it is now. Blocks. Raises: StorageError."""
        content = content_of(self._serving, Path(record.tree))

        def opened(judgements: Sequence[Judgement]) -> Any:
            return tree_of(self._serving, record, content, judgements)

        return Site(self._gate(record), content, opened)

    def _gate(self, record: Record) -> AcceptGate | None:
        gates = gates_of(self._serving.loaded.config, self._serving.parts)
        for host in self._serving.runtime.hosts.all:
            if host.name != record.host:
                continue
            for user in host.accounts.known():
                trees: tuple[UserRecord | Mount, ...] = (user, *user.mounts)
                for tree in trees if user.name == record.owner else ():
                    if str(tree.directory if isinstance(tree, Mount) else tree.home) == record.tree:
                        return gates.of_tree(host.name, user, tree)
        return None

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


def _waiting(hidden: Quarantine) -> list[Record]:
    """Return the records of what waits, the oldest first. Blocks."""
    return hidden.records() if hidden.directory.is_dir() else []


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
