"""
The files of data keys: one for each, in a directory of their own and, where the operator names one, in a second one.

    <id>.key         the data key, wrapped by a master key, and the directory whose files it opens
    <id>.destroyed   a tombstone: that data key was destroyed on purpose
    register         the id of every data key there ever was, a line each, so that one which is lost is missed
    .new-<id>.key    a data key on its way, there before its id is registered; nothing is sealed with it yet

The directories are the only places that have these keys. A key is on the disk, in both, before the first file is sealed
with it. Everything here blocks.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from ftpsd.storage.disk.syscalls import sync_directory

FILE_MODE: Final = 0o600
_KEY: Final = re.compile(r"([0-9a-f]{32})\.key")
_NEW: Final = ".new-"
_NEW_KEY: Final = re.compile(r"\.new-([0-9a-f]{32})\.key")
_TOMB: Final = re.compile(r"([0-9a-f]{32})\.destroyed")
REGISTER: Final = "register"
_LOCK: Final = ".lock"
# Far more than a file of a data key has.
_MOST: Final = 16 << 10


class KeyFileError(Exception):
    """A file of a data key that cannot be used; the text is for the operator."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """The contents of one file, as hexadecimal and plain text."""

    id: str
    holder: str
    keys: str
    master: str
    created: int
    wrapped: str

    @property
    def bound(self) -> bytes:
        """The bytes that the wrapped key is bound to."""
        return "\0".join((self.id, self.holder, self.keys, self.master)).encode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A data key that was destroyed."""

    id: str
    holder: str
    destroyed: int
    by: str


