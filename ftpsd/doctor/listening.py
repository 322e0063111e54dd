"""
Listening processes on this machine, from Linux's /proc; elsewhere nothing is known, and the report says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")
_LISTEN = "0A"


def listening(proc: Path = PROC) -> dict[int, set[str]] | None:
    """Return the inodes of all listening TCP sockets by port; None where the system has no such list."""
    found: dict[int, set[str]] = {}
    is_known = False
    for name in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / name).read_text().splitlines()[1:]
        except OSError:
            continue
        is_known = True
        for fields in map(str.split, lines):
            if len(fields) > 9 and fields[3] == _LISTEN:
                found.setdefault(int(fields[1].rpartition(":")[2], 16), set()).add(fields[9])
    return found if is_known else None


def owners(inodes: Iterable[str], proc: Path = PROC) -> dict[str, set[int]]:
    """Return the processes that hold the sockets *inodes*, as far as this user may see them."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[str, set[int]] = {inode: set() for inode in wanted.values()}
    for process in proc.iterdir():
        if not process.name.isdigit():
            continue
        try:
            descriptors = list((process / "fd").iterdir())
        except OSError:
            continue  # another user's, or gone
        for descriptor in descriptors:
            try:
                inode = wanted.get(os.readlink(descriptor))
            except OSError:
                continue
            if inode is not None:
                found[inode].add(int(process.name))
    return found


def program(pid: int, proc: Path = PROC) -> str:
    """Return the name of a process."""
    try:
        return (proc / str(pid) / "comm").read_text().strip()
    except OSError:
        return "unknown"
