"""The section `expectations`: its values, and what must go together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ftpsd.config.automation.expectation_files import look_at_expectations
from ftpsd.config.automation.sink_files import look_at_events
from ftpsd.config.automation.workflow_files import look_at_workflows
from ftpsd.config.parsing.document import ConfigErrors
from ftpsd.config.reading import read_config
from ftpsd.config.users import read_users

GOOD = {"name": "a", "path": "/inbox/*.csv", "user": "acme", "by": "09:00"}


def complaints(folder: Path, *expectations: Any, events: Any = None, **keys: Any) -> list[str]:
    """Return all that is wrong with the sections."""
    text = json.dumps({"events": {} if events is None else events, "expectations": expectations, **keys})
    users = read_users(json.dumps({"users": {"acme": {"home": str(folder)}}}), "users.yaml", folder)
    try:
        config = read_config(text, "ftpsd.yaml", folder)
    except ConfigErrors as problem:
        return [str(error) for error in problem.errors]
    found = [*look_at_expectations(config, users, ()), *look_at_events(config, frozenset({0}))]
    return [str(error) for error in (*found, *look_at_workflows(config, frozenset({0})))]


def test_what_is_good_and_what_is_not(tmp_path: Path) -> None:
    """Each mistake is one sentence at its key."""
    sink = {"name": "s", "file": str(tmp_path / "f"), "only": ["expectation-missing"]}
    germany = {"country": "DE", "subdivision": "BY", "dates": ["2026-12-24"], "working": ["2026-01-06"]}
    assert complaints(tmp_path, GOOD) == []
    assert complaints(tmp_path, {**GOOD, "days": "business-days", "holidays": germany}) == []
    assert complaints(tmp_path, {**GOOD, "from": "22:00", "by": "02:00", "of_month": [1, -1]}) == []
    assert complaints(tmp_path, {**GOOD, "holidays": {"dates": ["2026-12-24"]}, "warn": None}) == []
    assert complaints(tmp_path, GOOD, events={"sinks": [sink]}) == []
    run = [{"name": "w", "on": ["expectation-missing"], "steps": [{"program": ["/bin/true"]}]}]
    assert complaints(tmp_path, GOOD, workflows=run) == []
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"path": "inbox"}, "begin it with /"),
        ({"user": ""}, "at least 1 character"),
        ({"user": "nobody"}, "there is no user nobody"),
        ({"host": "files.example.com"}, "there is no virtual host files.example.com"),
        ({"days": "weekdays"}, "or write business-days"),
        ({"days": []}, "must not be empty"),
        ({"of_month": [0]}, "is no place in a month"),
        ({"of_month": []}, "must not be empty"),
        ({"from": "09:00"}, "from and by are the same time"),
        ({"by": "25:00"}, "is no time of day"),
        ({"zone": "Mars/Olympus"}, "is no time zone"),
        ({"count": 0}, "the least is 1"),
        ({"size": {"min": "2KiB", "max": "1KiB"}}, "so that no file fits"),
        ({"companions": ["done"]}, "names no companion"),
        ({"companions": ["*.*"]}, "names no companion"),
        ({"companions": ["a/*"]}, "names no companion"),
        ({"holidays": {"dates": ["24.12.2026"]}}, "is no date"),
        ({"holidays": {"country": "XX"}}, "is no country"),
        ({"holidays": {"country": "DE", "subdivision": "Bavaria"}}, "has no part Bavaria"),
        ({"holidays": {"subdivision": "BY"}}, "goes with a country"),
        ({"holidays": {"working": ["2026-01-06"]}}, "goes with a country"),
    ]
    for keys, words in wrong:
        found = complaints(tmp_path, {**GOOD, **keys})
        assert len(found) == 1, (keys, found)
        assert words in found[0], (keys, found)


def test_what_other_sections_need_of_it(tmp_path: Path) -> None:
    """Names are each one's own; the ledger has to have uploads; outcomes are those of expectations."""
    (twice,) = complaints(tmp_path, GOOD, GOOD)
    assert "another expectation is called a" in twice
    (unseen,) = complaints(tmp_path, GOOD, events={"record": ["file-sent"]})
    assert "with file-stored recorded" in unseen
    sink = {"name": "s", "file": str(tmp_path / "f"), "only": ["expectation-missing"]}
    (never,) = complaints(tmp_path, events={"sinks": [sink]})
    assert "never happens without the section `expectations`" in never
    moving = [{"name": "w", "on": ["expectation-missing"], "steps": [{"move": "/x/"}]}]
    (without,) = complaints(tmp_path, GOOD, workflows=moving)
    assert "behind expectation-missing there is no file to move" in without
    recorded = complaints(tmp_path, GOOD, events={"record": ["expectation-missing", "file-stored"]})
    assert recorded, "outcomes are recorded always, and are no choice"
