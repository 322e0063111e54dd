"""
The users who can change the files that the daemon trusts: owners and modes of its files, and of every directory and
link on the way.

A user who can write a directory can put another file in the place of one in it, so a users file is as safe as the
folders above it. A directory with the sticky bit, such as /tmp, is safe: names in it are their owners'. Files that
cannot be looked at are reported elsewhere.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ftpsd.config.checks.owner import account_of
from ftpsd.config.parsing.document import Severity

# Linux follows as many (path_resolution(7)).
MOST_LINKS: Final = 40
_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Weakness:
    """A fault of *path*, in a sentence that ends with the command to run; *is_foreign*: its owner is the fault."""

    path: Path
    severity: Severity
    message: str
    is_foreign: bool = False


def weaknesses(file: Path, trusted: frozenset[int], *, seen: set[Path], is_shared: bool = False) -> Iterator[Weakness]:
    """
    Yield how others than the users with the numbers *trusted* can change *file*, or what is on the way to it. Blocks.

    Paths in *seen* already are left out, and the paths looked at are added. *is_shared* says that other programs use
    the file too, as those which renew certificates: then its owner is a warning.
    """
    for path, status in _way(Path(os.path.abspath(file))):
        if path in seen:
            continue
        seen.add(path)
        if status.st_uid not in trusted:
            name = account_of(status.st_uid).name
            severity: Severity = "warning" if is_shared and stat.S_ISREG(status.st_mode) else "error"
            yield Weakness(path, severity, _says_foreign(path, status, name), is_foreign=True)
        elif not stat.S_ISLNK(status.st_mode) and not _is_read_only(path):
            yield from _open_to_others(path, status)


def _open_to_others(path: Path, status: os.stat_result) -> Iterator[Weakness]:
    is_directory = stat.S_ISDIR(status.st_mode)
    if not status.st_mode & _OTHERS or (is_directory and status.st_mode & stat.S_ISVTX):
        return
    by_all = bool(status.st_mode & stat.S_IWOTH)
    who = "every user of this machine" if by_all else "its group"
    can = "files in it can be replaced" if is_directory else "it can be changed"
    yield Weakness(
        path,
        # The group of a directory is often its owner's own.
        "error" if by_all else "warning",
        f"{path}: {can} by {who}; run: chmod {'o-w' if by_all and not status.st_mode & stat.S_IWGRP else 'go-w'} "
        f"{shlex.quote(str(path))}",
    )


def _says_foreign(path: Path, status: os.stat_result, name: str) -> str:
    if stat.S_ISLNK(status.st_mode):
        return f"the link {path} belongs to {name}, who can lead it elsewhere; remove it, and name the file itself"
    can = "replace files in it" if stat.S_ISDIR(status.st_mode) else "change it"
    run = f"chown root {shlex.quote(str(path))}"
    return f"{path} belongs to {name}, who can {can}, and is neither root nor the daemon's user; run: {run}"


def _way(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield every directory and link on the way to *path*, and what it leads to, each with its status."""
    left = list(reversed(path.parts[1:]))
    links = 0
    here = Path("/")
    yield here, os.lstat(here)
    while left:
        name = left.pop()
        here = here.parent if name == ".." else here / name
        try:
            status = os.lstat(here)
            yield here, status
            if not stat.S_ISLNK(status.st_mode):
                continue
            links += 1
            if links > MOST_LINKS:
                return
            target = Path(os.readlink(here))
        except OSError:
            return
        left += reversed(target.parts[1:] if target.is_absolute() else target.parts)
        here = Path("/") if target.is_absolute() else here.parent


def _is_read_only(path: Path) -> bool:
    """Return whether *path* is read-only whatever its mode: volumes of containers are mounted so, mode 0777."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False
