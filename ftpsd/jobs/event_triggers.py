"""Jobs that run behind events: what has come into the ledger since each of them has last looked."""

from __future__ import annotations

import json
from sqlite3 import Connection
from typing import Any, Final

from ftpsd.config.automation.job_sections import Job, JobEvent
from ftpsd.events.record_tables import fetch, last_number
from ftpsd.jobs import job_tables as tables
from ftpsd.storage.rules import Rules
from ftpsd.values.path import PathError, VirtualPath
from ftpsd.values.permission import Permission
from ftpsd.values.rule import Rule

# Events of one look; the others have theirs a moment later.
MOST: Final = 1000
_ANY: Final = frozenset({Permission.READ})


def new_events(connection: Connection, jobs: list[Job]) -> list[tuple[str, int]]:
    """
    Return the names of those of *jobs* that are wanted, each with the number of the last event that counts.

    That number is for the caller to keep, in the transaction that begins the run. Events that no job waits for are
    kept as seen here. A job that was never asked begins with the events to come. Several events are one run.
    """
    if not jobs:
        return []
    last = last_number(connection)
    wanted = []
    for job in jobs:
        assert job.on is not None
        seen = tables.seen(connection, job.name)
        if seen is None or seen > last:
            tables.set_seen(connection, job.name, last)
            continue
        if seen == last:
            continue
        found = fetch(connection, seen, MOST)
        looked = found[-1].number if found else last
        if any(_fits(job.on, record.event, json.loads(record.data)) for record in found):
            wanted.append((job.name, looked))
        else:
            tables.set_seen(connection, job.name, looked)
    return wanted


def _fits(on: JobEvent, event: str, data: dict[str, Any]) -> bool:
    if event not in on.events or (on.users and data.get("user") not in on.users):
        return False
    if on.paths is None:
        return True
    try:
        path = VirtualPath.parse(data.get("path") or data.get("new") or "/")
    except PathError:
        return False
    rules = Rules.of(tuple(Rule(pattern, _ANY) for pattern in on.paths))
    return rules.at(path.parts).allows(Permission.READ)
