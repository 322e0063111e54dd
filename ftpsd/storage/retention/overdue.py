"""
The look through a tree for files whose time is over, by descriptors: no link is followed, and no path is put together.

The server's own names (unfinished uploads) are passed by. Directories that could not be looked at are told. Nothing is
changed.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ftpsd.storage.disk.names import is_reserved, name_of
from ftpsd.storage.retention.terms_of_keeping import Hold, Keeping, RetentionRule, View

# Files in one look; the rest goes with the next one.
MOST_OVERDUE = 100_000
# Directories inside of each other; a descriptor each.
DEEPEST = 200
_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Overdue:
    """A file whose time is over, as it was seen: below *root*, at *parts*, for *view*."""

    root: Path
    parts: tuple[str, ...]
    view: View
    rule: RetentionRule
    age: float
    size: int
    identity: tuple[int, int, int]  # device, inode, ctime


@dataclass(slots=True)
class Findings:
    """The findings: *files* under each rule, those that are *overdue*, those *held* though they are."""

    files: Counter[int] = field(default_factory=Counter)
    overdue: list[Overdue] = field(default_factory=list)
    held: list[tuple[Overdue, Hold]] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)


def look_through(
    root: Path, keepings: Sequence[Keeping], now: float, found: Findings, is_stopped: Callable[[], bool]
) -> None:
    """Add what is found below *root*, seen as all of *keepings* see it. Blocks. Raises: OSError for *root* alone."""
    keepings = [keeping for keeping in keepings if keeping.may_apply]
    if not keepings:
        return
    archives = {_identity(path) for keeping in keepings for path in keeping.archives}
    top = os.open(os.path.realpath(root), _ENTER)
    stack: list[tuple[int, tuple[str, ...], list[str]]] = []
    try:
        stack.append((top, (), _read(top, (), root, keepings, now, found, archives)))
        while stack and not is_stopped():
            directory, parts, waiting = stack[-1]
            if not waiting:
                os.close(stack.pop()[0])
                continue
            name = waiting.pop()
            below = (*parts, name)
            if len(below) > DEEPEST:
                found.unseen.append(f"{root}: more than {DEEPEST} directories deep")
                continue
            try:
                inner = os.open(name.encode("utf-8", "surrogateescape"), _ENTER, dir_fd=directory)
            except FileNotFoundError:
                continue
            except OSError as error:
                found.unseen.append(f"{root}: {'/'.join(below)!r}: {error.strerror}")
                continue
            stack.append((inner, below, []))
            stack[-1][2].extend(_read(inner, below, root, keepings, now, found, archives))
    finally:
        for directory, _, _ in stack:
            os.close(directory)


def _read(
    directory: int,
    parts: tuple[str, ...],
    root: Path,
    keepings: Sequence[Keeping],
    now: float,
    found: Findings,
    archives: set[tuple[int, int] | None],
) -> list[str]:
    """Look at the files of one directory; return the names of the directories in it."""
    inside: list[str] = []
    status = os.fstat(directory)
    if (status.st_dev, status.st_ino) in archives:
        return inside
    with os.scandir(directory) as entries:
        for entry in entries:
            name = name_of(entry)
            if is_reserved(name):
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    inside.append(name)
                    continue
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            except OSError as error:
                found.unseen.append(f"{root}: {name!r}: {error.strerror}")
                continue
            if stat.S_ISREG(status.st_mode):
                _judge((*parts, name), status, root, keepings, now, found)
    return inside


def _judge(
    parts: tuple[str, ...],
    status: os.stat_result,
    root: Path,
    keepings: Sequence[Keeping],
    now: float,
    found: Findings,
) -> None:
    deciding = next(((keeping, rule) for keeping in keepings if (rule := keeping.rule_for(parts)) is not None), None)
    if deciding is None:
        return
    keeping, rule = deciding
    found.files[rule.number] += 1
    age = now - status.st_ctime
    if age < rule.after:
        return
    identity = (status.st_dev, status.st_ino, status.st_ctime_ns)
    over = Overdue(root, parts, keeping.view, rule, age, status.st_size, identity)
    # A hold of any user who sees the file keeps it for all.
    hold = next((hold for each in keepings if (hold := each.hold_on(parts)) is not None), None)
    if hold is not None:
        found.held.append((over, hold))
    elif len(found.overdue) < MOST_OVERDUE:
        found.overdue.append(over)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
