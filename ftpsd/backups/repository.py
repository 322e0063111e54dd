"""
Where backups are: objects by their SHA-256, each once, and a list for each backup. Here: a directory of this machine.

    objects/ab/abcd…    backups/20261201T013000Z-250134.jsonl

Both come into being by a rename, when they are whole and on the disk. The directory is its owner's alone.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from ftpsd.backups.manifest import Damaged

CHUNK: Final = 1 << 20
SUFFIX: Final = ".jsonl"
NAME: Final = re.compile(r"\d{8}T\d{6}Z-\d{6}")
DAMAGED: Final = ".damaged"
DIGEST: Final = re.compile(r"[0-9a-f]{64}")


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
        with open(self.directory / "lock", "ab") as lock:
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
        return sorted(name for name in found if NAME.fullmatch(name))

    def has(self, digest: str, size: int) -> bool:
        """See `Repository`."""
        try:
            return self._object(digest).stat().st_size == size
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
            file = open(self._object(digest), "rb")  # noqa: SIM115
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
            with open(self.directory / "backups" / (name + SUFFIX), "rb") as file:
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
