"""
The tables of the ledger: events that are to be delivered, and intents that may become events.

Each function is called with an open state file, within a transaction of the caller's. Events are numbered in the order
in which they are written; a number is never used twice.

An intent is written before a file is published, renamed or deleted, and goes with its event, or when nothing was done.
One that is *held* is an upload under a temporary name, which becomes an event when the file gets its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from sqlite3 import Connection
from typing import Any, Final

from ftpsd.values.trace import Trace

# The events behind which other bytes are at a path.
MAKING: Final = (
    "file-stored",
    "file-copied",
    "files-combined",
    "file-renamed",
    "upload-published",
    "quarantine-released",
)
# Events that are looked through for one that is about the same file: some milliseconds.
MOST_LATER: Final = 10_000


@dataclass(frozen=True, slots=True)
class Draft:
    """An event to be written: its line of the audit log is *data*."""

    id: str
    event: str
    seconds: float
    data: str


@dataclass(frozen=True, slots=True)
class Intent:
    """A *draft* that may have come true of the file *trace*; *owner* is the process that meant to do it."""

    draft: Draft
    trace: Trace
    owner: str


@dataclass(frozen=True, slots=True)
class Record:
    """
    An event of the ledger.

    Those that have one of their *keys* in common are delivered in the order of their numbers. *file* is the path of
    this machine, where it is known.
    """

    number: int
    id: str
    event: str
    seconds: float
    keys: tuple[str, ...]
    file: bytes | None
    data: str


def intend(connection: Connection, intent: Intent) -> None:
    """Write *intent* down."""
    draft, trace = intent.draft, intent.trace
    connection.execute(
        "INSERT INTO intents VALUES (?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            draft.id,
            intent.owner,
            draft.event,
            draft.seconds,
            trace.place,
            trace.former,
            str(trace.device),
            str(trace.inode),
            min(trace.size, (1 << 63) - 1),
            str(trace.modified_ns),
            draft.data,
        ),
    )


def drop_intent(connection: Connection, id: str) -> None:
    """Forget what was intended: it was not done."""
    connection.execute("DELETE FROM intents WHERE id = ?", (id,))


def record(connection: Connection, draft: Draft, trace: Trace | None, keys: tuple[str, ...] = ()) -> None:
    """
    Write *draft* into the ledger, in place of the intent with its id.

    *trace* is that of the file, None for an event that had no intent; then *keys* are its keys.
    """
    file = None if trace is None else trace.place
    if trace is not None:
        drop_intent(connection, draft.id)
        keys = keys_of(trace)
    # An event that was kept already, by a look at the disk: its id is the same.
    connection.execute(
        "INSERT OR IGNORE INTO events (id, event, seconds, keys, file, data) VALUES (?, ?, ?, ?, ?, ?)",
        (draft.id, draft.event, draft.seconds, json.dumps(keys), file, draft.data),
    )


def record_again(connection: Connection, lost: Record) -> None:
    """Write *lost*, a record of another ledger, into this one, unless it is there."""
    connection.execute(
        "INSERT OR IGNORE INTO events (id, event, seconds, keys, file, data) VALUES (?, ?, ?, ?, ?, ?)",
        (lost.id, lost.event, lost.seconds, json.dumps(lost.keys), lost.file, lost.data),
    )


def hold(connection: Connection, draft: Draft, trace: Trace) -> None:
    """Hold *draft*, an upload under a temporary name that is published, until it gets another."""
    _forget_held(connection, trace.place, draft.id)
    connection.execute("UPDATE intents SET is_held = 1, data = ? WHERE id = ?", (draft.data, draft.id))


def rename(connection: Connection, draft: Draft, trace: Trace, path: str, *, is_recorded: bool, is_held: bool) -> None:
    """
    Write down that *draft*, a rename to *path*, was done.

    An upload that was held under the former name is an event now, with the new name, or with *is_held* goes on to be
    held under that. Another rename is an event where it *is_recorded*.
    """
    held = connection.execute(
        "SELECT id, event, data FROM intents WHERE is_held AND place = ?", (trace.former,)
    ).fetchone()
    if held is None:
        # A directory on its way has been renamed since: the same file lies elsewhere, as it was stored.
        held = connection.execute(
            "SELECT id, event, data FROM intents"
            " WHERE is_held AND device = ? AND inode = ? AND size = ? AND modified = ?",
            (str(trace.device), str(trace.inode), trace.size, str(trace.modified_ns)),
        ).fetchone()
    if held is None:
        if is_recorded:
            record(connection, draft, trace)
        else:
            drop_intent(connection, draft.id)
        return
    drop_intent(connection, draft.id)
    id, event, data = held
    data = renamed(data, path)
    if is_held:
        _forget_held(connection, trace.place, id)
        connection.execute("UPDATE intents SET place = ?, data = ? WHERE id = ?", (trace.place, data, id))
        return
    record(connection, Draft(id, event, draft.seconds, data), trace)


def rename_directory(connection: Connection, draft: Draft, trace: Trace, *, is_recorded: bool) -> None:
    """Write down that *draft*, a rename of a directory, was done: uploads that are held in it lie elsewhere now."""
    assert trace.former is not None
    told = json.loads(draft.data)
    rows = connection.execute(
        "SELECT id, place, data FROM intents WHERE is_held AND place > ? AND place < ?",
        # All that begins with the name and a slash; "0" is the letter behind that.
        (trace.former + b"/", trace.former + b"0"),
    )
    for id, place, data in rows.fetchall():
        fields: dict[str, Any] = json.loads(data)
        if fields["path"].startswith(told["old"] + "/"):
            fields["path"] = told["new"] + fields["path"][len(told["old"]) :]
        moved = trace.place + place[len(trace.former) :]
        values = (moved, json.dumps(fields, separators=(",", ":")), id)
        connection.execute("UPDATE intents SET place = ?, data = ? WHERE id = ?", values)
    if is_recorded:
        record(connection, draft, trace)
    else:
        drop_intent(connection, draft.id)


def intents(connection: Connection, *, are_held: bool, before: float, most: int = 1000) -> list[Intent]:
    """Return the intents, or those that are held, of before that Unix time, the oldest first."""
    rows = connection.execute(
        "SELECT id, owner, event, seconds, place, former, device, inode, size, modified, data FROM intents"
        " WHERE is_held = ? AND seconds < ? ORDER BY seconds LIMIT ?",
        (are_held, before, most),
    )
    return [
        Intent(
            Draft(id, event, seconds, data),
            Trace(place, int(device), int(inode), size, int(modified), former),
            owner,
        )
        for id, owner, event, seconds, place, former, device, inode, size, modified, data in rows.fetchall()
    ]


def fetch(connection: Connection, after: int, most: int) -> list[Record]:
    """Return up to *most* events behind the number *after*, in order."""
    return _records(connection.execute(f"{_SELECT} WHERE number > ? ORDER BY number LIMIT ?", (after, most)))


def fetch_numbers(connection: Connection, numbers: Iterable[int]) -> list[Record]:
    """Return the events with these *numbers*, in order."""
    found: list[Record] = []
    for number in sorted(numbers):
        found += _records(connection.execute(f"{_SELECT} WHERE number = ?", (number,)))
    return found


def find(connection: Connection, id: str) -> Record | None:
    """Return the event with that id."""
    found = _records(connection.execute(f"{_SELECT} WHERE id = ?", (id,)))
    return found[0] if found else None


def is_replaced(connection: Connection, number: int, file: bytes) -> bool:
    """Return whether *file* was made anew since the event *number*, as far as the `MOST_LATER` events behind it say."""
    marks = ", ".join("?" * len(MAKING))
    found = connection.execute(
        f"SELECT 1 FROM events WHERE number > ? AND number <= ? AND file = ? AND event IN ({marks}) LIMIT 1",
        (number, number + MOST_LATER, file, *MAKING),
    )
    return found.fetchone() is not None


def last_number(connection: Connection) -> int:
    """Return the number of the last event that was ever written, 0 for none."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    return 0 if row is None else int(row[0])


