"""
The end of one file whose time is over: deleted, or moved to the archive.

It is looked for anew from the root of its tree, component by component without following links, and goes only if it
still is the file that was seen, unchanged. The quota learns of it. In the archive it lies under the name of the tree's
directory and its path there, beside what may be there under that name already; it is on the disk there before it goes
here.
"""

from __future__ import annotations

import errno
import os
import stat
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
        with REPLACING.of(name, directory), ledger.change() as change:
            try:
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                return None
            identity = (status.st_dev, status.st_ino, status.st_ctime_ns)
            if identity != over.identity or not stat.S_ISREG(status.st_mode):
                return None
            archived = "" if over.rule.archive is None else _archive(over, over.rule.archive, directory, name)
            # As it was before the link in the archive: what leaves the tree counts in it no more.
            change.going(status)
            os.unlink(name, dir_fd=directory)
            change.went(status)
        with suppress(PermissionError):
            os.fsync(directory)
        return archived
    finally:
        os.close(directory)


def _archive(over: Overdue, archive: Path, directory: int, name: bytes) -> str:
    """Put a copy of the file into *archive*, or the same file under one more name; return where it is."""
    top = os.open(archive, _ENTER)
    parts = (over.root.name or "root", *over.parts[:-1])
    inside = _walked(top, parts, makes=True)
    assert inside is not None
    try:
        wanted = over.parts[-1]
        for _ in range(_TRIES):
            try:
                _put(directory, name, inside, encode_name(wanted))
            except FileExistsError:
                wanted = unique_name(over.parts[-1])
            else:
                os.fsync(inside)
                return str(archive.joinpath(*parts, wanted))
        raise FileExistsError(f"no name is free in {archive}")
    finally:
        os.close(inside)


def _put(source: int, name: bytes, target: int, wanted: bytes) -> None:
    try:
        os.link(name, wanted, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
        return
    except FileExistsError:
        raise
    except OSError:  # another file system, or one without links
        pass
    reading = os.open(name, _READ, dir_fd=source)
    try:
        status = os.fstat(reading)
        writing = os.open(wanted, _NEW, 0o600, dir_fd=target)
        try:
            copy_range(reading, writing, 0, status.st_size)
            os.utime(writing, ns=(status.st_atime_ns, status.st_mtime_ns))
            os.fsync(writing)
        except BaseException:
            os.unlink(wanted, dir_fd=target)
            raise
        finally:
            os.close(writing)
    finally:
        os.close(reading)


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
