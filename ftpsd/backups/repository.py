"""
Where backups are: objects by their SHA-256, each once, and a list for each backup. Here: a directory of this machine.

    objects/ab/abcd…    backups/20261201T013000Z-250134.jsonl

Both come into being by a rename, when they are whole and on the disk. The directory is its owner's alone.
"""

from __future__ import annotations

import calendar
import errno
import fcntl
import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from ftpsd.backups.manifest import Damaged

CHUNK: Final = 1 << 20
SUFFIX: Final = ".jsonl"
_NAME: Final = re.compile(r"\d{8}T\d{6}Z-\d{6}")
DAMAGED: Final = ".damaged"
DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_MOMENT: Final = "%Y%m%dT%H%M%SZ"
_MICRO: Final = 1_000_000


class Busy(Exception):
    """Another backup is being made there."""


class Repository(Protocol):
    """A place of backups; *scratch* is where a file is copied before it is stored, None: where temporary files are."""

    scratch: Path | None

    def names(self) -> list[str]:
        """Return the names of the backups that are whole, the oldest first."""

    def has(self, digest: str, size: int) -> bool:
        """Return whether the object is there."""

    def store(self, file: BinaryIO, digest: str, size: int) -> None:
        """Store the bytes of *file*, which is a whole copy of the object."""

    def fetch(self, digest: str, into: BinaryIO) -> int:
        """Write an object to *into*, return its size. Raises: Damaged where it is missing or not the one it was."""

    def publish(self, name: str, list: BinaryIO) -> None:
        """Store the *list* of a backup: it is there from now on."""

    def manifest(self, name: str, into: BinaryIO) -> None:
        """Write the list of a backup to *into*. Raises: Damaged."""

    def remove(self, name: str) -> None:
        """Remove the list of a backup."""

    def objects(self) -> Iterator[str]:
        """Return the digests of all objects."""

    def drop(self, digest: str) -> None:
        """Remove an object."""

    def put_aside(self, digest: str) -> None:
        """Give an object, where there is one, a name under which it is none any more: it is damaged."""


def name_at(moment: float) -> str:
    """Return the name of a backup that is made at the Unix time *moment*."""
    return _name(int(moment), int(moment % 1 * _MICRO))


def is_name(text: str) -> bool:
    """Return whether a backup can be called *text*: others may put there what they like."""
    if not _NAME.fullmatch(text):
        return False
    try:
        moment_of(text)
    except ValueError:
        return False
    return True


def moment_of(name: str) -> float:
    """Return the Unix time that *name*, which a repository has, stands for."""
    whole, _, micro = name.partition("-")
    return calendar.timegm(time.strptime(whole, _MOMENT)) + int(micro) / _MICRO


def name_behind(last: str, moment: float) -> str:
    """
    Return the name of a backup that is made at *moment* behind that called *last* ("": none).

    Names are in the order of the backups, also where the clock was ahead when the last one was made.
    """
    name = name_at(moment)
    if name > last:
        return name
    whole, _, micro = last.partition("-")
    more, rest = divmod(int(micro) + 1, _MICRO)
    return _name(calendar.timegm(time.strptime(whole, _MOMENT)) + more, rest)


def _name(seconds: int, micro: int) -> str:
    return f"{time.strftime(_MOMENT, time.gmtime(seconds))}-{micro:06d}"


class DirectoryRepository:
    """The repository in *directory*."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.scratch: Path | None = directory

    def make(self) -> None:
        """Make what is missing. Raises: OSError."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("objects", "backups"):
            (self.directory / name).mkdir(mode=0o700, exist_ok=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep others from making or removing backups meanwhile. Raises: Busy."""
        with open(self.directory / "lock", "ab", opener=_without_wait) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy(f"another backup is being made in {self.directory}") from None
            # Left by a crash.
            for left in self.directory.glob("*.tmp"):
                with suppress(OSError):
                    left.unlink()
            yield

    def names(self) -> list[str]:
        """See `Repository`."""
        found = (path.name.removesuffix(SUFFIX) for path in (self.directory / "backups").glob(f"*{SUFFIX}"))
        return sorted(name for name in found if is_name(name))

    def has(self, digest: str, size: int) -> bool:
        """See `Repository`."""
        try:
            found = self._object(digest).stat()
            return stat.S_ISREG(found.st_mode) and found.st_size == size
        except OSError:
            return False

    def store(self, file: BinaryIO, digest: str, size: int) -> None:
        """See `Repository`."""
        place = self._object(digest)
        place.parent.mkdir(mode=0o700, exist_ok=True)
        self._write(file, place)

    def fetch(self, digest: str, into: BinaryIO) -> int:
        """See `Repository`."""
        total, size = hashlib.sha256(), 0
        try:
            file = _plain(self._object(digest), f"the object {digest}")
        except FileNotFoundError:
            raise Damaged(f"the object {digest} is missing") from None
        with file:
            while piece := _read(file, digest):
                total.update(piece)
                into.write(piece)
                size += len(piece)
        if total.hexdigest() != digest:
            raise Damaged(f"the object {digest} was changed")
        return size

    def publish(self, name: str, list: BinaryIO) -> None:
        """See `Repository`."""
        self._write(list, self.directory / "backups" / (name + SUFFIX))

    def manifest(self, name: str, into: BinaryIO) -> None:
        """See `Repository`."""
        try:
            with _plain(self.directory / "backups" / (name + SUFFIX), f"the list of {name}") as file:
                shutil.copyfileobj(file, into, CHUNK)
        except FileNotFoundError:
            raise Damaged(f"there is no backup {name}") from None

    def remove(self, name: str) -> None:
        """See `Repository`."""
        (self.directory / "backups" / (name + SUFFIX)).unlink()

    def objects(self) -> Iterator[str]:
        """See `Repository`."""
        for path in (self.directory / "objects").glob("??/*"):
            if DIGEST.fullmatch(path.name):
                yield path.name

    def drop(self, digest: str) -> None:
        """See `Repository`."""
        self._object(digest).unlink()

    def put_aside(self, digest: str) -> None:
        """See `Repository`."""
        place = self._object(digest)
        with suppress(FileNotFoundError):
            os.rename(place, place.with_name(digest + DAMAGED))

    def _object(self, digest: str) -> Path:
        return self.directory / "objects" / digest[:2] / digest

    def _write(self, file: BinaryIO, place: Path) -> None:
        with tempfile.NamedTemporaryFile(dir=self.directory, suffix=".tmp", delete=False) as made:
            try:
                file.seek(0)
                shutil.copyfileobj(file, made, CHUNK)
                made.flush()
                os.fsync(made.fileno())
                os.rename(made.name, place)
            except BaseException:
                with suppress(OSError):
                    os.unlink(made.name)
                raise
        sync(place.parent)


def _plain(path: Path, what: str) -> BinaryIO:
    """Open a plain file. Raises: Damaged where it is none, such as a pipe, on which a reader would wait forever."""
    file = open(path, "rb", opener=_without_wait)  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise Damaged(f"{what} is no plain file")
    return file


def _without_wait(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK, 0o600)


def _read(file: BinaryIO, digest: str) -> bytes:
    try:
        return file.read(CHUNK)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise Damaged(f"the object {digest} cannot be read from the disk any more") from None


def sync(directory: Path) -> None:
    """Have the names in *directory* on the disk."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
