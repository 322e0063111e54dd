"""The section `jobs`: its values, and what its keys must have together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ftpsd.config.automation.job_rules import look_at_jobs
from ftpsd.config.parsing.document import ConfigErrors
from ftpsd.config.reading import read_config
from ftpsd.config.users import load_users

PARTNER = {"name": "acme", "host": "ftp.example.com", "user": "x", "password_file": "secret"}
MOVING = {"partner": "acme", "user": "alice", "source": "/out", "target": "/in"}
BACKUP = {"directory": "/var/backups/ftpsd"}


def complaints(folder: Path, *jobs: Any, **keys: Any) -> list[str]:
    """Return all that is wrong with a section."""
    try:
        config = read_config(json.dumps({"jobs": jobs, "partners": [PARTNER], **keys}), "ftpsd.yaml", folder)
    except ConfigErrors as problem:
        return [str(error) for error in problem.errors]
    (folder / "users.yaml").write_text("users: {alice: {home: /h}}")
    return [str(error) for error in look_at_jobs(config, [("", load_users(folder / "users.yaml"))])]


def test_what_is_good_and_what_is_not(tmp_path: Path) -> None:
    """Each mistake is one sentence at its key."""
    push = {"name": "a", "push": MOVING}
    for good in (
        [push, {"name": "b", "pull": MOVING, "at": "30 2 * * mon-fri", "time_zone": "Europe/Berlin"}],
        [{"name": "c", "backup": BACKUP, "overlap": "queue", "missed": "skip"}],
        [{"name": "d", "backup": {"partner": "acme", "target": "/backups", "keep_for": "90d"}}],
        [{"name": "e", "push": {**MOVING, "after": "archive", "archive": "/sent"}}],
    ):
        assert complaints(tmp_path, *good) == []
    assert complaints(tmp_path, {**push, "on": {"paths": ["/out/*"]}}, events={}) == []
    for job, sentence in (
        ({"name": "a"}, "needs one of pull, push and backup, and has none"),
        ({**push, "pull": MOVING}, "and has pull and push"),
        ({**push, "at": "2:30"}, "is no cron expression"),
        ({**push, "at": "30 2 31 2 *"}, "is no cron expression"),
        ({**push, "at": "0 0 2 * * *"}, "is no cron expression"),
        ({**push, "time_zone": "Berlin"}, "is no time zone"),
        ({**push, "on": {}}, "file-stored is not recorded"),
        (
            {"name": "a", "push": {**MOVING, "partner": "none"}},
            "no partner none; those in `partners` are: acme",
        ),
        ({"name": "a", "push": {**MOVING, "user": "bob"}}, "bob is not in the users file"),
        ({"name": "a", "push": {**MOVING, "host": "x"}}, "first name of no virtual host"),
        ({"name": "a", "push": {**MOVING, "source": "out"}}, "write one from / on"),
        ({"name": "a", "push": {**MOVING, "after": "archive"}}, "goes with after: archive"),
        ({"name": "a", "push": {**MOVING, "after": "archive", "archive": "/out"}}, "that the files are taken from"),
        ({"name": "a", "push": {**MOVING, "files": ["a/b"]}}, "is no pattern of file names"),
        ({"name": "a", "backup": {}}, "needs one of directory and partner"),
        ({"name": "a", "backup": {**BACKUP, "partner": "acme"}}, "needs one of directory and partner"),
        ({"name": "a", "backup": {"partner": "acme"}}, "write both, or none"),
        ({"name": "a b", "push": MOVING}, "name"),
    ):
        found = complaints(tmp_path, job)
        assert any(sentence in each for each in found), (job, found)
    assert any("another job is called a" in each for each in complaints(tmp_path, push, push))
    assert any("name one in `state`" in each for each in complaints(tmp_path, push, state=None))
