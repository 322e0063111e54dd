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


def test_what_is_held_goes_with_its_directory() -> None:
    """Its place and path are those of now, so that it is still found when its time is over, or it gets its name."""
    store = InlineStore()
    for id, place in (("in", b"/srv/d/sub/a.part"), ("beside", b"/srv/d0/a.part"), ("itself", b"/srv/d.part")):
        upload = Draft(id, "file-stored", 1.0, json.dumps({"path": place.decode().removeprefix("/srv")}))
        lies = Trace(place, 1, 2, 5, 7, None)
        store.run(record_tables.intend, Intent(upload, lies, "me"))
        store.run(record_tables.hold, upload, lies)
    move = Draft("m", "file-renamed", 2.0, json.dumps({"old": "/d", "new": "/e/f", "kind": "directory"}))
    moved = Trace(b"/srv/e/f", 1, 9, 0, 0, b"/srv/d")
    store.run(record_tables.intend, Intent(move, moved, "me"))
    store.run(partial(record_tables.rename_directory, is_recorded=False), move, moved)
    found: list[list[Intent]] = []
    for are_held in (True, False):
        store.run(partial(record_tables.intents, are_held=are_held, before=10.0)).addCallback(found.append)
    assert {each.draft.id: (each.trace.place, json.loads(each.draft.data)["path"]) for each in found[0]} == {
        "in": (b"/srv/e/f/sub/a.part", "/e/f/sub/a.part"),
        "beside": (b"/srv/d0/a.part", "/d0/a.part"),
        "itself": (b"/srv/d.part", "/d.part"),
    }
    assert found[1] == []


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
