"""
Direct uploads: written in place, visible as they grow.

An upload that the client leaves undone stays in the target. Two uploads to one name at once write over each other.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import replace

from ftpsd.storage.base import Kind, StorageError, Terms
from ftpsd.storage.disk.digest import StreamDigest, begin_to_write, end_to_write
from ftpsd.storage.disk.source import require_regular
from ftpsd.storage.disk.syscalls import turn, write_all
from ftpsd.storage.disk.walk import Place
from ftpsd.storage.errnos import from_oserror
from ftpsd.storage.quota.ledger import NO_LEDGER, Change, Ledger
from ftpsd.storage.retention.holding import require_free
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.trace import Trace

_WRITE = os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY
# Each retry means that the file came or went between two calls.
_ATTEMPTS = 16


def open_direct(place: Place, policy: UploadPolicy, terms: Terms, ledger: Ledger = NO_LEDGER) -> DirectSink:
    """Open an upload into the file at *place*, which the sink keeps."""
    if terms.over_same:  # bytes written in place are there before another look could come
        raise StorageError(Kind.UNSUPPORTED)
    start = None if terms.append else terms.offset
    with turn(place), ledger.change() as change:
        fd, is_new = _open(place, policy, terms, change)
        start = _prepare(fd, policy, start, is_new=is_new)
    policy = replace(policy, durable=True) if terms.durable else policy
    return DirectSink(place.keep(), policy, fd, start, ledger, is_append=terms.append, is_new=is_new)


def _prepare(fd: int, policy: UploadPolicy, start: int | None, *, is_new: bool) -> int:
    """Make the file ready for the byte at *start*, None for its end, which is returned; on failure close it."""
    try:
        if is_new:
            with suppress(PermissionError):  # vfat has no modes
                os.fchmod(fd, policy.file_mode)
        status = os.fstat(fd)
        require_regular(status)
        if not is_new and not status.st_mode & stat.S_IWUSR:  # root can write what its operator made read-only
            raise StorageError(Kind.DENIED)
        start = status.st_size if start is None else start
        if not 0 <= start <= status.st_size:
            raise StorageError(Kind.BAD_OFFSET)
        os.lseek(fd, start, os.SEEK_SET)
        return start
    except BaseException:
        os.close(fd)
        raise


def _open(place: Place, policy: UploadPolicy, terms: Terms, change: Change) -> tuple[int, bool]:
    """Return the descriptor and whether the file is new."""
    flags = _WRITE | (os.O_APPEND if terms.append else 0)
    is_allowed = False
    for _ in range(_ATTEMPTS):
        if terms.may_replace:
            try:
                fd = os.open(place.name, flags, dir_fd=place.fd)
            except FileNotFoundError:
                if not terms.may_create:
                    raise
            else:
                try:
                    require_free(policy.holding.on(place))
                except BaseException:
                    os.close(fd)
                    raise
                return fd, False
        elif not terms.may_create:
            raise StorageError(Kind.DENIED)
        if terms.offset and not terms.append:
            raise StorageError(Kind.BAD_OFFSET if place.lstat_or_none() is None else Kind.EXISTS)
        if not is_allowed:
            change.need_file()
            is_allowed = True
        try:
            fd = os.open(place.name, flags | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=place.fd)
        except FileExistsError:
            if not terms.may_replace:
                raise
        else:
            change.came(os.fstat(fd))
            return fd, True
    raise StorageError(Kind.BUSY)


class DirectSink:
    """An upload that is written in place."""

    __slots__ = (
        "_digest", "_fd", "_is_append", "_is_broken", "_is_new", "_ledger", "_mark", "_place", "_policy", "conversion",
        "is_hidden", "offset", "path", "sha256", "verdict",
    )  # fmt: skip

    def __init__(
        self,
        place: Place,
        policy: UploadPolicy,
        fd: int,
        offset: int,
        ledger: Ledger = NO_LEDGER,
        *,
        is_append: bool = False,
        is_new: bool,
    ) -> None:
        self._place = place
        self._policy = policy
        self._fd = fd
        self._ledger = ledger
        self._mark: bytes | None = None  # stands where a digest was, as soon as it has begun to write
        self._is_append = is_append
        self._is_new = is_new  # no file of that name was there at open
        self._is_broken = False  # see AtomicSink
        self.path = place.path
        self.offset = offset
        self.sha256: str | None = None
        self.conversion = None
        self.is_hidden = False
        self.verdict = None
        # A file written in place may be changed by others meanwhile; only the bytes of one writer keep their digest.
        self._digest = StreamDigest() if policy.digests and offset == 0 else None

    def write(self, data: memoryview) -> None:
        """Write all of *data*."""
        if self._is_broken:
            raise StorageError(Kind.IO, self.path)
        self._is_broken = True
        try:
            self._begin()
            if self._ledger is NO_LEDGER:
                write_all(self._fd, data)
            else:
                self._write_counted(data)
        except OSError as error:
            raise from_oserror(error, self.path) from error
        self._is_broken = False
        if self._digest is not None:
            self._digest.update(data)

    def _write_counted(self, data: memoryview) -> None:
        """Write as much of *data* as there is room for; in turn with every other change of that name."""
        with turn(self._place), self._ledger.change() as change:
            before = os.fstat(self._fd)
            if not before.st_nlink:
                # Deleted or replaced meanwhile. Its bytes would be on the disk, counted nowhere, and lost at the end.
                raise StorageError(Kind.NOT_FOUND, self.path)
            start = before.st_size if self._is_append else os.lseek(self._fd, 0, os.SEEK_CUR)
            growth = max(0, start + len(data) - before.st_size)
            missing = growth - change.need_bytes(growth)
            try:
                if len(data) > missing:
                    write_all(self._fd, data[: len(data) - missing])
            finally:
                change.resized(before, before.st_size, os.fstat(self._fd).st_size)
        if missing:
            raise StorageError(Kind.QUOTA, self.path)

    def prepare(self) -> bool:
        """Nothing takes long."""
        return True

    def trace(self) -> Trace:
        """Return the trace of the file, which is there already."""
        try:
            self._begin()
            sha256 = None if self._digest is None else self._digest.hex()
            return self._place.trace(os.fstat(self._fd), sha256=sha256)
        except OSError as error:
            raise from_oserror(error, self.path) from error

    def commit(self) -> None:
        """Bring file and name to the disk."""
        if self._fd < 0 or self._is_broken:
            self.abort()
            raise StorageError(Kind.IO, self.path)
        try:
            mark = self._begin()
            if self._digest is not None:
                digest = self._digest.hex()
                if end_to_write(self._fd, mark, digest):
                    self.sha256, self._mark = digest, None
            if self._policy.durable:
                os.fsync(self._fd)
                if self._is_new:
                    with suppress(PermissionError):  # a directory that may be written but not read
                        self._place.sync()
        except OSError as error:
            raise from_oserror(error, self.path) from error
        finally:
            self.abort()

    def abort(self) -> None:
        """Leave the file as it is."""
        fd, self._fd = self._fd, -1
        self._place.close()
        if fd >= 0:
            if self._mark is not None:
                with suppress(OSError):
                    end_to_write(fd, self._mark, None)
            os.close(fd)

    def _begin(self) -> bytes:
        """
        Cut off the bytes that the upload replaces, but not before it is really there: many a connection never comes.
        """
        if self._mark is not None:
            return self._mark
        if not self._is_new:
            require_free(self._policy.holding.on(self._place))
        mark = self._mark = begin_to_write(self._fd)
        with turn(self._place), self._ledger.change() as change:
            status = os.fstat(self._fd)
            if status.st_size > self.offset and not self._is_append:
                os.ftruncate(self._fd, self.offset)
                if status.st_nlink:  # else it was deleted meanwhile, and told of with all of its bytes
                    change.resized(status, status.st_size, self.offset)
        return mark
