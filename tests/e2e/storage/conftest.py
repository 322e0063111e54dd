"""Daemons whose users have quotas, mounts and rules."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.client import CLEAR, EXPLICIT, Way
from tests.e2e.daemon import Daemon, Settings

CLEAR_TOO = {"tls": {"require": "none"}}

StartWith = Callable[..., Daemon]


@pytest.fixture(params=[CLEAR, EXPLICIT], ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    """In clear, and over TLS."""
    chosen: Way = request.param
    return chosen


def prepared(
    folder: Path,
    tls_files: Demonstration,
    users: Sequence[Mapping[str, Any]],
    command: Sequence[str] | None = None,
    changes: Settings | None = None,
    roles: Mapping[str, Any] | None = None,
) -> Daemon:
    """Return a daemon, not started, that has for each of *users* one with these fields: u000, u001 and so on."""
    settings = {**CLEAR_TOO, **(changes or {})}
    daemon = Daemon(folder, tls_files, settings, users=len(users), command=command)
    entries = daemon.users
    for entry, fields in zip(entries.values(), users, strict=True):
        entry.update(fields)
    daemon.write_users(entries)
    if roles is not None:
        daemon.users_file.write_text(json.dumps({"roles": roles, "users": entries}))
    return daemon


@pytest.fixture
def start_with(tmp_path: Path, tls_files: Demonstration) -> Iterator[StartWith]:
    """Starts a daemon with users of the test's own; at the end it must stop well, unless it has ended already."""
    with ExitStack() as stack:

        def start(
            *users: Mapping[str, Any], command: Sequence[str] | None = None, changes: Settings | None = None
        ) -> Daemon:
            daemon = prepared(tmp_path / "daemon", tls_files, users, command, changes)
            stack.callback(daemon.kill)
            daemon.start()
            stack.callback(lambda: daemon.stop() if daemon.exit_code is None else None)
            return daemon

        yield start
