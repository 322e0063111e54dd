"""
Legal holds in the state file: facts of the kind `hold`, which end only when they are removed.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from sqlite3 import Connection

from ftpsd.durable import facts
from ftpsd.storage.retention.terms_of_keeping import Hold

KIND = "hold"


def put_hold(connection: Connection, hold: Hold) -> None:
    """Keep *hold*."""
    facts.put(connection, KIND, hold.name, json.dumps(asdict(hold)))


def take_hold(connection: Connection, name: str) -> Hold | None:
    """Remove the hold *name*; return it, None when there is none."""
    found = facts.get(connection, KIND, name, 0.0)
    if found is not None:
        facts.remove(connection, KIND, name)
    return None if found is None else _hold(found)


def all_holds(connection: Connection) -> list[Hold]:
    """Return all holds, the oldest first."""
    found = [_hold(fact.value) for fact in facts.every(connection, KIND, 0.0)]
    return sorted(found, key=lambda hold: (hold.since, hold.name))


def _hold(text: str) -> Hold:
    fields = json.loads(text)
    return Hold(**{**fields, "paths": tuple(fields["paths"]), "users": tuple(fields["users"])})
