"""Clients among files, for tests of listings."""

from __future__ import annotations

import re

from ftpsd.values.path import VirtualPath
from tests.memory import Directory, File
from tests.sessions import ControlClient, clear_server
from tests.workers import QueueingWorkers

# 2024-01-02 03:04:05 UTC, in nanoseconds.
MOMENT = 1_704_164_645 * 1_000_000_000
LINE = re.compile(r"[-d][rwx-]{9} +\d+ ftp +ftp +\d+ \w{3} [ \d]\d +(\d{4}|\d\d:\d\d) (.+)")


def among(*paths: str) -> ControlClient:
    """Return a client among these files."""
    server = clear_server()
    for path in paths:
        server.memory.put(path, b"data")
        server.memory.set_modified(VirtualPath.parse(path), MOMENT)
    return server.logged_in()


def tree() -> ControlClient:
    """Return a client among some files."""
    return among("/a.csv", "/b.csv", "/c.txt", "/dir/inner.csv", "/dir/other", "/-file", "/*star", "/.hidden")


def large(files: QueueingWorkers | None = None) -> ControlClient:
    """Return a client of a server with 5001 entries."""
    client = clear_server(files=files).logged_in()
    children = client.server.memory.tree.root.children
    for number in range(5000):
        children[f"file-{number:05}"] = File(b"", MOMENT)
    children["dir"] = Directory()
    return client
