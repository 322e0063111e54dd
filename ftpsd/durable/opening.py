"""
Opening the state file, by the daemon and by the command line at once. Everything here blocks.

The file is its owner's alone (0600), is reached by no link, and lies in a directory that is there already: systemd's
StateDirectory=, or the operator, makes that with the right owner. SQLite gives the files beside it (-wal, -shm) the
rights and, for root, the owner of the file.
"""

from __future__ import annotations

import os
import shlex
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from ftpsd.durable.state_trouble import StateTrouble, broken, described
from ftpsd.durable.tables import migrate, refuse_newer, version_of

FILE_MODE: Final = 0o600
# Seconds that a transaction waits for those of other processes.
BUSY_TIMEOUT: Final = 5.0
# SQLite answers "locked" at once while another process turns the same new file to WAL.
ATTEMPTS: Final = 50
PAUSE: Final = 0.05
# A thorough look through a larger file would keep the start waiting.
MOST_LOOKED_THROUGH: Final = 64 << 20


def open_state(path: Path) -> sqlite3.Connection:
    """
    Open the state file at *path*, made where there is none, brought up to our version and seen to be writable.

    Raises:
        StateTrouble: it cannot be used.
    """
    try:
        _make(path)
        for attempt in range(ATTEMPTS):
            connection = _connect(path)
            try:
                _prepare(connection)
                return connection
            except BaseException as error:
                connection.close()
                if not _is_locked(error) or attempt == ATTEMPTS - 1:
                    raise
            time.sleep(PAUSE)
    except (sqlite3.Error, OSError) as error:
        raise described(path, error) from error
    raise AssertionError("the last attempt returns or raises")


@contextmanager
def state_opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the state file for the time of the block. Raises: StateTrouble."""
    with closing(open_state(path)) as connection:
        try:
            yield connection
        except sqlite3.Error as error:
            raise described(path, error) from error


def trouble_with(path: Path) -> str | None:
    """Look at the state file as the user of this process, and change nothing; return why it cannot be used."""
    try:
        if _status(path) is None:
            return _closed_directory(path)
        if not os.access(path, os.R_OK | os.W_OK) or not os.access(path.parent, os.W_OK | os.X_OK):
            return f"it or its directory cannot be written; run: ls -la {shlex.quote(str(path.parent))}"
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_TIMEOUT)) as opened:
            refuse_newer(version_of(opened))
            if path.stat().st_size <= MOST_LOOKED_THROUGH:
                found = opened.execute("PRAGMA quick_check(1)").fetchone()[0]
                if found != "ok":
                    raise StateTrouble(f"a look through it finds damage; {broken(path)}")
    except StateTrouble as trouble:
        return str(trouble)
    except (sqlite3.Error, OSError) as error:
        return str(described(path, error))
    return None


def is_begun(path: Path) -> bool:
    """Return whether there is a state file with anything in it."""
    return path.exists() and path.stat().st_size > 0


def _make(path: Path) -> None:
    """Make an empty file where there is none: SQLite's own would have the rights that the umask leaves."""
    if _status(path) is not None:
        return
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        if os.geteuid() == 0:
            # The command line of root may come before the daemon has ever run.
            directory = os.stat(path.parent)
            os.fchown(fd, directory.st_uid, directory.st_gid)
    finally:
        os.close(fd)


def _status(path: Path) -> os.stat_result | None:
    """
    Return what stands at *path*, None for nothing.

    Raises: StateTrouble when it is no file of ours alone.
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        if not path.parent.is_dir():
            directory = shlex.quote(str(path.parent))
            raise StateTrouble(
                f"the directory {path.parent} does not exist; run, with the user of the daemon: install -d -o ftpsd -g "
                f"ftpsd -m 0750 {directory}; or name another file in `state`"
            ) from None
        return None
    name = shlex.quote(str(path))
    if not stat.S_ISREG(status.st_mode):
        raise StateTrouble("it is a link, or no plain file; remove it, or name another file in `state`")
    if status.st_uid != os.geteuid() and os.geteuid() != 0:
        raise StateTrouble(f"it belongs to the user with the number {status.st_uid}; run: chown {os.geteuid()} {name}*")
    if status.st_mode & 0o077:
        raise StateTrouble(f"other users can read or write it; run: chmod 600 {name}*")
    return status


def _closed_directory(path: Path) -> str | None:
    if os.access(path.parent, os.W_OK | os.X_OK):
        return None
    return f"the directory {path.parent} cannot be written; run: chown {os.geteuid()} {shlex.quote(str(path.parent))}"


def _connect(path: Path) -> sqlite3.Connection:
    # isolation_level None: transactions begin and end where we say so.
    return sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)


def _prepare(connection: sqlite3.Connection) -> None:
    refuse_newer(version_of(connection))
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StateTrouble("its file system has no shared memory for SQLite (WAL); name a file on a local disk")
    # FULL: a commit is on the disk before it is over. A code that was used must not be good again after a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    migrate(connection, time.time())


def _is_locked(error: BaseException) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