def keys_of(trace: Trace) -> tuple[str, ...]:
    """Return the keys of an event about the file *trace*: its names on this machine."""
    return tuple(os.fsdecode(name) for name in (trace.place, trace.former) if name is not None)


def renamed(data: str, path: str) -> str:
    """Return the line *data* of an upload with *path* for its path; the one it had is under `uploaded_as`."""
    fields: dict[str, Any] = json.loads(data)
    fields.setdefault("uploaded_as", fields["path"])
    fields["path"] = path
    return json.dumps(fields, separators=(",", ":"))


def settled(draft: Draft) -> Draft:
    """Return *draft* with a mark that it was found out by a look at the disk: its client has perhaps read no 226."""
    return replace(draft, data=json.dumps({**json.loads(draft.data), "settled": True}, separators=(",", ":")))


_SELECT: Final = "SELECT number, id, event, seconds, keys, file, data FROM events"


def _records(rows: Iterable[tuple[Any, ...]]) -> list[Record]:
    return [
        Record(number, id, event, seconds, tuple(json.loads(keys)), file, data)
        for number, id, event, seconds, keys, file, data in rows
    ]


def _forget_held(connection: Connection, place: bytes, but: str) -> None:
    """Forget the upload that was held at *place*, which another has replaced."""
    connection.execute("DELETE FROM intents WHERE is_held AND place = ? AND id != ?", (place, but))
