"""
The table of what clients have done: a record for each place, in memory of a fixed size, which several processes may
share.

A record lies in one of the 32 slots of its bucket (auth/slots.py); no client can choose which. A full bucket forgets,
in this order: records that say nothing any more, failures (the fewest first), places known for their good logins (the
one that would be forgotten first). A ban gives way to a ban that ends later, and to nothing else: so a ban ends early
only after 32 longer ones in its bucket, each with all of its failures. Failures that find no room are not counted for
their address; they are counted for its network.

Every access is under `lock`, but where it is said.
"""

from __future__ import annotations

import mmap
import secrets
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final

from ftpsd.auth.slots import DIGEST, SLOTS_IN_BUCKET, Slots

# Places. With 280 bytes each they take 9 MB of address space, of which untouched pages are no memory.
PLACES = 32_768
# Spans of time that make up the window; a failure counts for the whole of it, and for one span more at most.
SPANS = 8
MOST_KEY, MOST_NAME = 48, 120
PREFIXES = 33 + 129
_HEADER = struct.Struct(f"<qq16s{PREFIXES}s6x")
_RECORD = struct.Struct(f"<q{SPANS + 1}fd4B{MOST_KEY}s{MOST_NAME}s")
_GENERATION = slice(8, 16)
_PREFIXES = 32
_IS_RECALLED = _PREFIXES + PREFIXES
_DOUBLE = 8
_PAGE = 4096


@dataclass(slots=True)
class Record:
    """
    The record of one place.

    *until* ends its ban, of so many *seconds*, *known* the time for which a good login counts, *calm* the time after
    which it is no repeater. *counts* are the points of spans of time, the newest, *span*, first. A ban is the
    *level*-th in a row, its *reason* is a number; *name* is that of the user whose logins from there are refused, or an
    operator's words.
    """

    key: str
    name: str = ""
    until: float = 0.0
    known: float = 0.0
    calm: float = 0.0
    seconds: float = 0.0
    span: int = 0
    counts: list[float] = field(default_factory=lambda: [0.0] * (SPANS + 1))
    level: int = 0
    reason: int = 0
    is_manual: bool = False
    is_of_name: bool = False

    @property
    def lasts_until(self) -> float:
        """The time after which nothing of it is worth keeping, but for failures."""
        return max(self.until, self.known, self.calm)

    def count(self, points: float, span: int) -> float:
        """Add *points* in the span of time *span*, and return those of the window."""
        if not self.span <= span < self.span + 2 * SPANS:
            # Long ago; or the clock was set back, or a reload has changed the window: spans have other numbers then.
            self.counts, self.span = [0.0] * (SPANS + 1), span
        if passed := span - self.span:
            passed = min(passed, SPANS + 1)
            self.counts = [0.0] * passed + self.counts[: SPANS + 1 - passed]
            self.span = span
        self.counts[0] += points
        return sum(self.counts)


