"""The failures of the state file, as sentences for the operator."""

from __future__ import annotations

import shlex
import sqlite3
from pathlib import Path


class StateTrouble(Exception):
    """The state file cannot be used now; its text says why, and the remedy."""


def described(path: Path, error: sqlite3.Error | OSError) -> StateTrouble:
    """Return *error*, which SQLite or the system had with the file *path*, as a sentence with its remedy."""
    # The primary code: the extended one has its reason in the upper bytes.
    code = (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
    name = shlex.quote(str(path))
    remedy = {
        sqlite3.SQLITE_CORRUPT: broken(path),
        sqlite3.SQLITE_NOTADB: broken(path),
        sqlite3.SQLITE_FULL: "make room on its disk",
        sqlite3.SQLITE_READONLY: f"let the daemon's user write it and its directory: ls -la {name}*",
        sqlite3.SQLITE_CANTOPEN: f"let the daemon's user write it and its directory: ls -la {name}*",
        sqlite3.SQLITE_PERM: f"let the daemon's user write it and its directory: ls -la {name}*",
        sqlite3.SQLITE_BUSY: "another program holds it: end that one",
        sqlite3.SQLITE_IOERR: "look at its disk, and at the kernel's log",
    }.get(code, "name a file in `state` that the daemon's user can write, on a local disk")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return StateTrouble(f"{reason}; {remedy}")


def broken(path: Path) -> str:
    """Return the remedy for a file that is no database any more."""
    name = shlex.quote(str(path))
    return (
        f"stop ftpsd and move it away (mv {name} {name}.broken; rm -f {name}-wal {name}-shm), or bring it back from a "
        "backup: a new one knows of no used code, no enrolled certificate and no ban"
    )
