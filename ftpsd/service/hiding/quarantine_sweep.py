"""
The sweep of the quarantine: refused files that are old enough go, and files whose record is lost get one.

A file without a record could not be listed, released or removed, and would take room for ever. Its origin is not known,
so it is for an operator to look at; one that was hidden is never published without a verdict.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ftpsd.audit.events import DAEMON
from ftpsd.audit.topics.accept_events import HeldFileFound, QuarantinePurged
from ftpsd.scanning.quarantine import Full, Quarantine, Record
from ftpsd.scanning.waiting.hidden_place import HiddenPlace
from ftpsd.service.serving import Serving

# The verdict on a file whose record is lost.
NO_RECORD = "no-record"

log = Logger()


@dataclass(slots=True)
class Swept:
    """The records of files that are *gone*, and of those that were *found* without one; the *trouble* with others."""

    gone: list[Record] = field(default_factory=list)
    found: list[Record] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)


def sweep_quarantine(serving: Serving) -> Deferred[None]:
    """Sweep the quarantine of *serving*. Never fails."""
    parts, section = serving.parts, serving.loaded.config.quarantine

    def stays(record: Record) -> bool:
        return parts.holdings.on_refused(record) is not None

    def tell(swept: Swept) -> None:
        for record in swept.gone:
            who = record.owner, record.path, record.sha256
            parts.bus.publish(QuarantinePurged(DAEMON, record.incident, *who, ""))
        for record in swept.found:
            parts.bus.publish(HeldFileFound(DAEMON, record.incident, record.bytes))
        for trouble in swept.trouble:
            log.warn("{trouble}", trouble=trouble)

    quarantine = Quarantine(section.directory, section.max_size)
    hidden = HiddenPlace(section.directory, section.max_size)
    return parts.upkeep.run(_sweep, quarantine, hidden, section.keep, stays).addCallbacks(
        tell, lambda failure: log.failure("the sweep of the quarantine failed", failure)
    )


def _sweep(quarantine: Quarantine, hidden: HiddenPlace, keep: float, stays: Callable[[Record], bool]) -> Swept:
    """Remove what is older than *keep* seconds; of hidden uploads, which wait for their verdict, leftovers alone."""
    swept = Swept()
    for incident in quarantine.orphans():
        with suppress(FileNotFoundError):
            swept.found.append(_recorded(quarantine, incident))
    for leaf, incident in hidden.orphans():
        try:
            swept.found.append(_taken(quarantine, leaf, incident))
        except FileNotFoundError:
            pass
        except Full:
            swept.trouble.append(
                f"{leaf.directory}/{incident}.held has no record, and the quarantine has no room for it"
            )
    hidden.sweep()
    swept.gone = quarantine.sweep(keep, stays)
    return swept


def _recorded(quarantine: Quarantine, incident: str) -> Record:
    """Give the file of *incident* a record."""
    fd = quarantine.open(incident)
    try:
        record = _record(incident, fd)
        quarantine.restore_record(record)
    finally:
        os.close(fd)
    return record


def _taken(quarantine: Quarantine, leaf: Quarantine, incident: str) -> Record:
    """Take the file of *incident* from where it was hidden."""
    fd = leaf.open(incident)
    try:
        record = _record(incident, fd)
        with leaf.place_of(incident) as place:
            quarantine.take(record, place, fd)
        leaf.remove_record(incident)
    finally:
        os.close(fd)
    return record


def _record(incident: str, fd: int) -> Record:
    return Record(incident, time.time(), "", "", "", "", "", os.fstat(fd).st_size, None, NO_RECORD, "", "", "")
