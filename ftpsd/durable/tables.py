"""
The tables of the state file, and how an older file becomes one of now.

`user_version` of the file counts the migrations it has had. They are only ever added to, and each is run once, in its
transaction. A file that has had more of them than we know belongs to a newer ftpsd, and is left alone.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from ftpsd.durable import facts
from ftpsd.durable.state_trouble import StateTrouble

MIGRATIONS: Final = (
    # 1: facts of any kind (facts.py); `until` is a Unix time, NULL for one that ends only when it is removed.
    (
        "CREATE TABLE facts (kind TEXT NOT NULL, key BLOB NOT NULL, value TEXT NOT NULL, until REAL,"
        " PRIMARY KEY (kind, key)) WITHOUT ROWID",
        "CREATE INDEX facts_until ON facts (kind, until)",
    ),
    # 2: the ledger of events (ftpsd/events). A file's numbers are text where they may be above 2^63.
    (
        "CREATE TABLE events (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, event TEXT NOT NULL,"
        " seconds REAL NOT NULL, keys TEXT NOT NULL, file BLOB, data TEXT NOT NULL)",
        "CREATE INDEX events_seconds ON events (seconds)",
        "CREATE TABLE intents (id TEXT PRIMARY KEY, owner TEXT NOT NULL, is_held INTEGER NOT NULL,"
        " event TEXT NOT NULL, seconds REAL NOT NULL, place BLOB NOT NULL, former BLOB, device TEXT NOT NULL,"
        " inode TEXT NOT NULL, size INTEGER NOT NULL, modified TEXT NOT NULL, data TEXT NOT NULL) WITHOUT ROWID",
        "CREATE INDEX intents_held ON intents (place) WHERE is_held",
        "CREATE TABLE cursors (sink TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID",
        "CREATE TABLE deliveries (sink TEXT NOT NULL, number INTEGER NOT NULL, state TEXT NOT NULL,"
        " attempts INTEGER NOT NULL, due REAL NOT NULL, reason TEXT NOT NULL,"
        " PRIMARY KEY (sink, number)) WITHOUT ROWID",
    ),
    # 3: the runs of workflows (ftpsd/events/workflows), by the event they are behind.
    (
        "CREATE TABLE runs (workflow TEXT NOT NULL, id TEXT NOT NULL, number INTEGER NOT NULL, phase TEXT NOT NULL,"
        " changed REAL NOT NULL, data TEXT NOT NULL, PRIMARY KEY (workflow, id)) WITHOUT ROWID",
        "CREATE INDEX runs_changed ON runs (changed)",
    ),
    # 4: jobs (ftpsd/jobs): their runs, of which one of each job may be under way, and the files they know.
    (
        "CREATE TABLE job_runs (id TEXT PRIMARY KEY, job TEXT NOT NULL, state TEXT NOT NULL, started REAL NOT NULL,"
        " ended REAL, data TEXT NOT NULL)",
        "CREATE UNIQUE INDEX job_runs_one ON job_runs (job) WHERE state = 'running'",
        "CREATE INDEX job_runs_started ON job_runs (job, started)",
        "CREATE TABLE job_files (job TEXT NOT NULL, path BLOB NOT NULL, mark TEXT NOT NULL, step TEXT NOT NULL,"
        " changed REAL NOT NULL, data TEXT NOT NULL, PRIMARY KEY (job, path)) WITHOUT ROWID",
    ),
)
VERSION: Final = len(MIGRATIONS)
# The kind of the one fact, without a key, that says when the file was begun: a Unix time.
BEGUN: Final = "state-begun"


def begun_at(connection: sqlite3.Connection) -> float | None:
    """Return when the file was begun, a Unix time; None for one of before that was noted."""
    written = facts.get(connection, BEGUN, "", 0.0)
    return None if written is None else float(written)


def version_of(connection: sqlite3.Connection) -> int:
    """Return the number of migrations that the file has had; 0 for a new one."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    assert isinstance(version, int)
    return version


def refuse_newer(version: int) -> None:
    """Raises: StateTrouble when a file of *version* is not for us."""
    if not 0 <= version <= VERSION:
        raise StateTrouble(
            f"it was written by a newer ftpsd (its version is {version}, ours {VERSION}); install that one again, or "
            "name another file in `state`"
        )


def migrate(connection: sqlite3.Connection, begun: float | None = None) -> None:
    """
    Bring the file up to `VERSION`: whole or not at all, and once, whichever process comes first.

    A new file notes that it was *begun* then: of what was before, such as used codes, it knows nothing.

    Raises: StateTrouble for a file of a newer ftpsd, sqlite3.Error for one that cannot be written.
    """
    # Also where there is nothing to do, with a page that is written: it shows that there is room on the disk.
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = version_of(connection)
        refuse_newer(version)
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        if version == 0 and begun is not None:
            facts.put(connection, BEGUN, "", repr(begun))
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
