"""
The quarantine: refused files in a directory of their own, each with a record of what it is and why it is there.

    <incident>.json     the record; there before the file, so that no file is there without one
    <incident>.held     the file as it lay in its tree, with mode 0600; in an encrypted tree that is encrypted

A file is moved where both are on one file system, and copied otherwise. The directory has a bound: a file beyond it is
not kept, and its incident says so. Nothing leaves it but by an operator, or by age. Several processes may use it: what
is looked at and changed is so under a lock. Every call blocks.
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
from dataclasses import MISSING, Field, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from ftpsd.storage.disk.syscalls import copy_range, write_all
from ftpsd.storage.disk.walk import Place
from ftpsd.storage.uploads.gating import Refusal
from ftpsd.values.path import VirtualPath

INCIDENT = re.compile(r"[0-9a-f]{10}")
# How many files are there, and their bytes.
Sizes = tuple[int, int]
# A listing of more is of no use to anybody.
MOST_FILES = 10_000
# Seconds. Whoever makes a record moves its file at once, or copies it.
_LEFT_FOR = 86400.0
_RECORD, _HELD = ".json", ".held"
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
    What is known of a refused file.

    *path* is what its user calls it and *inner* the path in its tree; *replaces* tells the file that it was to replace
    from others, empty for none, and by several words where its time is being set. *time* is Unix time.
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


class Full(Exception):
    """There is no room in the quarantine."""


class Quarantine:
    """The quarantine in *directory*, of at most *most* bytes."""

    def __init__(self, directory: Path, most: int, outer: Path | None = None) -> None:
        self.directory = directory
        self.most = most
        self._outer = outer

    @property
    def hidden(self) -> Quarantine:
        """The files that wait for their verdict, in a directory of their own in this one, and with a bound like its."""
        return Quarantine(self.directory / "hidden", self.most, self.directory)

    def change(self, record: Record) -> None:
        """Put *record* in the place of the one with its incident, in one rename. Raises: OSError."""
        with self._locked() as directory:
            name, new = record.incident + _RECORD, record.incident + ".new"
            with suppress(FileNotFoundError):
                os.unlink(new, dir_fd=directory)
            self._write(directory, record, new)
            os.rename(new, name, src_dir_fd=directory, dst_dir_fd=directory)
            os.fsync(directory)

    def retime(self, tree: str, inner: str, before_ns: int, after_ns: int) -> None:
        """
        Have the records of files that are to replace the one at *inner* of *tree*, changed at *before_ns*, know that it
        will say *after_ns*. Raises: OSError.
        """
        if not self.directory.is_dir():
            return
        for record in self.records():
            if (record.tree, record.inner) == (tree, inner) and is_replaced(record, before_ns):
                # Both: its time is set behind this, or not at all.
                times = dict.fromkeys((replaced_by(before_ns), replaced_by(after_ns)))
                self.change(replace(record, replaces=" ".join(times)))

    @contextmanager
    def place_of(self, incident: str) -> Iterator[Place]:
        """Lend the place of the file of *incident*."""
        directory = os.open(self.directory, _DIRECTORY)
        try:
            yield Place(directory, (incident + _HELD).encode(), VirtualPath(()))
        finally:
            os.close(directory)

    def take(self, record: Record, place: Place, fd: int) -> None:
        """
        Take the file at *place*, open as *fd*, out of its tree, with *record*. Raises: OSError, Full, and it is there.
        """
        with self._locked() as directory:
            count, size = self._contents(directory)
            stored = os.fstat(fd).st_size
            if count >= MOST_FILES or size + stored > self.most:
                raise Full
            held = record.incident + _HELD
            self._write(directory, record)
            try:
                os.fchmod(fd, 0o600)
                try:
                    os.rename(place.name, held, src_dir_fd=place.fd, dst_dir_fd=directory)
                except OSError as error:
                    if error.errno != errno.EXDEV:
                        raise
                    self._copy(directory, held, fd)
                    os.unlink(place.name, dir_fd=place.fd)
                os.fsync(directory)
            except BaseException:
                with suppress(OSError):
                    os.unlink(record.incident + _RECORD, dir_fd=directory)
                raise

    def records(self) -> list[Record]:
        """Return the records of all files that are there, the oldest first."""
        with self._locked() as directory:
            names = {entry.name for entry in os.scandir(directory)}
            found = [
                record
                for name in names
                if name.endswith(_HELD) and (record := self._read(directory, name.removesuffix(_HELD))) is not None
            ]
        return sorted(found, key=lambda record: (record.time, record.incident))

    def find(self, incident: str) -> Record | None:
        """Return the record of *incident*, None where no such file is there."""
        if not INCIDENT.fullmatch(incident):
            return None
        with self._locked() as directory:
            try:
                os.stat(incident + _HELD, dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                return None
            return self._read(directory, incident)

    def open(self, incident: str) -> int:
        """Return a descriptor of the file of *incident*, which is the caller's. Raises: OSError."""
        with self._locked() as directory:
            return os.open(incident + _HELD, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)

    def remove(self, incident: str) -> bool:
        """Remove the file of *incident* and its record; return whether it was there. Raises: OSError."""
        with self._locked() as directory:
            try:
                os.unlink(incident + _HELD, dir_fd=directory)
            except FileNotFoundError:
                return False
            with suppress(FileNotFoundError):
                os.unlink(incident + _RECORD, dir_fd=directory)
            os.fsync(directory)
        return True

    def remove_record(self, incident: str) -> None:
        """Remove the record of *incident*, whose file has gone elsewhere. Raises: OSError."""
        with self._locked() as directory, suppress(FileNotFoundError):
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
                is_left = name.endswith(".new") or name.removesuffix(_RECORD) + _HELD not in names
                if is_left and not name.endswith(_HELD) and now - changed >= _LEFT_FOR:
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
        """Hold the directory, made where it is missing; its descriptor is the lock."""
        for missing in (self._outer, self.directory):
            if missing is not None:
                with suppress(FileExistsError):
                    os.mkdir(missing, 0o700)
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
                entry.stat(follow_symlinks=False).st_size for entry in entries if entry.name.endswith((_HELD, ".new"))
            ]
        return len(sizes), sum(sizes)

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

    @staticmethod
    def _copy(directory: int, held: str, source: int) -> None:
        target = os.open(held + ".new", _NEW, 0o600, dir_fd=directory)
        try:
            copy_range(source, target, 0, os.fstat(source).st_size)
            os.fsync(target)
            os.rename(held + ".new", held, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            with suppress(OSError):
                os.unlink(held + ".new", dir_fd=directory)
            raise
        finally:
            os.close(target)


def _is_told(each: Field[Any], data: dict[str, Any]) -> bool:
    """Return whether a field is in a record; those that came later need not be."""
    return each.name in data or each.default is MISSING


class Custodian:
    """The custody of one upload of *origin* to *path*, which was to lie at *real*, in *quarantine*."""

    def __init__(self, quarantine: Quarantine, origin: Origin, path: VirtualPath, real: VirtualPath) -> None:
        self._quarantine = quarantine
        self._origin = origin
        self._path = path
        self._real = real

    def take(self, refusal: Refusal, place: Place, fd: int, replaced: os.stat_result | None, /) -> bool:
        """See `Custody.take`."""
        record = Record(
            refusal.incident,
            time.time(),
            self._origin.owner,
            self._origin.host,
            self._origin.tree,
            str(self._path),
            str(self._real),
            refusal.bytes,
            refusal.sha256,
            refusal.verdict,
            refusal.engine,
            refusal.signatures,
            refusal.found,
            "" if replaced is None else replaced_by(replaced.st_mtime_ns),
        )
        try:
            self._quarantine.take(record, place, fd)
        except Full:
            refusal.not_kept = "the quarantine is full"
        except OSError as error:
            refusal.not_kept = errno.errorcode.get(error.errno or 0, "unknown errno")
        else:
            refusal.is_kept = True
        return refusal.is_kept


def replaced_by(modified_ns: int) -> str:
    """Return what tells the file that was there, changed at *modified_ns*, from one that came since."""
    return str(modified_ns)


def is_replaced(record: Record, modified_ns: int) -> bool:
    """Return whether the file of *record* was to replace the one that is there now, changed at *modified_ns*."""
    return replaced_by(modified_ns) in record.replaces.split()
