"""
Facts of the state file: a value for a kind and a key, for ever or until a moment (a Unix time).

Each function is called with an open state file, within a transaction of the caller's: `store.run(facts.put, …)` in the
daemon. Keys may be any text; a kind is a fixed word of its owner.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from sqlite3 import Connection


@dataclass(frozen=True, slots=True)
class Fact:
    """The *value* of *key*, which holds *until* a Unix time; None: until it is removed."""

    key: str
    value: str
    until: float | None


def get(connection: Connection, kind: str, key: str, now: float) -> str | None:
    """Return the value of *key*, None when there is none or it is over *now*."""
    row = connection.execute(
        "SELECT value FROM facts WHERE kind = ? AND key = ? AND (until IS NULL OR until > ?)", (kind, _bytes(key), now)
    ).fetchone()
    return None if row is None else str(row[0])


def end_of(connection: Connection, kind: str, key: str, now: float) -> float | None:
    """Return until when *key* holds, None when it does not *now*, or for ever."""
    row = connection.execute(
        "SELECT until FROM facts WHERE kind = ? AND key = ? AND until > ?", (kind, _bytes(key), now)
    ).fetchone()
    return None if row is None else float(row[0])


def put(connection: Connection, kind: str, key: str, value: str = "", until: float | None = None) -> None:
    """Give *key* that value, in place of the one it has."""
    connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?)", (kind, _bytes(key), value, until))


def put_first(connection: Connection, kind: str, key: str, value: str, now: float) -> str:
    """Give *key* that value for ever unless it has one *now*; return the one it has then: of all processes one wins."""
    found = get(connection, kind, key, now)
    if found is None:
        put(connection, kind, key, value)
    return value if found is None else found


def remove(connection: Connection, kind: str, key: str) -> bool:
    """Remove *key*; return whether it was there."""
    return connection.execute("DELETE FROM facts WHERE kind = ? AND key = ?", (kind, _bytes(key))).rowcount > 0


def remove_valued(connection: Connection, kind: str, value: str) -> None:
    """Remove every key that has this value."""
    connection.execute("DELETE FROM facts WHERE kind = ? AND value = ?", (kind, value))


def every(connection: Connection, kind: str, now: float) -> Iterator[Fact]:
    """Return the facts of *kind* that hold *now*: those without an end first, then the one that ends last."""
    rows = connection.execute(
        "SELECT key, value, until FROM facts WHERE kind = ? AND (until IS NULL OR until > ?)"
        " ORDER BY until IS NOT NULL, until DESC",
        (kind, now),
    )
    for key, value, until in rows.fetchall():
        yield Fact(key.decode("utf-8", "surrogatepass"), value, until)


def tidy(connection: Connection, kind: str, now: float, most: int) -> None:
    """Remove the facts of *kind* that are over *now*, and above *most* of those with an end the ones that end first."""
    connection.execute("DELETE FROM facts WHERE kind = ? AND until <= ?", (kind, now))
    count = connection.execute("SELECT count(*) FROM facts WHERE kind = ? AND until IS NOT NULL", (kind,)).fetchone()[0]
    if count > most:
        connection.execute(
            "DELETE FROM facts WHERE kind = ?1 AND key IN"
            " (SELECT key FROM facts WHERE kind = ?1 AND until IS NOT NULL ORDER BY until LIMIT ?2)",
            (kind, count - most),
        )


def _bytes(key: str) -> bytes:
    # Names come from clients, and may hold bytes that are no text.
    return key.encode("utf-8", "surrogatepass")
