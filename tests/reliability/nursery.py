"""
The nursery: a process that has loaded all of the daemon's code, and forks a daemon whenever a test asks.

Tests that kill the daemon a hundred times cannot wait a second for each start. What is forked is the daemon as `ftpsd
serve` runs it: the reactor, the pools and everything else that a process has are made after the fork.

    <- {"start": {"folder": ..., "config": ..., "faults": true}}   -> pid
    <- {"poll": pid}                                               -> exit code, null while it runs
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import ftpsd.commands
import ftpsd.service.build
import ftpsd.start
from tests.reliability.faults import Faults


def main() -> None:
    """Serve requests until the test run has ended, and take the daemons along."""
    children: set[int] = set()
    for line in sys.stdin:
        request = json.loads(line)
        answer: int | None
        if "start" in request:
            answer = start(request["start"])
            children.add(answer)
        else:
            answer = poll(request["poll"], children)
        print(json.dumps(answer), flush=True)
    for child in children:
        os.kill(child, 9)


def start(wanted: dict[str, Any]) -> int:
    """Fork a daemon and return its pid."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        folder = Path(wanted["folder"])
        os.chdir(folder)
        for fd, name in ((0, os.devnull), (1, str(folder / "stdout")), (2, str(folder / "stderr"))):
            opened = os.open(name, os.O_RDONLY if fd == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(opened, fd)
            os.close(opened)
        if wanted["faults"]:
            Faults(folder).install()
        code = ftpsd.start.serve(Path(wanted["config"]))
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def poll(child: int, children: set[int]) -> int | None:
    """Return how *child* ended, as subprocess tells it."""
    if child not in children:
        return -9
    pid, status = os.waitpid(child, os.WNOHANG)
    if not pid:
        return None
    children.discard(child)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    main()
