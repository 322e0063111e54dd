"""
The quarantine: refused files in a directory of their own, each with a record of what it is and why it is there.

    <incident>.json     the record; there before the file, so that no file is there without one
    <incident>.held     the file as it lay in its tree, with mode 0600; in an encrypted tree that is encrypted
    <incident>.held.new that file, as long as it is being copied, with a lock of its own

A file is moved where both are on one file system, and copied otherwise. The directory has a bound: a file beyond it is
not kept, and its incident says so. Nothing leaves it but by an operator, or by age. Several processes may use it: what
is looked at and changed is so under a lock, which is not held while a file is copied. Every call blocks.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import MISSING, Field, asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from ftpsd.storage.disk.syscalls import copy_range, write_all
from ftpsd.storage.disk.walk import Place
from ftpsd.values.path import VirtualPath

INCIDENT = re.compile(r"[0-9a-f]{10}")
# How many files are there, and their bytes.
Sizes = tuple[int, int]
# A listing of more is of no use to anybody.
MOST_FILES = 10_000
# Seconds. The maker of a record moves its file at once, or copies it.
_LEFT_FOR = 86400.0
_RECORD, HELD, _COPY = ".json", ".held", ".new"
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Origin:
    """The tree of a refused file: that of *owner*, "" for none, on *host*; *tree* is the directory."""

    owner: str
    host: str
    tree: str


@dataclass(frozen=True, slots=True)
class Record:
    """
    The record of a refused file.

    *path* is what its user calls it and *inner* the path in its tree; *replaces* tells the file that it was to replace
    from others, empty for none, and by several words where its time is being set. *time* is Unix time. *modified_ns*
    and *mode* its client has set for when it is published.
    """

    incident: str
    time: float
    owner: str
    host: str
    tree: str
    path: str
    inner: str
    bytes: int
    sha256: str | None
    verdict: str
    engine: str
    signatures: str
    found: str
    replaces: str = ""
    may_replace: bool = True
    modified_ns: int | None = None
    mode: int | None = None


class Full(Exception):
    """There is no room in the quarantine."""


class Quarantine:
    """The quarantine in *directory*, of at most *most* bytes."""

    def __init__(self, directory: Path, most: int) -> None:
        self.directory = directory
        self.most = most

    def change(self, record: Record) -> bool:
        """
        Put *record* in the place of the one with its incident, in one rename; return whether that is there.

        Raises: OSError.
        """
        with self._locked() as directory:
            if not _has(directory, record.incident + HELD):
                return False
            self._rewrite(directory, record)
        return True

    @contextmanager
    def place_of(self, incident: str) -> Iterator[Place]:
        """Lend the place of the file of *incident*."""
        directory = os.open(self.directory, _DIRECTORY)
        try:
            yield Place(directory, (incident + HELD).encode(), VirtualPath(()))
        finally:
            os.close(directory)

    def take(self, record: Record, place: Place, fd: int) -> os.stat_result:
        """
        Take the file at *place*, open as *fd*, out of its tree, with *record*; return its status here.

        Raises: OSError, Full, and it is where it was.
        """
        return self.begin(record, place, fd)()

    def begin(self, record: Record, place: Place, fd: int) -> Callable[[], os.stat_result]:
        """
        Begin to `take` a file; return what ends it, which has to be called.

        A file of another file system has its room from now on, and is copied at the end: that holds up nobody.
        """
        with suppress(FileExistsError):
            os.mkdir(self.directory, 0o700)
        held = record.incident + HELD
        with self._locked() as directory:
            count, size = self._contents(directory)
            stored = os.fstat(fd).st_size
            if count >= MOST_FILES or size + stored > self.most:
                raise Full
            if not _has(directory, held):
                # A death in the middle of this, of which a hidden upload comes again with its number.
                _remove_left(directory, record.incident)
            self._write(directory, record)
            try:
                os.fchmod(fd, 0o600)
                try:
                    os.rename(place.name, held, src_dir_fd=place.fd, dst_dir_fd=directory)
                except OSError as error:
                    if error.errno != errno.EXDEV:
                        raise
                    target = os.open(held + _COPY, _NEW, 0o600, dir_fd=directory)
                    fcntl.flock(target, fcntl.LOCK_EX)
                    os.truncate(target, stored)
                    return partial(self._copied, record.incident, place, fd, target)
                os.fsync(directory)
            except BaseException:
                with suppress(OSError):
                    os.unlink(record.incident + _RECORD, dir_fd=directory)
                raise
            status = os.stat(held, dir_fd=directory, follow_symlinks=False)
        return lambda: status

    def _copied(self, incident: str, place: Place, source: int, target: int) -> os.stat_result:
        """Copy the file at *place*, open as *source*, into *target*, and have it be the one of *incident*."""
        held = incident + HELD
        try:
            copy_range(source, target, 0, os.fstat(target).st_size)
            os.fsync(target)
            with self._locked() as directory:
                os.rename(held + _COPY, held, src_dir_fd=directory, dst_dir_fd=directory)
                os.fsync(directory)
                status = os.fstat(target)
                os.unlink(place.name, dir_fd=place.fd)
            return status
        except BaseException:  # it is where it was
            with suppress(OSError), self._locked() as directory:
                for left in (held, held + _COPY, incident + _RECORD):
                    with suppress(FileNotFoundError):
                        os.unlink(left, dir_fd=directory)
            raise
        finally:
            os.close(target)

    def incidents(self) -> set[str]:
        """Return the incidents of all files that are there."""
        try:
            with os.scandir(self.directory) as entries:
                return {each.name.removesuffix(HELD) for each in entries if each.name.endswith(HELD)}
        except FileNotFoundError:
            return set()

    def statuses(self) -> Iterator[os.stat_result]:
        """Yield the status of each file that is there. Raises: OSError."""
        with os.scandir(self.directory) as entries:
            for entry in entries:
                if entry.name.endswith(HELD):
                    with suppress(FileNotFoundError):  # gone since
                        yield entry.stat(follow_symlinks=False)

    def orphans(self) -> list[str]:
        """Return the incidents of files whose record is lost, or cannot be read."""
        if not self.directory.is_dir():
            return []
        with self._locked() as directory:
            held = [name for name in self.incidents() if INCIDENT.fullmatch(name)]
            return [name for name in held if self._read(directory, name) is None]

    def restore_record(self, record: Record) -> None:
        """Give a file whose record is lost this one. Raises: OSError."""
        with self._locked() as directory:
            self._rewrite(directory, record)

    def records(self) -> list[Record]:
        """Return the records of all files that are there, the oldest first."""
        if not self.directory.is_dir():
            return []
        with self._locked() as directory:
            names = {entry.name for entry in os.scandir(directory)}
            found = [
                record
                for name in names
                if name.endswith(HELD) and (record := self._read(directory, name.removesuffix(HELD))) is not None
            ]
        return sorted(found, key=lambda record: (record.time, record.incident))

    def find(self, incident: str) -> Record | None:
        """Return the record of *incident*, None where no such file is there."""
        if not INCIDENT.fullmatch(incident) or not self.directory.is_dir():
            return None
        with self._locked() as directory:
            return self._read(directory, incident) if _has(directory, incident + HELD) else None

    def open(self, incident: str) -> int:
        """Return a descriptor of the file of *incident*, which is the caller's. Raises: OSError."""
        with self._locked() as directory:
            return os.open(incident + HELD, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)

    def remove(self, incident: str, only: Record | None = None) -> bool:
        """
        Remove the file of *incident* and its record, *only* while that is this one; return whether it was there.

        Raises: OSError.
        """
        if not self.directory.is_dir():
            return False
        with self._locked() as directory:
            if only is not None and self._read(directory, incident) != only:
                return False
            try:
                os.unlink(incident + HELD, dir_fd=directory)
            except FileNotFoundError:
                return False
            with suppress(FileNotFoundError):
                os.unlink(incident + _RECORD, dir_fd=directory)
            os.fsync(directory)
        return True

    def remove_record(self, incident: str) -> None:
        """Remove the record of *incident*, whose file has gone elsewhere. Raises: OSError."""
        with suppress(FileNotFoundError), self._locked() as directory:
            os.unlink(incident + _RECORD, dir_fd=directory)

    def sweep(self, keep: float, stays: Callable[[Record], bool] = lambda _: False) -> list[Record]:
        """
        Remove files that have been there for *keep* seconds, and what a crash has left; return their records.

        Those of which *stays* is true stay.
        """
        if not self.directory.is_dir():
            return []
        now = time.time()
        old = [record for record in self.records() if now - record.time >= keep]
        gone = [record for record in old if not stays(record) and self.remove(record.incident)]
        with self._locked() as directory:
            names = {entry.name: entry.stat(follow_symlinks=False).st_mtime for entry in os.scandir(directory)}
            for name, changed in names.items():
                is_left = name.endswith(".new") or name.removesuffix(_RECORD) + HELD not in names
                if is_left and not name.endswith(HELD) and now - changed >= _LEFT_FOR:
                    with suppress(OSError):
                        os.unlink(name, dir_fd=directory)
        return gone

    def size(self) -> Sizes:
        """Return how many files are there, and their bytes; nothing where there is no quarantine yet."""
        try:
            directory = os.open(self.directory, _DIRECTORY)
        except FileNotFoundError:
            return 0, 0
        try:
            return self._contents(directory)
        finally:
            os.close(directory)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """Hold the directory; its descriptor is the lock. Raises: FileNotFoundError where there is none yet."""
        directory = os.open(self.directory, _DIRECTORY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            yield directory
        finally:
            os.close(directory)

    @staticmethod
    def _contents(directory: int) -> tuple[int, int]:
        with os.scandir(directory) as entries:
            sizes = [
                entry.stat(follow_symlinks=False).st_size for entry in entries if entry.name.endswith((HELD, ".new"))
            ]
        return len(sizes), sum(sizes)

    def _rewrite(self, directory: int, record: Record) -> None:
        new = record.incident + ".new"
        with suppress(FileNotFoundError):
            os.unlink(new, dir_fd=directory)
        self._write(directory, record, new)
        os.rename(new, record.incident + _RECORD, src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)

    @staticmethod
    def _write(directory: int, record: Record, name: str | None = None) -> None:
        fd = os.open(name or record.incident + _RECORD, _NEW, 0o600, dir_fd=directory)
        try:
            write_all(fd, memoryview(json.dumps(asdict(record), indent=1).encode()))
            os.fsync(fd)
        finally:
            os.close(fd)

    @staticmethod
    def _read(directory: int, incident: str) -> Record | None:
        try:
            fd = os.open(incident + _RECORD, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        except OSError:
            return None
        with open(fd, "rb") as file:
            try:
                data = json.loads(file.read(1 << 20))
                return Record(**{each.name: data[each.name] for each in fields(Record) if _is_told(each, data)})
            except (ValueError, KeyError, TypeError):
                return None


def _has(directory: int, name: str) -> bool:
    """Return whether *name* is in the open *directory*."""
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _remove_left(directory: int, incident: str) -> None:
    """Remove what was begun of *incident*. Raises: BlockingIOError while it is being copied."""
    with suppress(FileNotFoundError):
        copy = os.open(incident + HELD + _COPY, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            fcntl.flock(copy, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(incident + HELD + _COPY, dir_fd=directory)
        finally:
            os.close(copy)
    with suppress(FileNotFoundError):
        os.unlink(incident + _RECORD, dir_fd=directory)


def _is_told(each: Field[Any], data: dict[str, Any]) -> bool:
    """Return whether a field is in a record; those that came later need not be."""
    return each.name in data or each.default is MISSING


def replaced_by(modified_ns: int) -> str:
    """Return what tells the file that was there, changed at *modified_ns*, from one that came since."""
    return str(modified_ns)


def is_replaced(record: Record, modified_ns: int) -> bool:
    """Return whether the file of *record* was to replace the one that is there now, changed at *modified_ns*."""
    return replaced_by(modified_ns) in record.replaces.split()
