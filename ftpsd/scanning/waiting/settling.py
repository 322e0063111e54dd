"""
Settling: a hidden upload, which its client was told is taken, gets its verdict, and its name or a place in the
quarantine.

* It is asked all that the rules of now ask of an upload under its name. Where there are none with an engine or a
  program any more, or its user is gone, it goes into the quarantine: it is never published without a verdict.
* It is published as a release from the quarantine is: whole, durable, in one rename, and in the place of the very file
  it was to replace. One that finds another file there goes into the quarantine.
* Without a verdict, and as long as it cannot be published, it stays hidden; for *hidden_for* seconds, and then it goes
  into the quarantine too. One that nobody can ever read, since it is damaged or its key was destroyed, goes there now.
* At every moment it is in one of these places. A step that a crash interrupted is found by the records and done again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path

from ftpsd.scanning.accept_gate import AcceptGate
from ftpsd.scanning.judgements import Judgement, judged
from ftpsd.scanning.quarantine import Full, Quarantine, Record, replaced_by
from ftpsd.scanning.release import publish_held
from ftpsd.scanning.scan import Scan
from ftpsd.scanning.waiting.hidden_place import HiddenPlace
from ftpsd.storage.base import Kind, Storage, StorageError
from ftpsd.storage.disk.content import Content
from ftpsd.storage.quota.ledger import NO_LEDGER, Ledger
from ftpsd.storage.sealing.damage import DamagedError, Reason
from ftpsd.storage.uploads.gating import Refusal
from ftpsd.storage.uploads.growing import Growing, Watcher
from ftpsd.values.path import VirtualPath

# Why one is not published that nothing was found in, as the quarantine has it.
NO_RULES, CONFLICT, NO_DIRECTORY, TOO_LONG = "no-rules", "conflict", "no-directory", "unavailable"
UNREADABLE = "unreadable"
# Damage that an operator can mend: by bringing a key back.
_MENDABLE = frozenset({Reason.UNKNOWN_KEY, Reason.MISSING_KEY})
_TO_QUARANTINE = {
    Kind.EXISTS: CONFLICT,
    Kind.HELD: CONFLICT,
    Kind.NOT_FOUND: NO_DIRECTORY,
    Kind.NOT_A_DIRECTORY: NO_DIRECTORY,
}


class Fate(Enum):
    """The outcome for a hidden upload."""

    PUBLISHED = auto()
    QUARANTINED = auto()
    DISCARDED = auto()  # something was found, and the rule says so
    WAITS = auto()


@dataclass(frozen=True, slots=True)
class Settled:
    """The fate of the upload of *record*, which has the verdict; *why* it waits."""

    fate: Fate
    record: Record
    why: str = ""
    retries_soon: bool = False


@dataclass(frozen=True, slots=True)
class Site:
    """
    The tree of a hidden upload: its *gate*, None where nobody sees it any more, and what opens it for publishing.

    In its *ledger* the upload counts.
    """

    gate: AcceptGate | None
    content: Content
    open: Callable[[Sequence[Judgement]], Storage]
    ledger: Ledger = NO_LEDGER


class Settling:
    """The settling of the upload of *record* in the *place*; *quarantine* takes what is not published."""

    def __init__(self, record: Record, site: Site, place: HiddenPlace, quarantine: Quarantine, longest: float) -> None:
        self._record = record
        self._site = site
        self._place = place
        self._hidden = place.leaf_of(record.incident)
        self._quarantine = quarantine
        self._longest = longest
        self.settled: Settled | None = None

    def run(self) -> Iterator[float]:
        """Do it in steps; yields how many seconds to wait before the next. At the end there is `settled`."""
        try:
            fd = self._hidden.open(self._record.incident)
        except FileNotFoundError:  # settled by another process
            return
        try:
            yield from self._settle(fd)
        finally:
            os.close(fd)

    def _settle(self, fd: int) -> Iterator[float]:
        record, gate = self._record, self._site.gate
        path = VirtualPath.parse(record.inner)
        if self._is_there(path):  # a crash came between its name and the end of its record
            self._publish_end(fd)
            return
        try:
            watchers = [] if gate is None else gate.watch_hidden(VirtualPath.parse(record.path), path)
            scans = [each for each in watchers if isinstance(each, Scan)]
            if not scans:
                self._take(fd, replace(record, verdict=NO_RULES))
                return
            yield from self._shown(watchers, fd)
        except Refusal as refusal:
            self._refused(fd, refusal)
            return
        except DamagedError as error:
            self._unreadable(fd, error)
            return
        except StorageError as error:
            self._wait(fd, error.reason)
            return
        self._publish(fd, scans)

    def _publish(self, fd: int, scans: list[Scan]) -> None:
        # As it is now: while it was looked at, the time of the file that it replaces may have been set.
        self._record = record = self._hidden.find(self._record.incident) or self._record
        verdicts = [each.verdict for each in scans if each.verdict is not None]
        try:
            note = tuple(judged(verdict, time.time()) for verdict in verdicts if verdict.signatures)
            publish_held(record, fd, self._site.open(note), content=self._site.content)
        except DamagedError as error:
            self._unreadable(fd, error)
        except StorageError as error:
            why = _TO_QUARANTINE.get(error.kind)
            if why is None or self._hidden.find(record.incident) != record:
                self._wait(fd, error.reason)
            else:
                self._take(fd, replace(record, verdict=why))
        else:
            self._publish_end(fd)

    def _unreadable(self, fd: int, error: DamagedError) -> None:
        if error.damage in _MENDABLE:
            self._wait(fd, error.reason)
        else:
            self._take(fd, replace(self._record, verdict=UNREADABLE, found=error.damage))

    def _shown(self, watchers: list[Watcher], fd: int) -> Iterator[float]:
        content = self._site.content
        growing = Growing(content.reading(fd), content.length(os.fstat(fd).st_size), watchers)
        return growing.shown()

    def _is_there(self, path: VirtualPath) -> bool:
        """Return whether the file that is published is this one."""
        if self._record.sha256 is None:
            return False
        try:
            source = self._site.open(()).open_source(path)
        except StorageError:
            return False
        try:
            return source.size == self._record.bytes and source.sha256 == self._record.sha256
        finally:
            source.close()

    def _publish_end(self, fd: int) -> None:
        """Give it the time and mode that were set meanwhile, let later ones replace it, then forget it."""
        tree, incident = self._site.open(()), self._record.incident
        while (record := self._hidden.find(incident)) is not None:
            now = _finished(tree, record)
            # By now: some may have come since, which were to replace the file that was there before.
            for later in self._place.waiting_at(Path(record.tree), record.inner):
                if later.incident != incident and later.may_replace and now is not None:
                    self._let_replace(later.incident, now)
            if self._removed(fd, record):
                break
        self.settled = Settled(Fate.PUBLISHED, self._record)

    def _let_replace(self, incident: str, now: int) -> None:
        leaf = self._place.leaf_of(incident)
        later = leaf.find(incident)
        if later is not None:
            leaf.change(replace(later, replaces=replaced_by(now)))

    def _removed(self, fd: int, record: Record) -> bool:
        """Remove it, unless its record has changed; return whether that was so."""
        with self._site.ledger.change() as change:
            status = os.fstat(fd)
            change.going(status)
            is_gone = self._hidden.remove(record.incident, only=record)
            if is_gone:
                change.went(status)
        return is_gone

    def _refused(self, fd: int, refusal: Refusal) -> None:
        if refusal.kind is not Kind.REFUSED:
            self._wait(fd, f"{refusal.engine}: {refusal.found}")
            return
        told = replace(
            self._record,
            verdict=refusal.verdict,
            engine=refusal.engine,
            signatures=refusal.signatures,
            found=refusal.found,
        )
        if refusal.custody is None:
            while (record := self._hidden.find(told.incident)) is not None and not self._removed(fd, record):
                pass
            self.settled = Settled(Fate.DISCARDED, told)
        else:
            self._take(fd, told)

    def _wait(self, fd: int, why: str) -> None:
        """Leave it hidden, if it has not been so for too long."""
        if time.time() - self._record.time >= self._longest:
            self._take(fd, replace(self._record, verdict=TOO_LONG, found=why))
        else:
            self.settled = Settled(Fate.WAITS, self._record, why)

    def _take(self, fd: int, record: Record) -> None:
        """Move it into the quarantine."""
        try:
            with self._site.ledger.change() as change, self._hidden.place_of(record.incident) as place:
                status = os.fstat(fd)
                change.going(status)
                self._quarantine.take(record, place, fd)
                change.went(status)
            self._hidden.remove_record(record.incident)
        except Full:
            self.settled = Settled(Fate.WAITS, record, "the quarantine is full")
        except OSError as error:
            self.settled = Settled(Fate.WAITS, record, error.strerror or "")
        else:
            self.settled = Settled(Fate.QUARANTINED, record)


def _finished(tree: Storage, record: Record) -> int | None:
    """Give the published file of *record* the time and mode that its client has set; return its time, None for none."""
    path = VirtualPath.parse(record.inner)
    try:
        if record.mode is not None:
            tree.set_mode(path, record.mode)
        if record.modified_ns is not None:
            tree.set_modified(path, record.modified_ns)
        return tree.stat(path).modified_ns
    except StorageError:
        return None
