"""
Descents: a whole tree by descriptors, however deep it is and however long its paths are.

* No path is put together. Each directory is opened below the one it is in, and no link is followed.
* The innermost `MOST_OPEN` directories are open. Those above them have been read to their end, and are opened again on
  the way back, as the `..` of the directory below, if that still is the same directory. Kept are some words for each
  level, and the names of the directories that are still to be entered.
* Entries that could not be looked at are reported: a count without them would be wrong. Directories of other accounts
  that this process may not search, such as lost+found, are left out: no client has put anything there, and none can.
* Files come and go meanwhile. A directory that is moved may be passed by, or seen twice.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from ftpsd.storage.disk.walk import O_PATH

# Two descriptors each: the directory, and the one of os.scandir.
MOST_OPEN = 16
# Characters of the path of an entry that could not be looked at.
_LONGEST_PATH = 200

_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LOOK = O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Removed, or replaced by something else, since its name was read.
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


@dataclass(frozen=True, slots=True)
class Found:
    """An entry of the open directory *directory*, which has the number *inside*."""

    directory: int
    inside: tuple[int, int]
    entry: os.DirEntry[str]


@dataclass(slots=True)
class _Level:
    """One directory on the way from the top to where the descent is."""

    name: str
    fd: int
    identity: tuple[int, int]
    scan: os._ScandirIterator[str] | None  # what is still to be read of it
    waiting: list[str] = field(default_factory=list)  # directories that were read and are still to be entered

    def close(self) -> None:
        """Close it; idempotent."""
        if self.scan is not None:
            self.scan.close()
            self.scan = None
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


class Descent:
    """One descent through *directory*."""

    def __init__(self, directory: bytes) -> None:
        self.unseen: str | None = None  # the first that could not be looked at
        self._directory = directory
        self._levels: list[_Level] = []

    def __iter__(self) -> Iterator[Found]:
        """Yield all entries of the tree; use each at once. Raises: OSError for the top alone."""
        levels = self._levels = [_level("", os.open(os.path.realpath(self._directory), _ENTER))]
        try:
            while levels:
                level = levels[-1]
                if level.waiting:
                    self._enter(level, level.waiting.pop())
                    if len(levels) > MOST_OPEN and (outer := levels[-1 - MOST_OPEN]).fd >= 0:
                        yield from self._rest_of(outer)
                        outer.close()
                elif (found := self._next(level)) is not None:
                    yield found
                    _note(level, found.entry)
                else:
                    self._leave()
        finally:
            for level in levels:
                level.close()

    def place_of(self, found: Found) -> tuple[str, ...]:
        """Return the names from the top to *found*, which has just been yielded."""
        for number, level in enumerate(self._levels):
            if level.fd == found.directory:
                return (*(each.name for each in self._levels[1 : number + 1]), found.entry.name)
        raise LookupError("the descent is elsewhere")

    def miss(self, name: str) -> None:
        """Take down that *name*, in a directory where the descent is, could not be looked at."""
        if self.unseen is None:
            path = "/".join([*(level.name for level in self._levels[1:]), name])
            self.unseen = path if len(path) <= _LONGEST_PATH else f"{path[:_LONGEST_PATH]}..."

    def _rest_of(self, level: _Level) -> Iterator[Found]:
        """Yield all that is still to be read of *level*."""
        while (found := self._next(level)) is not None:
            yield found
            _note(level, found.entry)

    def _next(self, level: _Level) -> Found | None:
        if level.scan is not None:
            try:
                return Found(level.fd, level.identity, next(level.scan))
            except StopIteration:
                pass
            except OSError as error:
                if error.errno not in _GONE:
                    self.miss(".")
            level.scan = None
        return None

    def _enter(self, level: _Level, name: str) -> None:
        try:
            fd = os.open(name, _ENTER, dir_fd=level.fd)
            below = _level(name, fd)
        except OSError as error:
            is_gone = error.errno in _GONE or (error.errno == errno.EACCES and _is_out_of_reach(level.fd, name))
            if not is_gone:
                self.miss(name)
            return
        self._levels.append(below)

    def _leave(self) -> None:
        """Go back to the directory above, which is opened again where it is not open."""
        level = self._levels.pop()
        try:
            if self._levels and (above := self._levels[-1]).fd < 0 and not _open_again(above, level.fd):
                # Moved while we were in it: what is still to be entered up there cannot be found any more.
                self.miss("..")
                self._levels.clear()
        finally:
            level.close()


def _note(level: _Level, entry: os.DirEntry[str]) -> None:
    """Note *entry* when it is a directory."""
    try:
        if entry.is_dir(follow_symlinks=False):
            level.waiting.append(entry.name)
    except OSError:  # where the file system tells no types: the caller's own look has told what is wrong
        pass


def _open_again(level: _Level, below: int) -> bool:
    """Open *level*, which the open directory *below* was in; False when it is there no more."""
    try:
        fd = os.open("..", _ENTER, dir_fd=below)
    except OSError:
        return False
    if _identity(os.fstat(fd)) != level.identity:
        os.close(fd)
        return False
    level.fd = fd
    return True


def _level(name: str, fd: int) -> _Level:
    """Return the open directory *fd*, which is closed on failure. Raises: EACCES also when it cannot be searched."""
    try:
        status = os.fstat(fd)
        if status.st_uid != os.geteuid():
            os.stat(".", dir_fd=fd)
        return _Level(name, fd, _identity(status), os.scandir(fd))
    except BaseException:
        os.close(fd)
        raise


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _is_out_of_reach(directory: int, name: str) -> bool:
    """Return whether the directory *name* is another account's and cannot be searched."""
    try:
        fd = os.open(name, _LOOK, dir_fd=directory)
    except OSError:
        return False
    try:
        if os.fstat(fd).st_uid == os.geteuid():
            return False  # a client may make it accessible again
        os.stat(".", dir_fd=fd)
    except PermissionError:
        return True
    finally:
        os.close(fd)
    return False
