"""
A directory that is ours alone, and files in it that no other user has put there.

A user who can write in a directory can plant a link in it that leads elsewhere, and a file written to its name then
overwrites the file at the other end, with our rights. So a directory is taken only if no other user can write in it, or
could replace a part of the way to it; anything planted before it was closed is refused; and files are replaced, never
written into.
"""

from __future__ import annotations

import os
import secrets
import shlex
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ftpsd.config.checks.owner import ROOT
from ftpsd.config.checks.ownership import weaknesses

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600
_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


class NotOurs(Exception):
    """A directory or a file that is another user's, or could be changed by others, in a sentence with what to do."""


def own_folder(path: Path) -> None:
    """
    Make the directory *path*, closed to others, or see that the one that is there is ours alone.

    Raises:
        NotOurs: it is not, or what leads there is not safe.
        OSError: it cannot be made.
    """
    there = next(folder for folder in (path, *path.parents) if os.path.lexists(folder))
    for weakness in weaknesses(there, frozenset({ROOT, os.geteuid()}), seen=set()):
        # A group that can write to a folder above is often the user's own.
        if weakness.severity == "error" or weakness.path == Path(os.path.realpath(path)):
            raise NotOurs(f"{weakness.message}; or choose another --directory")
    path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    status = os.stat(path)
    if status.st_uid != os.geteuid():
        raise NotOurs(f"{path} belongs to another user; choose another --directory")
    if status.st_mode & _OTHERS:
        # The sticky bit protects existing files, and not one that is about to be made.
        raise NotOurs(f"others can write to {path}; run: chmod go-w {shlex.quote(str(path))}")


def own_subfolder(path: Path) -> bool:
    """
    Make the directory *path* in one of ours, or see that it is one of ours and no link; return whether it is new.

    Raises:
        NotOurs: it is not.
        OSError: it cannot be made.
    """
    try:
        path.mkdir(mode=FOLDER_MODE)
    except FileExistsError:
        _require_ours(path, os.lstat(path), stat.S_ISDIR)
        return False
    return True


def require_own_file(path: Path) -> bool:
    """Return whether the file *path* is there. Raises: NotOurs where it is a link, or not ours alone."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return False
    _require_ours(path, status, stat.S_ISREG)
    if status.st_nlink != 1:
        raise NotOurs(f"{path} has a second name elsewhere (a hard link); remove it, or choose another --directory")
    return True


def write(path: Path, text: str) -> None:
    """Put a whole file in place that its owner alone can read, by a rename: whatever has the name is not written to."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, FILE_MODE)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _require_ours(path: Path, status: os.stat_result, is_kind: Callable[[int], bool]) -> None:
    if not is_kind(status.st_mode):
        raise NotOurs(f"{path} is a link, or no {'directory' if is_kind is stat.S_ISDIR else 'plain file'}; remove it")
    if status.st_uid != os.geteuid() or status.st_mode & _OTHERS:
        raise NotOurs(f"{path} belongs to another user, or others can write to it; remove it")
