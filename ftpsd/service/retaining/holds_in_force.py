"""
The holds of now, for workers that are about to remove or replace a file: read from the state file itself.

Each process has a connection of its own, which SQLite tells whether any other has written since. So a hold is in force
for all processes when the command that adds it has ended. While the file cannot be read the holds are those that were
read last; where none ever were, nothing is removed or replaced. Another file in the place of the one that was read ends
no hold: those of before are in force, and written into it (`carry`).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import Lock

from ftpsd.config.users import UserRecord
from ftpsd.control.state.hosts import Hosts
from ftpsd.durable.opening import is_begun, state_opened
from ftpsd.durable.tables import begun_at
from ftpsd.scanning.quarantine import Record
from ftpsd.service.retaining.holds import all_holds, put_hold
from ftpsd.service.retaining.shown_trees import trees_of, users_of
from ftpsd.storage.base import Kind, StorageError
from ftpsd.storage.disk.names import decode_name
from ftpsd.storage.retention.held_places import HeldPlaces
from ftpsd.storage.retention.terms_of_keeping import Hold, Keeping, View
from ftpsd.values.path import VirtualPath

# Seconds; readers wait for no writer (WAL), but for one that begins or repairs the file.
PATIENCE = 1.0

Identity = tuple[int, int]


class HoldsInForce:
    """The holds in the state file *path*, None for a server without one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        self._identity: Identity | None = None
        self._version = -1
        self._known: tuple[Hold, ...] | None = () if path is None else None
        self._file: tuple[Identity | None, float | None] | None = None
        # Holds of a file that was lost, by name, until they are seen in the one of now.
        self._lost: dict[str, Hold] = {}

    def now(self) -> tuple[Hold, ...]:
        """Return the holds of now, the same object while they are the same. Blocks. Raises: IO."""
        if self._path is None:
            return ()
        with self._lock:
            try:
                self._read(self._path)
            except (sqlite3.Error, OSError):  # which the state file's own thread tells of
                self.close()
            if self._known is None:
                raise StorageError(Kind.IO, why="the legal holds cannot be read from the state file")
            return self._known

    def carry(self, connection: sqlite3.Connection) -> list[Hold]:
        """Write the holds of a file that was lost into the one of *connection*; return all that are in it then."""
        with suppress(StorageError):
            self.now()
        with self._lock:
            lost = list(self._lost.values())
        for hold in lost:
            put_hold(connection, hold)
        return all_holds(connection)

    def _read(self, path: Path) -> None:
        identity = _identity(path)
        if identity is None or identity != self._identity:
            self.close()
            if identity is None and self._known is not None:
                raise FileNotFoundError(2, "it was removed")
            if not is_begun(path):
                # The daemon's first start: nobody can have added one. Or a new file, in the place of one that was lost.
                self._note(identity, None)
                self._known = tuple(self._lost.values())
                return
            uri = f"{path.absolute().as_uri()}?mode=rw"
            self._connection = sqlite3.connect(
                uri, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False
            )
            self._note(identity, begun_at(self._connection) if _is_made(self._connection) else None)
            self._identity = identity
        assert self._connection is not None
        version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            found = tuple(all_holds(self._connection)) if _is_made(self._connection) else ()
            for hold in found:
                self._lost.pop(hold.name, None)
            found = (*found, *self._lost.values())
            if found != self._known:
                self._known = found
            self._version = version

    def _note(self, identity: Identity | None, begun: float | None) -> None:
        """Note which file is read from now on, and what another one has said."""
        # A new file can have the number of the one that was removed, but no two were begun at the same moment.
        if self._file is not None and self._file != (identity, begun):
            self._lost.update((hold.name, hold) for hold in self._known or ())
        self._file = identity, begun

    def close(self) -> None:
        """Let the state file go; it is opened again when it is needed."""
        connection, self._connection = self._connection, None
        self._identity, self._version = None, -1
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


class Holdings:
    """The legal holds of a server: those *in_force*, and the *places* that they are about."""

    def __init__(self, state: Path | None) -> None:
        self.in_force = HoldsInForce(state)
        self.places = HeldPlaces(self.in_force.now)

    def use(self, hosts: Hosts) -> None:
        """From now on the users are those of *hosts*."""
        self.places.use(lambda: trees_of(users_of(hosts)))

    def on_refused(self, record: Record) -> str | None:
        """
        Return the hold on the file of *record*, which is in the quarantine. Blocks. Raises: IO.

        It is held there as it would be where it was to lie, for anybody who sees that place: a rescan may have found a
        file of another user's in it.
        """
        user = View(record.owner, "", ())
        hold = Keeping(user, (), self.in_force.now()).hold_on(VirtualPath.parse(record.path).parts)
        if hold is None:
            tree = decode_name(os.fsencode(os.path.realpath(record.tree)))
            hold = self.places.on(tree.rstrip("/") + record.inner)
        return None if hold is None else hold.name


def held_places(state: Path | None, users: Iterable[UserRecord]) -> HeldPlaces:
    """Return the places of the holds in *state*, for a program that is not the daemon. Blocks. Raises: StateTrouble."""
    holds: tuple[Hold, ...] = ()
    if state is not None and is_begun(state):
        with state_opened(state) as connection:
            holds = tuple(all_holds(connection))
    places = HeldPlaces(lambda: holds)
    places.use(lambda: trees_of([("", users)]))
    return places


def _is_made(connection: sqlite3.Connection) -> bool:
    """Return whether the file has its tables."""
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'facts'").fetchone() is not None


def _identity(path: Path) -> Identity | None:
    try:
        status = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
