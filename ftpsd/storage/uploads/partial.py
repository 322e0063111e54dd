"""
Partials: the hidden files beside the target in which uploads grow.

* A partial is truncated, renamed or unlinked only by the holder of its flock, and only after a look that the name still
  means the locked file. The lock dies with the process, so after SIGKILL the partial is free to be resumed.
* The partial of an owner and a target has one name, made of both, so that the owner finds it again. While an upload is
  at work in it a further one takes a random name; such a partial cannot be found again and is only ever swept.
* A partial with a second hard link is never gone on with: it may be a file that was published when the power went.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import time
from contextlib import AbstractContextManager, suppress
from types import TracebackType

from ftpsd.storage.base import Kind, StorageError
from ftpsd.storage.disk.content import PLAIN, Content, Reading, Writing
from ftpsd.storage.disk.syscalls import rename_to_new
from ftpsd.storage.disk.turns import MAKING
from ftpsd.storage.disk.walk import Place
from ftpsd.storage.quota.ledger import NO_LEDGER, Change, Ledger
from ftpsd.storage.uploads.origin import keep_origin, stored_origin
from ftpsd.storage.uploads.unfinished import is_fresh, is_ours, owner_prefix, partial_name

# Something that is not a partial stands under its name.
_PLANTED = frozenset({errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.EACCES, errno.EPERM})
_OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
PARTIAL_MODE = 0o600
# Each retry means that another upload was published between our open and our lock.
_ATTEMPTS = 16


def claim_partial(
    target: Place, owner: str, ledger: Ledger = NO_LEDGER, *, beyond: int = 0, content: Content = PLAIN
) -> Partial | None:
    """
    Open or make, and lock, the partial that *owner* finds again; None while another upload holds it, or if it is
    unusable.

    *beyond* is how many files more than the quota allows a new one may make. Raises: QUOTA.
    """
    name = partial_name(owner, target.name)
    for _ in range(_ATTEMPTS):
        try:
            fd, is_new = _open_or_make(target, name, ledger, beyond)
        except (FileExistsError, FileNotFoundError):  # made or gone between two calls
            continue
        except OSError as error:
            if error.errno in _PLANTED:
                return None
            raise
        partial = Partial(target, name, fd, name, ledger, is_new=is_new, content=content)
        with partial:
            if not partial.lock():
                partial.close()
                return None
            status = os.fstat(fd)
            if partial.is_named(status):
                if is_ours(status):
                    partial.found = status
                    return partial
                if status.st_nlink == 1:
                    partial.close()
                    return None
                partial.unlink()  # the file keeps its other name
            partial.close()
    return None


def random_partial(
    target: Place, owner: str, ledger: Ledger = NO_LEDGER, *, beyond: int = 0, content: Content = PLAIN
) -> Partial:
    """Make and lock a partial that no owner finds again. Raises: QUOTA."""
    for _ in range(_ATTEMPTS):
        name = f"{owner_prefix(owner)}r{secrets.token_hex(16)}".encode()
        with _making(name, target):
            fd = _make(target, name, ledger, beyond)
        partial = Partial(target, name, fd, partial_name(owner, target.name), ledger, is_new=True, content=content)
        with partial:
            partial.lock()  # where locks are missing, its modification time still keeps the sweep off
            if partial.is_named(os.fstat(fd)):  # else the owner has removed the directory's leftovers in between
                return partial
            partial.close()
    raise StorageError(Kind.BUSY)


def _open_or_make(target: Place, name: bytes, ledger: Ledger, beyond: int) -> tuple[int, bool]:
    """Return the descriptor, and whether the file is new."""
    if ledger is NO_LEDGER:
        try:
            return os.open(name, _OPEN | os.O_CREAT | os.O_EXCL, PARTIAL_MODE, dir_fd=target.fd), True
        except FileExistsError:
            return os.open(name, _OPEN, dir_fd=target.fd), False
    with _making(name, target):
        try:
            return os.open(name, _OPEN, dir_fd=target.fd), False
        except FileNotFoundError:
            return _make(target, name, ledger, beyond), True


def _making(name: bytes, target: Place) -> AbstractContextManager[object]:
    """
    Return the lock under which *name* is made beside *target*, and reported.

    No upload may write in it, or remove it, in between.
    """
    return MAKING.of(name, target.fd)


def _make(target: Place, name: bytes, ledger: Ledger, beyond: int) -> int:
    with ledger.change() as change:
        change.need_file(beyond=beyond)
        fd = os.open(name, _OPEN | os.O_CREAT | os.O_EXCL, PARTIAL_MODE, dir_fd=target.fd)
        try:
            change.came(os.fstat(fd))
        except BaseException:
            os.close(fd)
            raise
        return fd


class Partial:
    """An unfinished upload that is being worked on; as a context it is closed when an error leaves that."""

    __slots__ = (
        "_content",
        "_is_whole",
        "_writing",
        "fd",
        "findable",
        "found",
        "is_new",
        "ledger",
        "lent",
        "on_loan",
        "place",
        "size",
    )

    def __init__(
        self,
        target: Place,
        name: bytes,
        fd: int,
        findable: bytes,
        ledger: Ledger = NO_LEDGER,
        *,
        is_new: bool = False,
        content: Content = PLAIN,
    ) -> None:
        self.place = Place(target.fd, name, target.path)  # the descriptor is the target's: never closed here
        self.fd = fd
        self.ledger = ledger
        self.is_new = is_new  # made by us just now: there is nothing in it and nothing kept with it
        # Its state when the lock was taken. It changes only through us from then on, so the kernel is not asked again:
        # each call of a worker is a struggle for the interpreter's lock, and of a small upload's 25 these were 5.
        self.found: os.stat_result | None = None
        self.findable = findable  # the name its owner looks for
        self.lent = 0  # bytes of it that do not count, for they are about to replace the same ones
        self.on_loan = 0  # how many bytes from its beginning on may be lent, as they are written
        self.size = 0  # bytes of its user; set by truncate() or fill(), one of which comes before write()
        self._content = content
        self._writing: Writing | None = None
        self._is_whole = False

    def lock(self) -> bool:
        """Take the lock, without waiting; return whether it was to be had."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def is_named(self, status: os.stat_result) -> bool:
        """Return whether its name still means this file, which is *status*; only then is the lock worth anything."""
        try:
            return os.path.samestat(self.place.lstat(), status)
        except FileNotFoundError:
            return False

    def hide(self, status: os.stat_result | None = None) -> None:
        """Take back the mode that an attempt to publish it gave it; *status* is its state now."""
        if (status or os.fstat(self.fd)).st_mode & 0o777 != PARTIAL_MODE:
            with suppress(PermissionError):  # vfat has no modes
                os.fchmod(self.fd, PARTIAL_MODE)

    def unlink(self) -> None:
        """Remove it; only ever called with the lock held."""
        with self.ledger.change() as change:
            status = os.fstat(self.fd)
            change.going(status)
            os.unlink(self.place.name, dir_fd=self.place.fd)
            change.went(status)
            self.take_back(change)

    def take_back(self, change: Change) -> None:
        """Let all of it count, or nothing of it any more; part of the change that makes it so."""
        lent, self.lent = self.lent, 0
        change.take_back(lent)

    def become_findable(self) -> bool:
        """Take the name its owner looks for, unless another partial has it; return whether it is findable now."""
        if self.place.name != self.findable:
            with self.ledger.change() as change:
                try:
                    rename_to_new(self.place, Place(self.place.fd, self.findable, self.place.path))
                except FileExistsError:
                    return False
                change.moved(os.fstat(self.fd))
        return True

    def resumable_size(self, origin: bytes | None, keep: float) -> int:
        """Return how many bytes of it an upload over *origin* can go on from, when partials are kept *keep* seconds."""
        status = os.fstat(self.fd)
        is_usable = status.st_size > 0 and is_fresh(status, keep) and stored_origin(self.fd) == origin
        return self._content.sound(self.fd, status) if is_usable else 0

    def reading(self) -> Reading:
        """Return its reader."""
        return self._content.growing(self.fd)

    def empty(self, origin: bytes | None) -> bool:
        """Make it one of an upload that begins with nothing over *origin*; return whether it was one with something."""
        was_over = None if self.is_new else stored_origin(self.fd)
        has_dropped = self.truncate(0) > 0 or was_over is not None
        if was_over != origin:
            self.begin_over(origin)
        return has_dropped

    def begin_over(self, origin: bytes | None) -> None:
        """Keep with it the identity of the file it is to replace; before the first byte, so that none is without."""
        keep_origin(self.fd, origin)

    def truncate(self, size: int) -> int:
        """
        Drop all bytes behind its first *size*; return how many it had.

        Only ever called with the lock held, before it is written.
        """
        with self.ledger.change() as change:
            before = self.found or os.fstat(self.fd)
            stored = self._content.stored(size)
            if before.st_size != stored:
                self._content.truncate(self.fd, size)
            change.resized(before, before.st_size, stored)
        self.found = None
        self.size, self._writing = size, None
        return self._content.length(before.st_size)

    def fill(self, source: int, count: int, *, is_loan: bool = False, growing: bool = False) -> None:
        """
        Make it the first *count* bytes of the descriptor *source*; it is empty.

        With *is_loan* it is about to replace *source*, and these bytes do not count twice until then. *growing* says
        that *source* is an upload that is not over. Raises: QUOTA.
        """
        with self.ledger.change() as change:
            stored = self._content.stored(count)
            is_loan = is_loan and change.may_lend(stored)
            if not is_loan and change.need_bytes(stored) < stored:
                raise StorageError(Kind.QUOTA)
            before = os.fstat(self.fd)
            try:
                self._content.copy(source, self.fd, count, growing=growing)
            finally:
                after = os.fstat(self.fd)
                self.size, self._writing = self._content.length(after.st_size), None
                change.resized(before, before.st_size, after.st_size)
                if is_loan:
                    change.lend(after.st_size)
                    self.lent = after.st_size

    def write(self, data: memoryview) -> None:
        """Write all of *data* behind its bytes. Raises: OSError, or QUOTA with as much written as there was room."""
        if self.ledger is NO_LEDGER:
            self._write(data)
            return
        with self.ledger.change() as change:
            before = os.fstat(self.fd)
            stored = self._content.stored
            growth = stored(self.size + len(data)) - before.st_size
            loan = min(growth, max(self.on_loan - before.st_size, 0))
            loan = loan if loan > 0 and change.may_lend(loan) else 0
            room = loan + change.need_bytes(growth - loan)
            granted = self._content.length(before.st_size + room) - self.size
            try:
                if granted > 0:
                    self._write(data[:granted])
            finally:
                grown = stored(self.size)
                change.resized(before, before.st_size, grown)
                change.lend(lent := min(grown - before.st_size, loan))
                self.lent += lent
        if granted < len(data):
            raise StorageError(Kind.QUOTA)

    def _write(self, data: memoryview) -> None:
        self._is_whole = False
        try:
            if self._writing is None:
                self._writing = self._content.writing(self.fd, self.size)
            self._writing(data)
        except OSError:
            with suppress(OSError):  # closed: then nothing was written
                self.size = self._content.length(os.fstat(self.fd).st_size)
            raise
        self.size += len(data)

    def finish(self) -> None:
        """
        Make it a whole file; all bytes are written. Once: what tells it from others is its state behind that.

        Raises: OSError, QUOTA.
        """
        if self._content.is_plain or self._is_whole:
            return
        with self.ledger.change() as change:
            before = os.fstat(self.fd)
            if not before.st_size and change.need_bytes(self._content.whole(0)) < self._content.whole(0):
                raise StorageError(Kind.QUOTA)
            self._content.finish(self.fd)
            change.resized(before, before.st_size, os.fstat(self.fd).st_size)
        self._is_whole = True

    @property
    def content(self) -> Content:
        """How its bytes lie on the disk."""
        return self._content

    def __enter__(self) -> Partial:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Let the lock go at once when an upload cannot be opened, and only then: its client may come back at once."""
        if kind is not None:
            self.close()

    def close(self) -> None:
        """Close the file, which lets the lock go; idempotent."""
        fd, self.fd = self.fd, -1
        self._writing = None
        if fd >= 0:
            os.close(fd)
        if self.lent:  # it was neither published nor removed
            with self.ledger.change() as change:
                self.take_back(change)

    def __del__(self) -> None:
        self.close()


def discard_partial(directory: Place, name: bytes, older_than: float = 0.0, *, ledger: Ledger = NO_LEDGER) -> bool:
    """Remove the partial *name* unless it is in use or changed within *older_than* seconds; return whether it went."""
    try:
        with _making(name, directory):
            fd = os.open(name, _OPEN, dir_fd=directory.fd)
    except OSError:  # gone, or not a file of ours
        return False
    partial = Partial(directory, name, fd, name, ledger)
    try:
        # Looked at before the lock is taken, for a lock held for a moment sends an upload elsewhere, and again with
        # it.
        if _is_idle(fd, older_than) and partial.lock() and partial.is_named(os.fstat(fd)) and _is_idle(fd, older_than):
            partial.unlink()
            return True
        return False
    except OSError:
        return False
    finally:
        partial.close()


def _is_idle(fd: int, seconds: float) -> bool:
    status = os.fstat(fd)
    return stat.S_ISREG(status.st_mode) and (seconds <= 0 or time.time() - status.st_mtime >= seconds)
