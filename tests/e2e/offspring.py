"""
The processes of a forked server: forked from loaded code, as it is itself (nursery.py), instead of loaded anew.

A server starts its successor, and a supervisor its processes, while its reactor and its threads run, and so cannot fork
them from itself. A helper is forked from it before that. For each process the server sends the helper the command and
the descriptors; the helper forks a process that forks another and ends at once. The kernel gives the orphan to the
server, which has asked for such (PR_SET_CHILD_SUBREAPER): it is its child, with its signals and its exit code, as if it
had started it.

A successor forks once more before it has a reactor (service/upgrading/birth.py), and is given its helper then.

    -> {"words": [...], "environ": {...}, "numbers": [...]} with descriptors, which get these numbers     <- pid
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import json
import os
import re
import runpy
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet import process

PR_SET_CHILD_SUBREAPER = 36
MEMBER, SUCCESSOR = ["ftpsd.processes"], ["ftpsd", "serve", "--config"]
# As Daemon.write_config writes it.
SEVERAL = re.compile(r"^processes: (?!1$)", re.MULTILINE)
MOST = 1 << 20
MOST_DESCRIPTORS = 250


def adopt_processes(config: Path, *, is_upgraded: bool = False) -> None:
    """
    Let this process, which is about to serve with *config*, fork its processes where there are several.

    One that *is_upgraded* forks its successors, too.
    """
    if not sys.platform.startswith("linux") or not config.is_file():
        return
    if not is_upgraded and SEVERAL.search(config.read_text()) is None:
        return
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if not os.fork():
        ours.close()
        try:
            _help(theirs)
        finally:
            os._exit(0)
    theirs.close()
    assert ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    kind: Any = process.Process
    spawn = kind._trySpawnInsteadOfFork

    def start(
        self: Any, path: Any, uid: Any, gid: Any, executable: Any, args: Any, environment: Any, kwargs: Any
    ) -> bool:
        words = [os.fsdecode(word) for word in args]
        module = _module_of(words)
        if module[:1] != MEMBER and not (is_upgraded and module[:3] == SUCCESSOR):
            return bool(spawn(self, path, uid, gid, executable, args, environment, kwargs))
        self.pid = _asked(ours, words, environment, kwargs["fdmap"])
        self.status = -1
        return True

    kind._trySpawnInsteadOfFork = start


def _module_of(words: Sequence[str]) -> list[str]:
    """Return the module that a command of Python's runs, and its arguments."""
    return list(words[words.index("-m") + 1 :]) if "-m" in words else []


def _adopt_when_born(config: Path) -> None:
    """Adopt the processes of a successor as soon as it has been forked."""
    begun = False

    def begin() -> None:
        nonlocal begun
        if not begun:
            begun = True
            adopt_processes(config, is_upgraded=True)

    os.register_at_fork(after_in_child=begin)


def _asked(helper: socket.socket, words: Sequence[str], environ: Mapping[Any, Any], numbers: Mapping[int, int]) -> int:
    """Let the helper start a process; return its pid."""
    request = {
        "words": words,
        "environ": {os.fsdecode(name): os.fsdecode(value) for name, value in environ.items()},
        "numbers": list(numbers),
    }
    helper.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST)
    socket.send_fds(helper, [json.dumps(request).encode()], list(numbers.values()))
    return int(helper.recv(100))


def _help(link: socket.socket) -> None:
    """Start processes until the server has ended."""
    gc.freeze()
    # A successor has inherited sockets and links, whose other ends have to see when it closes them.
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor > 2 and descriptor != link.fileno():
            with suppress(OSError):
                os.close(descriptor)
    while True:
        data, descriptors, _, _ = socket.recv_fds(link, MOST, MOST_DESCRIPTORS)
        if not data:
            return
        ours, theirs = os.pipe()
        between = os.fork()
        if not between:
            os.close(ours)
            _fork_and_end(link, json.loads(data), descriptors, theirs)
        os.close(theirs)
        pid = os.read(ours, 100)
        os.close(ours)
        for descriptor in descriptors:
            os.close(descriptor)
        # When it has ended, its child is the server's.
        os.waitpid(between, 0)
        link.send(pid)


def _fork_and_end(link: socket.socket, request: Mapping[str, Any], descriptors: Sequence[int], answer: int) -> None:
    """Fork the process, tell its pid, and leave it an orphan."""
    child = os.fork()
    if child:
        os.write(answer, str(child).encode())
        os._exit(0)
    code = 1
    try:
        link.close()
        os.close(answer)
        code = _run(request, descriptors)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _run(request: Mapping[str, Any], descriptors: Sequence[int]) -> int:
    """Be the process."""
    numbers = request["numbers"]
    # Out of the way of all numbers first.
    moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, max(numbers) + 1) for descriptor in descriptors]
    for descriptor in descriptors:
        if descriptor not in numbers:
            os.close(descriptor)
    for descriptor, number in zip(moved, numbers, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["environ"])
    words = request["words"]
    module = _module_of(words)
    sys.orig_argv, sys.argv = words, module
    if module[:3] == SUCCESSOR:
        _adopt_when_born(Path(module[3]))
    try:
        runpy.run_module(module[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return int(end.code or 0)
    return 0
