"""
A look at the disk: whether what was intended has been done, and whether the process that intended it lives. It blocks.

A file that was published or renamed is under its name, the same one (device and inode), in the same state: neither
changes on the way. One that is there no longer has been taken away or replaced since, and is none to tell of: its
client has read no 226.
"""

from __future__ import annotations

import os
import stat
from functools import cache

from ftpsd.events.record_tables import Intent
from ftpsd.values.trace import Trace

DELETION = "file-deleted"


def is_done(event: str, trace: Trace) -> bool:
    """Return whether the *event* of the file *trace* has come true."""
    try:
        status = os.lstat(trace.place)
    except FileNotFoundError:
        return event == DELETION
    except OSError:
        return False
    is_it = (status.st_dev, status.st_ino) == (trace.device, trace.inode)
    if event == DELETION:
        return not is_it
    if not stat.S_ISREG(status.st_mode):
        return is_it
    return is_it and (status.st_size, status.st_mtime_ns) == (trace.size, trace.modified_ns)


def done_and_not(intents: list[Intent]) -> tuple[list[Intent], list[Intent]]:
    """Divide *intents* of processes that have died, by whether they have come true; those of others are in neither."""
    done: list[Intent] = []
    undone: list[Intent] = []
    for intent in intents:
        if not is_alive(intent.owner):
            (done if is_done(intent.draft.event, intent.trace) else undone).append(intent)
    return done, undone


def own_name() -> str:
    """Return the name of this process, which no other has: boot of the machine, number, start."""
    return _name_of(os.getpid()) or f"{_boot()} {os.getpid()} ?"


def is_alive(owner: str) -> bool:
    """Return whether the process with that name is still there."""
    boot, number, start = owner.split(" ")
    if boot != _boot():
        return False
    if start == "?":  # a system without /proc
        return _exists(int(number))
    return _name_of(int(number)) == owner


def _exists(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _name_of(number: int) -> str | None:
    try:
        with open(f"/proc/{number}/stat", "rb") as file:
            # Behind the program's name, which may hold anything: state is the first field, the start the 20th.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else f"{_boot()} {number} {int(fields[19])}"


@cache
def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return "-"