class RecordTable:
    """The table in *memory* of `size_of` some places; *lock* is held for microseconds."""

    FORM: Final = f"1:{_HEADER.format}:{_RECORD.format}:{DIGEST}:{SLOTS_IN_BUCKET}"
    """The form of the memory; the number in front counts what the rest does not tell."""

    def __init__(self, memory: mmap.mmap, lock: AbstractContextManager[object]) -> None:
        self.lock = lock
        self.window = 600.0
        self._memory = memory
        slots, _, secret, _ = _HEADER.unpack_from(memory)
        self._slots = slots
        ends = _HEADER.size
        known = ends + slots * _DOUBLE
        calm = known + slots * _DOUBLE
        self._records = calm + slots * _DOUBLE
        self._ends: memoryview[float] = memoryview(memory)[ends:known].cast("d")
        self._known: memoryview[float] = memoryview(memory)[known:calm].cast("d")
        self._calm: memoryview[float] = memoryview(memory)[calm : self._records].cast("d")
        self._keys = Slots(memory, self._records + slots * _RECORD.size, slots, secret)

    @staticmethod
    def size_of(places: int = PLACES) -> int:
        """Return the bytes of a table for so many *places*, and no fewer than one bucket of them."""
        return _HEADER.size + _slots(places) * (3 * _DOUBLE + _RECORD.size + DIGEST)

    @staticmethod
    def prepare(memory: mmap.mmap, places: int = PLACES) -> None:
        """Make *memory*, zeros, a table without records."""
        _HEADER.pack_into(memory, 0, _slots(places), 0, secrets.token_bytes(16), bytes(PREFIXES))

    def span_at(self, now: float) -> int:
        """Return the number of the span of time in which *now* is."""
        return int(now / (self.window / SPANS))

    @property
    def generation(self) -> int:
        """A number that changes with every ban, its end, and every client that becomes known."""
        return int.from_bytes(self._memory[_GENERATION], "little")

    @property
    def is_recalled(self) -> bool:
        """Whether the table has all that the state file had at the start of the server."""
        return bool(self._memory[_IS_RECALLED])

    def note_recalled(self) -> None:
        """Note that it has."""
        self._memory[_IS_RECALLED] = 1

    def banned_prefixes(self, version: int) -> Iterator[int]:
        """Yield the lengths of prefixes of which there may be a ban, of IP *version* 4 or 6."""
        first, last = (_PREFIXES, _PREFIXES + 33) if version == 4 else (_PREFIXES + 33, _PREFIXES + PREFIXES)
        flags = self._memory[first:last]
        place = flags.find(1)
        while place >= 0:
            yield place
            place = flags.find(1, place + 1)

    def note_ban(self, version: int, prefix: int) -> None:
        """Note that there is one more ban, of a place with that *prefix*."""
        self._memory[_PREFIXES + prefix + (0 if version == 4 else 33)] = 1
        self.note_change()

    def note_change(self) -> None:
        """Let all who follow the table look at it."""
        self._memory[_GENERATION] = (self.generation + 1).to_bytes(8, "little")

    def get(self, key: str, name: str = "") -> Record | None:
        """Return the record of *key*, or that of the user *name* there."""
        slot = self._keys.find(*self._keys.place(_text(key, name)))
        return None if slot is None else self._read(slot)

    def until(self, key: str, name: str = "") -> float:
        """Return when the ban of *key* ends, or that of the user *name* there; 0: there was none."""
        slot = self._keys.find(*self._keys.place(_text(key, name)))
        return 0.0 if slot is None else self._ends[slot]

    def put(self, record: Record, now: float, name: str = "") -> bool:
        """Keep *record*, of the user *name* where one is given; False: all that could give way counts for more."""
        digest, slots = self._keys.place(_text(record.key, name))
        slot = self._keys.find(digest, slots)
        if slot is None:
            slot = min(slots, key=lambda each: self._worth(each, now))
            worth = self._worth(slot, now)
            if worth[0] == _BAN and worth[1] > record.until:
                return False
            # In this order: a process that dies in between leaves no place with the ban of another.
            self._ends[slot] = self._known[slot] = self._calm[slot] = 0.0
            self._keys.put(slot, digest)
        self._write(slot, record)
        self._ends[slot], self._known[slot], self._calm[slot] = record.until, record.known, record.calm
        return True

    def banned(self) -> list[tuple[int, float]]:
        """
        Return the slots with a ban, and when it ends or has ended, as far as that is not noted (`over`); needs no lock.
        """
        ends = self._ends.tobytes()
        if ends == bytes(len(ends)):  # as mostly, every few seconds and for every scrape: 0.1 ms in place of 3
            return []
        return [(slot, end) for slot, end in enumerate(self._ends.tolist()) if end]

    def moments(self) -> bytes:
        """Return all ends of bans, of being known and of being a repeater, for `changed`; needs no lock."""
        return self._memory[_HEADER.size : self._records]

    def changed(self, before: bytes, after: bytes) -> set[int]:
        """Return the slots in which one of the `moments` differs."""
        return {
            place // _DOUBLE % self._slots
            for page in range(0, len(after), _PAGE)
            if before[page : page + _PAGE] != after[page : page + _PAGE]
            for place in range(page, min(page + _PAGE, len(after)), _DOUBLE)
            if before[place : place + _DOUBLE] != after[place : place + _DOUBLE]
        }

    def at(self, slot: int) -> Record:
        """Return the record in *slot*."""
        return self._read(slot)

    def over(self, slot: int, *, forget: bool) -> None:
        """Note that the ban in *slot* is over; *forget* what led to it."""
        self._ends[slot] = 0.0
        if forget:
            record = self._read(slot)
            record.level, record.span, record.counts = 0, 0, [0.0] * (SPANS + 1)
            self._calm[slot] = 0.0
            self._write(slot, record)

    def forget_prefixes(self) -> None:
        """Forget which prefixes have been banned: there is no ban."""
        self._memory[_PREFIXES : _PREFIXES + PREFIXES] = bytes(PREFIXES)

    def _worth(self, slot: int, now: float) -> tuple[int, float]:
        if self._ends[slot] > now:
            return _BAN, self._ends[slot]
        if self._known[slot] > now:
            return _KNOWN, self._known[slot]
        span, *rest = _RECORD.unpack_from(self._memory, self._records + slot * _RECORD.size)
        points = sum(rest[: SPANS + 1]) if span >= self.span_at(now) - SPANS else 0.0
        if self._calm[slot] > now:
            points += 1
        return (_FAILED, points) if points else (_NOTHING, span)

    def _read(self, slot: int) -> Record:
        span, *rest = _RECORD.unpack_from(self._memory, self._records + slot * _RECORD.size)
        seconds, level, reason, is_manual, is_of_name, key, name = rest[SPANS + 1 :]
        return Record(
            key=_read_text(key),
            name=_read_text(name),
            until=self._ends[slot],
            known=self._known[slot],
            calm=self._calm[slot],
            seconds=seconds,
            span=span,
            counts=rest[: SPANS + 1],
            level=level,
            reason=reason,
            is_manual=bool(is_manual),
            is_of_name=bool(is_of_name),
        )

    def _write(self, slot: int, record: Record) -> None:
        _RECORD.pack_into(
            self._memory,
            self._records + slot * _RECORD.size,
            record.span,
            *record.counts,
            record.seconds,
            record.level,
            record.reason,
            record.is_manual,
            record.is_of_name,
            record.key.encode("ascii", "replace"),
            record.name.encode("utf-8", "replace")[:MOST_NAME],
        )


_NOTHING, _FAILED, _KNOWN, _BAN = range(4)


def own_table(places: int = PLACES) -> mmap.mmap:
    """Return memory of this process for a table of *places*."""
    memory = mmap.mmap(-1, RecordTable.size_of(places))
    RecordTable.prepare(memory, places)
    return memory


def _slots(places: int) -> int:
    return max(1, places // SLOTS_IN_BUCKET) * SLOTS_IN_BUCKET


def _text(key: str, name: str) -> str:
    return f"{key}\0{name}" if name else key


def _read_text(data: bytes) -> str:
    return data.rstrip(b"\0").decode("utf-8", "ignore")
