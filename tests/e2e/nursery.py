"""
The nursery: a process that has loaded all of ftpsd's code, and forks a daemon or a command whenever a test asks.

To load it takes half a second of processor time, nine tenths of a start, and there are hundreds of starts. The
forked process is `ftpsd` itself: the reactor, the pools and everything else that a process has are made after the fork.

    <- {"start": {"words": [...], "folder": ..., "here": ..., "environ": {...}, "faults": true, ...}}   -> pid
    <- {"poll": pid}                                                       -> exit code, null while it runs

*words* follow `ftpsd`, or are `twistd` and what follows that; *folder* has its standard streams (stdin where there is
such a file); it runs in *here*. The successors of one that is "upgraded" are forked, too.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path
from typing import Any

import twisted.internet.default  # noqa: F401  # what a reactor is made of, without one
from twisted.scripts import twistd

import ftpsd.cli.program
import ftpsd.commands
import ftpsd.processes.supervisor
import ftpsd.service.build
import ftpsd.start
from ftpsd.config.model import Config
from ftpsd.config.users import UsersFile
from tests.e2e.offspring import adopt_processes


def main() -> None:
    """Serve requests until the test run has ended, and take along what still runs."""
    children: set[int] = set()
    for file in (Config, UsersFile):
        file.model_rebuild()  # its validator, which would be built by each that is forked
    gc.freeze()  # what is loaded is shared by all that is forked, and never garbage
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
    """Fork and return the pid."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        code = run(wanted["words"], Path(wanted["folder"]), wanted)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def run(words: list[str], folder: Path, wanted: dict[str, Any]) -> int:
    """Run `ftpsd` with *words* and return the exit code."""
    os.chdir(wanted["here"])
    os.environ.clear()
    os.environ.update(wanted["environ"])
    given = folder / "stdin"
    for fd, name in ((0, given if given.exists() else os.devnull), (1, folder / "stdout"), (2, folder / "stderr")):
        opened = os.open(name, os.O_RDONLY if fd == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, fd)
        os.close(opened)
    # Not the buffer of the nursery's requests.
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.orig_argv = [sys.executable, "-m", "ftpsd", *words]
    if words[:2] == ["serve", "--config"]:
        adopt_processes(Path(words[2]), is_upgraded=wanted["upgraded"])
    if wanted["faults"]:
        from tests.reliability.faults import Faults

        Faults(folder).install()
    try:
        if words[0] == "twistd":
            sys.argv = words
            twistd.run()
        else:
            ftpsd.cli.program.main(words, prog_name="ftpsd")
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
