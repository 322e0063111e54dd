"""
The tables of deliveries: how far each sink has come.

A sink has taken every event up to its cursor, but for those with a row of their own: these wait for another attempt,
or were given up (dead letters). Each function is called with an open state file, within a transaction of the caller's.

The command line changes rows, too, also while no daemon runs; it counts `CHANGED` up, and the daemon reads them anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from sqlite3 import Connection
from typing import Final

from ftpsd.durable import facts
from ftpsd.events.record_tables import Record, fetch_numbers, last_number, record_again

KIND: Final = "events"
CHANGED: Final = "deliveries"
# Rows of one transaction, so that uploads wait for no more.
MOST_PRUNED: Final = 5000


class State(StrEnum):
    """How far an event is with a sink."""

    DELIVERED = "delivered"
    QUEUED = "queued"
    WAITING = "waiting"
    DEAD = "dead"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Row:
    """An event that a sink has not taken, at *number*: *attempts* of it have failed, the last for *reason*."""

    number: int
    state: State
    attempts: int
    due: float
    reason: str
    is_new: bool = False  # not in the file yet


@dataclass(frozen=True, slots=True)
class Progress:
    """
    The beginning of a sink: its *cursor*, its *rows* that wait and their *records*, *dropped* ones, and the number of
    *dead* ones.
    """

    cursor: int
    rows: tuple[Row, ...]
    records: tuple[Record, ...]
    dropped: frozenset[int]
    dead: int


def load(connection: Connection, sink: str, most: int) -> Progress:
    """Return the progress of *sink*, at most so many rows of it; one that is new begins behind the last event."""
    found = connection.execute("SELECT number FROM cursors WHERE sink = ?", (sink,)).fetchone()
    if found is None:
        cursor = last_number(connection)
        connection.execute("INSERT INTO cursors VALUES (?, ?)", (sink, cursor))
    else:
        cursor = int(found[0])
    rows = tuple(rows_of(connection, sink, (State.WAITING,), most))
    records = tuple(fetch_numbers(connection, (row.number for row in rows)))
    dropped = frozenset(row.number for row in rows_of(connection, sink, (State.DROPPED,), most))
    dead = _count(connection, sink, State.DEAD)
    return Progress(cursor, rows, records, dropped, dead)


def begin_again(connection: Connection, sinks: Iterable[str], records: Iterable[Record]) -> None:
    """
    Have *sinks* that the ledger does not know begin with its first event, and write *records* of a lost one into it.

    A record has its id again and a number of now, so that a sink that had taken it may get it twice.
    """
    for sink in sinks:
        connection.execute("INSERT OR IGNORE INTO cursors VALUES (?, 0)", (sink,))
    for record in records:
        record_again(connection, record)


def save(connection: Connection, sink: str, cursor: int, rows: Iterable[Row], gone: Iterable[int]) -> None:
    """Keep the *cursor* of *sink*, the *rows* of events that it has not taken, and that these are *gone*."""
    connection.execute("UPDATE cursors SET number = ? WHERE sink = ?", (cursor, sink))
    for row in rows:
        # The rows that the command line has dropped meanwhile stay dropped.
        if row.is_new:
            values = (sink, row.number, str(row.state), row.attempts, row.due, row.reason)
            connection.execute("INSERT OR IGNORE INTO deliveries VALUES (?, ?, ?, ?, ?, ?)", values)
        else:
            connection.execute(
                "UPDATE deliveries SET state = ?, attempts = ?, due = ?, reason = ? WHERE sink = ? AND number = ? AND"
                " state != 'dropped'",
                (str(row.state), row.attempts, row.due, row.reason, sink, row.number),
            )
    for number in gone:
        connection.execute("DELETE FROM deliveries WHERE sink = ? AND number = ?", (sink, number))


def rows_of(connection: Connection, sink: str, states: Sequence[State], most: int) -> list[Row]:
    """Return the rows of *sink* in these *states*, by number."""
    marks = ", ".join("?" * len(states))
    rows = connection.execute(
        f"SELECT number, state, attempts, due, reason FROM deliveries WHERE sink = ? AND state IN ({marks})"
        " ORDER BY number LIMIT ?",
        (sink, *states, most),
    )
    return [
        Row(number, State(state), attempts, due, reason) for number, state, attempts, due, reason in rows.fetchall()
    ]


def state_of(connection: Connection, sink: str, number: int) -> tuple[State, Row | None]:
    """Return how far the event is with *sink*."""
    found = connection.execute(
        "SELECT number, state, attempts, due, reason FROM deliveries WHERE sink = ? AND number = ?", (sink, number)
    ).fetchone()
    if found is not None:
        row = Row(found[0], State(found[1]), *found[2:])
        return row.state, row
    cursor = connection.execute("SELECT number FROM cursors WHERE sink = ?", (sink,)).fetchone()
    return State.QUEUED if cursor is None or number > cursor[0] else State.DELIVERED, None


def replay(connection: Connection, sink: str, numbers: Collection[int], now: float) -> int:
    """Have *sink* get the events with these *numbers* again, or at last; return how many."""
    for number in numbers:
        if state_of(connection, sink, number)[0] is not State.QUEUED:
            _put(connection, sink, Row(number, State.WAITING, 0, now, "replayed"))
    _have_changed(connection)
    return len(numbers)


def drop(connection: Connection, sink: str, numbers: Collection[int]) -> int:
    """Have *sink* never get the events with these *numbers*; return how many it had not taken."""
    count = 0
    for number in numbers:
        state, _ = state_of(connection, sink, number)
        if state is State.QUEUED:
            _put(connection, sink, Row(number, State.DROPPED, 0, 0.0, "dropped"))
        elif state in (State.WAITING, State.DEAD):
            connection.execute("DELETE FROM deliveries WHERE sink = ? AND number = ?", (sink, number))
        count += state not in (State.DELIVERED, State.DROPPED)
    _have_changed(connection)
    return count


def undelivered(connection: Connection, sink: str, states: Collection[State], most: int) -> list[int]:
    """Return the numbers of events that are in one of these *states* with *sink*."""
    numbers = [row.number for row in rows_of(connection, sink, [*states], most)]
    if State.QUEUED in states:
        rows = connection.execute(
            "SELECT number FROM events WHERE number > coalesce((SELECT number FROM cursors WHERE sink = ?1), 0) AND"
            " number NOT IN (SELECT number FROM deliveries WHERE sink = ?1) ORDER BY number LIMIT ?2",
            (sink, most),
        )
        numbers += [row[0] for row in rows.fetchall()]
    return sorted(numbers)[:most]


def changes(connection: Connection, now: float) -> str:
    """Return what is another text when the command line has changed a row."""
    return facts.get(connection, KIND, CHANGED, now) or ""


def prune(connection: Connection, sinks: Sequence[str], before: float, most: int) -> tuple[int, int]:
    """
    Remove events that all *sinks* have taken, of before that Unix time, and the oldest above *most*, whatever they are.

    At most `MOST_PRUNED` at once. Return how many went, and how many of them a sink had not taken.
    """
    last = connection.execute("SELECT max(number) FROM events").fetchone()[0]
    if last is None:
        return 0, 0
    cursors = [connection.execute("SELECT number FROM cursors WHERE sink = ?", (sink,)).fetchone() for sink in sinks]
    taken = min([last, *(0 if row is None else row[0] for row in cursors)])
    marks = ", ".join("?" * len(sinks))
    old = connection.execute(
        f"DELETE FROM events WHERE number IN (SELECT number FROM events WHERE seconds < ? AND number <= ?"
        f" AND number NOT IN (SELECT number FROM deliveries WHERE sink IN ({marks})) ORDER BY seconds LIMIT ?)",
        (before, taken, *sinks, MOST_PRUNED),
    ).rowcount
    count = connection.execute("SELECT count(*) FROM events").fetchone()[0]
    if count <= most:
        return old, 0
    doomed = "SELECT number FROM events ORDER BY number LIMIT ?"
    limit = min(count - most, MOST_PRUNED)
    lost = connection.execute(
        f"SELECT count(*) FROM ({doomed}) WHERE number > ? OR number IN (SELECT number FROM deliveries WHERE sink IN"
        f" ({marks}))",
        (limit, taken, *sinks),
    ).fetchone()[0]
    connection.execute(f"DELETE FROM deliveries WHERE number IN ({doomed})", (limit,))
    connection.execute(f"DELETE FROM events WHERE number IN ({doomed})", (limit,))
    if lost:
        _have_changed(connection)
    return old + limit, lost


def _put(connection: Connection, sink: str, row: Row) -> None:
    values = (sink, row.number, str(row.state), row.attempts, row.due, row.reason)
    connection.execute("INSERT OR REPLACE INTO deliveries VALUES (?, ?, ?, ?, ?, ?)", values)


def _count(connection: Connection, sink: str, state: State) -> int:
    query = "SELECT count(*) FROM deliveries WHERE sink = ? AND state = ?"
    return int(connection.execute(query, (sink, str(state))).fetchone()[0])


def _have_changed(connection: Connection) -> None:
    before = connection.execute(
        "SELECT value FROM facts WHERE kind = ? AND key = ?", (KIND, CHANGED.encode())
    ).fetchone()
    facts.put(connection, KIND, CHANGED, str(1 + int(before[0] if before is not None else 0)))
