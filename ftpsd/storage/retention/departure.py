"""
The end of one file whose time is over: deleted, or moved to the archive.

It is looked for anew from the root of its tree, component by component without following links, and goes only if it
still is the file that was seen, unchanged. The quota learns of it. In the archive it lies under the name of the tree's
directory and its path there, beside what may be there under that name already; it is on the disk there before it goes
here. A copy to another file system is made before the turn in which it is looked at again and goes.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ftpsd.storage.disk.names import encode_name, unique_name
from ftpsd.storage.disk.syscalls import copy_range
from ftpsd.storage.disk.turns import REPLACING
from ftpsd.storage.quota.ledger import NO_LEDGER, Ledger
from ftpsd.storage.retention.overdue import Overdue

_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
_TRIES = 10


class _NoLink(Exception):
    """A file cannot have one more name there: another file system, or one without links."""


def depart(over: Overdue, ledger: Ledger = NO_LEDGER) -> str | None:
    """
    Let the file go; return its place in the archive, "" where it was deleted, None where it has changed meanwhile.

    Blocks. Raises: OSError, with the file where it was.
    """
    name = encode_name(over.parts[-1])
    directory = _walked(os.open(os.path.realpath(over.root), _ENTER), over.parts[:-1], makes=False)
    if directory is None:
        return None
    try:
        if over.rule.archive is None:
            archived = "" if _take_out(over, ledger, directory, name, lambda: None) else None
        else:
            archived = _archive(over, ledger, directory, name, over.rule.archive)
        if archived is not None:
            with suppress(PermissionError):
                os.fsync(directory)
        return archived
    finally:
        os.close(directory)


def _take_out(over: Overdue, ledger: Ledger, directory: int, name: bytes, put: Callable[[], None]) -> bool:
    """Remove the file when *put* has been called, in one turn; return whether it was the one that was seen."""
    with REPLACING.of(name, directory), ledger.change() as change:
        try:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return False
        if not _is_seen(over, status):
            return False
        put()
        # As it was before the link in the archive: what leaves the tree counts in it no more.
        change.going(status)
        os.unlink(name, dir_fd=directory)
        change.went(status)
    return True


def _is_seen(over: Overdue, status: os.stat_result) -> bool:
    """Return whether *status* is that of the file that was seen, unchanged."""
    return (status.st_dev, status.st_ino, status.st_ctime_ns) == over.identity and stat.S_ISREG(status.st_mode)


def _archive(over: Overdue, ledger: Ledger, directory: int, name: bytes, archive: Path) -> str | None:
    """Move the file into *archive*; return where it is, None where it has changed meanwhile."""
    top = os.open(archive, _ENTER)
    parts = (over.root.name or "root", *over.parts[:-1])
    inside = _walked(top, parts, makes=True)
    assert inside is not None
    try:
        wanted = over.parts[-1]
        for _ in range(_TRIES):
            try:
                is_gone = _move(over, ledger, (directory, name), (inside, encode_name(wanted)))
            except FileExistsError:
                wanted = unique_name(over.parts[-1])
            else:
                return str(archive.joinpath(*parts, wanted)) if is_gone else None
        raise FileExistsError(f"no name is free in {archive}")
    finally:
        os.close(inside)


def _move(over: Overdue, ledger: Ledger, source: tuple[int, bytes], target: tuple[int, bytes]) -> bool:
    """Move the file of the name *source*, in an open directory, to *target*; return whether it was still the one."""
    (directory, name), (inside, wanted) = source, target

    def link() -> None:
        try:
            os.link(name, wanted, src_dir_fd=directory, dst_dir_fd=inside, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError as error:
            raise _NoLink from error
        os.fsync(inside)

    try:
        return _take_out(over, ledger, directory, name, link)
    except _NoLink:
        pass
    # Before the turn: a long copy would hold up all who want to replace a name with the same lock.
    if not _copy(over, source, target):
        return False
    is_gone = False
    try:
        is_gone = _take_out(over, ledger, directory, name, lambda: None)
    finally:
        if not is_gone:
            os.unlink(wanted, dir_fd=inside)
    return is_gone


def _copy(over: Overdue, source: tuple[int, bytes], target: tuple[int, bytes]) -> bool:
    """Copy the file, durably; return whether it is the one that was seen."""
    (directory, name), (inside, wanted) = source, target
    try:
        reading = os.open(name, _READ, dir_fd=directory)
    except OSError as error:
        if error.errno in _GONE:
            return False
        raise
    try:
        status = os.fstat(reading)
        if not _is_seen(over, status):
            return False
        writing = os.open(wanted, _NEW, 0o600, dir_fd=inside)
        try:
            copy_range(reading, writing, 0, status.st_size)
            os.utime(writing, ns=(status.st_atime_ns, status.st_mtime_ns))
            os.fsync(writing)
            os.fsync(inside)
        except BaseException:
            os.unlink(wanted, dir_fd=inside)
            raise
        finally:
            os.close(writing)
    finally:
        os.close(reading)
    return True


def _walked(top: int, parts: tuple[str, ...], *, makes: bool) -> int | None:
    """Return the directory at *parts* below *top*, which is closed; None where it is gone, or is a link now."""
    fd = top
    for part in parts:
        name = encode_name(part)
        try:
            if makes:
                with suppress(FileExistsError):
                    os.mkdir(name, 0o700, dir_fd=fd)
            below = os.open(name, _ENTER, dir_fd=fd)
        except OSError as error:
            if error.errno in _GONE and not makes:
                return None
            raise
        finally:
            os.close(fd)
        fd = below
    return fd
