"""Uploads under temporary names, which are held until they are renamed."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

from ftpsd.events import record_tables
from ftpsd.events.record_tables import Draft, Intent, Record
from ftpsd.values.trace import Trace
from tests.state import InlineStore


def test_the_directory_on_its_way_was_renamed() -> None:
    """The client that renames /d to /e and /e/a.part to /e/a has its event; a file that is not the same has none."""
    table: list[tuple[dict[str, Any], int]] = [({}, 1), ({"inode": 3}, 0), ({"size": 6}, 0), ({"modified_ns": 8}, 0)]
    for change, count in table:
        store, records = InlineStore(), list[list[Record]]()
        upload = Draft("u", "file-stored", 1.0, json.dumps({"path": "/d/a.part"}))
        lies = Trace(b"/srv/d/a.part", 1, 2, 5, 7, None)
        store.run(record_tables.intend, Intent(upload, lies, "me"))
        store.run(record_tables.hold, upload, lies)
        move = Draft("m", "file-renamed", 2.0, json.dumps({"old": "/e/a.part", "new": "/e/a"}))
        moved = replace(lies, place=b"/srv/e/a", former=b"/srv/e/a.part", **change)
        store.run(record_tables.intend, Intent(move, moved, "me"))
        store.run(partial(record_tables.rename, is_recorded=False, is_held=False), move, moved, "/e/a")
        store.run(record_tables.fetch, 0, 10).addCallback(records.append)
        assert [(found.id, found.file, json.loads(found.data)) for found in records[0]] == [
            ("u", b"/srv/e/a", {"path": "/e/a", "uploaded_as": "/d/a.part"})
        ] * count, change
