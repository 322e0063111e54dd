"""
The memory of the backups that this server has made, in its state file: the last one of each place.

A list that has gone, or an older one in its place, is found by it: where backups lie, others may be able to write.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Final

from ftpsd.backups.backing_up import LastMade
from ftpsd.durable import facts
from ftpsd.durable.opening import state_opened
from ftpsd.durable.state_trouble import StateTrouble

# The kind of facts, each by its place: a directory, or a partner and the directory there.
MADE: Final = "backup-made"


def last_made(state: Path | None, place: str) -> LastMade | None:
    """Return the last backup that was made at *place*; None where that is not known. The file stays as it is."""
    if state is None or not state.exists():
        return None
    try:
        with closing(sqlite3.connect(f"{state.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)) as connection:
            told = facts.get(connection, MADE, place, 0.0)
        return None if told is None else LastMade(**json.loads(told))
    except (sqlite3.Error, ValueError, TypeError):
        return None  # a backup is made of a damaged state file as well, and tells of it


def remember(state: Path | None, place: str, made: LastMade) -> None:
    """Keep that *made* is the last one at *place*, where there is a state file."""
    if state is None or not state.exists():
        return
    try:
        with state_opened(state) as connection:
            facts.put(connection, MADE, place, json.dumps(asdict(made)))
    except StateTrouble:
        pass  # as above
