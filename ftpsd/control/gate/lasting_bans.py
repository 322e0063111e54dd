"""
Bans that outlive the server: the state file remembers what the table of penalties has.

Bans, the clients that are known for a good login, and the repeaters are written a moment after each change, and taken
over at the start, before a connection is accepted. Failures that have led to no ban, and names refused at a known
client, are forgotten with the server. While the file cannot be used, which its owner tells, penalties live in memory
alone; what has changed meanwhile is written later.
"""

from __future__ import annotations

import json
from sqlite3 import Connection
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd.control.gate.bans import GrowingPenalties
from ftpsd.control.gate.offences import REASONS
from ftpsd.control.gate.places import place_from
from ftpsd.control.gate.record_table import PLACES, Record
from ftpsd.durable import facts
from ftpsd.durable.state_trouble import StateTrouble
from ftpsd.durable.store import Store
from ftpsd.workers import PoolBusy

KIND: Final = "penalty"
# Seconds between two looks, and records that one look writes: a flood of bans does not keep others from the file.
LOOK: Final = 1.0
MOST_WRITTEN: Final = 500
# Seconds that a server waits at its start for a disk that does not answer.
PATIENCE: Final = 5.0

log = Logger()


class LastingBans:
    """The keeper of *penalties* in *store*: one process of the server has it."""

    def __init__(self, penalties: GrowingPenalties, store: Store, clock: IReactorTime) -> None:
        self._penalties = penalties
        self._store = store
        self._clock = clock
        self._generation = -1
        self._seen = bytes(len(penalties.table.moments()))
        # Slots that have changed since they were written; and which slot the fact of a key was written for, and back.
        self._pending: set[int] = set()
        self._slots: dict[str, int] = {}
        self._keys: dict[int, str] = {}
        self._is_writing = False
        self._knows_file = False
        self._file = store.generation

    def load(self) -> Deferred[None]:
        """Take over what the file has, unless the table comes from a process that has done so; never fails."""

        def found(known: list[facts.Fact]) -> None:
            if self._penalties.table.is_recalled:
                return  # and knows of bans that were lifted since
            now = self._clock.seconds()
            for fact in known:
                record = _record(fact, now)
                if record is not None:
                    self._penalties.restore(record, now)
            self._penalties.table.note_recalled()

        read = self._store.run(_of_kind, self._clock.seconds()).addTimeout(PATIENCE, self._clock)
        return read.addCallback(found).addErrback(_ignored)

    def look(self) -> Deferred[None]:
        """Write what has changed, as far as one look may."""
        table, now = self._penalties.table, self._clock.seconds()
        if not self._store.is_configured or self._is_writing:
            return succeed(None)
        if not self._knows_file:
            return self._compare()
        if self._store.generation != self._file:
            # Another file, which has none of them.
            self._file = self._store.generation
            self._pending.update(self._keys)
        if (generation := table.generation) != self._generation:
            moments = table.moments()
            self._pending |= table.changed(self._seen, moments)
            self._generation, self._seen = generation, moments
        if not self._pending:
            return succeed(None)
        taken = sorted(self._pending)[:MOST_WRITTEN]
        records = {slot: self._penalties.record_at(slot) for slot in taken}
        kept = {slot: each for slot, each in records.items() if each.lasts_until > now and not each.is_of_name}
        facts_kept = [facts.Fact(each.key, _value(each), each.lasts_until) for each in kept.values()]
        gone = [self._keys[slot] for slot in taken if slot in self._keys]

        def written(_: None) -> None:
            self._pending.difference_update(taken)
            for key in gone:
                self._keys.pop(self._slots.pop(key), None)
            for slot, record in kept.items():
                self._keys.pop(self._slots.get(record.key, -1), None)
                self._slots[record.key], self._keys[slot] = slot, record.key

        # A failure leaves them pending: each look tries again.
        writing = self._store.run(_write, facts_kept, gone, now).addCallback(written)
        return self._written(writing).addCallback(lambda _: None)

    def _compare(self) -> Deferred[None]:
        """Remove from the file what was lifted before this keeper began: the process of another one may have died."""
        table, now = self._penalties.table, self._clock.seconds()

        def found(known: list[facts.Fact]) -> Deferred[None]:
            ours = [fact.key for fact in known if _record(fact, now) is not None]
            with table.lock:
                records = {key: table.get(key) for key in ours}
            # A ban that is not there may not have been read at the start; it is left for the next one then.
            gone = [
                key
                for key, record in records.items()
                if (table.is_recalled if record is None else record.lasts_until <= now)
            ]
            return self._store.run(_write, [], gone, now)

        def compared(is_done: bool) -> Deferred[None]:
            self._knows_file = is_done
            return self.look() if is_done else succeed(None)

        return self._written(self._store.run(_of_kind, now).addCallback(found)).addCallback(compared)

    def _written(self, writing: Deferred[None]) -> Deferred[bool]:
        """Note that *writing* is under way, until it is over; return whether it was done. Never fails."""

        def over(result: object) -> bool:
            self._is_writing = False
            if isinstance(result, Failure):
                _ignored(result)
            return not isinstance(result, Failure)

        self._is_writing = True
        return writing.addBoth(over)


def recalled(penalties: GrowingPenalties, store: Store, clock: IReactorTime) -> Deferred[str | None]:
    """Have *penalties* take over what *store* has, and let go of its file; return why that cannot be used."""

    def let_go(_: None) -> str | None:
        store.stop(patience=0.0)
        return store.trouble if store.is_configured else None

    store.start()
    return LastingBans(penalties, store, clock).load().addCallback(let_go)


def _of_kind(connection: Connection, now: float) -> list[facts.Fact]:
    return list(facts.every(connection, KIND, now))


def _write(connection: Connection, rows: list[facts.Fact], gone: list[str], now: float) -> None:
    for key in gone:
        facts.remove(connection, KIND, key)
    for fact in rows:
        facts.put(connection, KIND, fact.key, fact.value, fact.until)
    facts.tidy(connection, KIND, now, PLACES)


def _value(record: Record) -> str:
    return json.dumps(
        {
            "until": record.until,
            "known": record.known,
            "calm": record.calm,
            "seconds": record.seconds,
            "level": record.level,
            "reason": REASONS[record.reason],
            "words": record.name if record.is_manual else "",
        }
    )


def _record(fact: facts.Fact, now: float) -> Record | None:
    """Return the record that a fact tells; None for one that another version, or nobody of ours, has written."""
    try:
        told: dict[str, Any] = json.loads(fact.value)
        place_from(fact.key)
        until, known, calm = (float(told[name]) for name in ("until", "known", "calm"))
        reason = REASONS.index(told["reason"])
        return Record(
            key=fact.key,
            name=str(told["words"]),
            until=until,
            known=known,
            calm=calm,
            # Earlier versions did not tell it.
            seconds=float(told.get("seconds", max(0.0, until - now))),
            level=min(max(int(told["level"]), 0), 255),
            reason=reason,
            is_manual=reason == 0,
        )
    except (ValueError, KeyError, TypeError) as error:
        log.warn("a penalty of the state file is ignored: {kind}", kind=type(error).__name__)
        return None


def _ignored(failure: Failure) -> None:
    """Take a failure of the file for told: the store's listener has told it."""
    if failure.check(TimeoutError):
        log.warn("the state file does not answer; the bans in it are forgotten until the next start")
    elif not failure.check(StateTrouble, PoolBusy, CancelledError):
        log.failure("penalties could not be kept", failure)
