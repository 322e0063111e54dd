"""
The nursery: a process that has loaded all of the daemon's code, and forks a daemon whenever a test asks.

To load it takes half a second of processor time, nine tenths of a start, and there are hundreds of starts. What is
forked is `ftpsd serve` itself: the reactor, the pools and everything else that a process has are made after the fork.

    <- {"start": {"folder": ..., "config": ..., "environ": {...}, "faults": true}}   -> pid
    <- {"poll": pid}                                                                 -> exit code, null while it runs
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import ftpsd.cli.program
import ftpsd.commands
import ftpsd.processes.supervisor
import ftpsd.service.build
import ftpsd.start


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
        code = serve(Path(wanted["folder"]), wanted["config"], wanted["environ"], has_faults=wanted["faults"])
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def serve(folder: Path, config: str, environ: dict[str, str], *, has_faults: bool) -> int:
    """Run `ftpsd serve` in *folder* and return the exit code."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    for fd, name in ((0, os.devnull), (1, str(folder / "stdout")), (2, str(folder / "stderr"))):
        opened = os.open(name, os.O_RDONLY if fd == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, fd)
        os.close(opened)
    if has_faults:
        from tests.reliability.faults import Faults

        Faults(folder).install()
    try:
        ftpsd.cli.program.main(["serve", "--config", config], prog_name="ftpsd")
    except SystemExit as end:
        return int(end.code or 0)
    return 0


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