class KeyFiles:
    """The files in *directory* and in *copy*, None for no second one."""

    def __init__(self, directory: Path, copy: Path | None = None) -> None:
        self.directories = (directory,) if copy is None else (directory, copy)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from adding or removing keys meanwhile."""
        fd = os.open(self.directories[0] / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
        try:
            self._give(fd, self.directories[0])
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    @property
    def is_begun(self) -> bool:
        """Whether there ever was a data key here."""
        return any((directory / REGISTER).exists() for directory in self.directories)

    def names(self) -> list[str]:
        """Return the ids of the keys that are there, in either directory."""
        return sorted(self._found(_KEY))

    def tombs(self) -> set[str]:
        """Return the ids of the keys that were destroyed."""
        return self._found(_TOMB)

    def registered(self) -> set[str]:
        """Return the ids of all keys that there ever were, but those that a death left on their way."""
        found: set[str] = set()
        for directory in self.directories:
            with suppress(FileNotFoundError):
                found |= set((directory / REGISTER).read_text("ascii", "replace").split())
        return found - (self._found(_NEW_KEY) - self._found(_KEY))

    def read(self, number: str) -> KeyRecord | None:
        """Return the key with the id *number*, None where it is lost. Raises: KeyFileError, OSError."""
        for directory in self.directories:
            text = _text(directory / f"{number}.key")
            if text is not None:
                return _parsed(text, directory / f"{number}.key")
        return None

    def state(self, number: str) -> tuple[int, int] | None:
        """Return what differs when the file of a key is another one; None where the first directory has none."""
        try:
            status = os.stat(self.directories[0] / f"{number}.key")
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    def tomb(self, number: str) -> Tombstone | None:
        """Return the tombstone of a destroyed key."""
        for directory in self.directories:
            text = _text(directory / f"{number}.destroyed")
            if text is not None:
                with suppress(ValueError, TypeError):
                    return Tombstone(**json.loads(text))
                return Tombstone(number, "?", 0, "?")
        return None

    def add(self, record: KeyRecord) -> None:
        """Keep *record*; when this returns, it is on the disk, in every directory. Raises: OSError."""
        name = f"{record.id}.key"
        for directory in self.directories:
            self._begin(directory, name, json.dumps(asdict(record)))
            sync_directory(directory)
        for directory in self.directories:
            self._register(directory, record.id)
        for directory in reversed(self.directories):
            self._end(directory, name)

    def repair(self) -> list[str]:
        """Bring what one of the directories has lost back from the other; return the ids of those keys."""
        repaired: list[str] = []
        if len(self.directories) < 2:
            return repaired
        tombs = self.tombs()
        first, second = self.directories
        for source, target in ((second, first), (first, second)):
            for name in _listed(source):
                match = _KEY.fullmatch(name)
                is_alive = match is not None and match[1] not in tombs
                if (is_alive or _TOMB.fullmatch(name)) and not (target / name).exists():
                    text = _text(source / name)
                    if text is not None:
                        self._write(target, name, text)
                        repaired.append(name)
            missing = self.registered() - set((_text(target / REGISTER) or "").split())
            for number in sorted(missing):
                self._register(target, number)
        return repaired

    def destroy(self, record: KeyRecord, by: str) -> None:
        """
        Destroy a key, in every directory.

        The tombstones come first: from then on nobody opens it, and after a crash `finish_destroying` does the rest.
        """
        tomb = json.dumps(asdict(Tombstone(record.id, record.holder, int(time.time()), by)))
        for directory in self.directories:
            self._write(directory, f"{record.id}.destroyed", tomb)
        self.finish_destroying()

    def finish_destroying(self) -> int:
        """Remove the files of keys that have a tombstone; return how many there were."""
        count = 0
        for number in self.tombs():
            for directory in self.directories:
                count += _erase(directory / f"{number}.key")
        return count

    def _found(self, pattern: re.Pattern[str]) -> set[str]:
        matches = (pattern.fullmatch(name) for directory in self.directories for name in _listed(directory))
        return {match[1] for match in matches if match is not None}

    def _register(self, directory: Path, number: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(directory / REGISTER, flags, FILE_MODE)
        try:
            self._give(fd, directory)
            os.write(fd, f"{number}\n".encode())
            os.fsync(fd)
        finally:
            os.close(fd)

    def _write(self, directory: Path, name: str, text: str) -> None:
        self._begin(directory, name, text)
        self._end(directory, name)

    def _begin(self, directory: Path, name: str, text: str) -> None:
        new = directory / (_NEW + name)
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
        try:
            self._give(fd, directory)
            os.write(fd, text.encode("utf-8", "surrogateescape"))
            os.fsync(fd)
        finally:
            os.close(fd)

    @staticmethod
    def _end(directory: Path, name: str) -> None:
        os.rename(directory / (_NEW + name), directory / name)
        sync_directory(directory)

    @staticmethod
    def _give(fd: int, directory: Path) -> None:
        """Give a file that root makes, from the command line, to the owner of the directory: the daemon's user."""
        if os.geteuid() == 0:
            status = os.stat(directory)
            os.fchown(fd, status.st_uid, status.st_gid)


def _listed(directory: Path) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except FileNotFoundError:
        return []


def _text(path: Path) -> str | None:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as stream:
            return stream.read(_MOST).decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None


def _parsed(text: str, path: Path) -> KeyRecord:
    try:
        record = KeyRecord(**json.loads(text))
        texts = (record.id, record.holder, record.keys, record.master)
        is_whole = all(isinstance(each, str) for each in texts) and isinstance(record.created, int)
        bytes.fromhex(record.wrapped), bytes.fromhex(record.master), bytes.fromhex(record.id)
    except (ValueError, TypeError):
        is_whole = False
    if not is_whole:
        raise KeyFileError(f"{path} is damaged; bring it back from a backup")
    return record


def _erase(path: Path) -> bool:
    """Overwrite and remove *path*; False where there is none."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # In place where the file system writes in place. The pages of an SSD may keep the old bytes for a while.
        os.pwrite(fd, bytes(os.fstat(fd).st_size), 0)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.unlink(path)
    sync_directory(path.parent)
    return True
