"""
Downloads: a regular file of the local file system, open for reading.

The file's own offset is not used (os.pread), so os.sendfile may use the same descriptor.
"""

from __future__ import annotations

import errno
import os
import stat

from ftpsd.storage.base import Kind, StorageError
from ftpsd.storage.disk.content import PLAIN, Content, Reading
from ftpsd.storage.disk.digest import StreamDigest, keep_digest, stored_digest
from ftpsd.storage.disk.walk import Place
from ftpsd.storage.errnos import from_oserror
from ftpsd.values.path import VirtualPath

# O_NONBLOCK: opening a FIFO must not wait for its other end, nor a file for another process's lease. It means nothing
# to a regular file.
READ_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY

# Below that the default readahead has the whole file after a few reads.
_ADVISE_ABOVE = 1 << 20


def require_regular(status: os.stat_result) -> None:
    """Raises: IS_A_DIRECTORY or NOT_REGULAR when *status* is not a plain file's."""
    if not stat.S_ISREG(status.st_mode):
        raise StorageError(Kind.IS_A_DIRECTORY if stat.S_ISDIR(status.st_mode) else Kind.NOT_REGULAR)


def require_writable(place: Place, status: os.stat_result) -> None:
    """
    Refuse to replace a file that its operator made read-only: a rename asks only the directory.

    *status* is that of the file at *place*; also root, who could write it, leaves it. Raises: DENIED.
    """
    if not stat.S_ISREG(status.st_mode) or (status.st_uid == os.geteuid() and status.st_mode & stat.S_IWUSR):
        return
    has_write = status.st_mode & stat.S_IWUSR and os.access(
        place.name, os.W_OK, dir_fd=place.fd, effective_ids=os.access in os.supports_effective_ids
    )
    if not has_write:
        raise StorageError(Kind.DENIED, why="the file is read-only")


class FileSource:
    """
    A regular file being sent.

    Its SHA-256 is known when it was kept with the file, or as soon as all of it has been read.
    """

    __slots__ = ("_can_send", "_content", "_digest", "_fd", "_offset", "_read", "_status", "path", "sha256", "size")

    def __init__(self, place: Place, offset: int, *, digests: bool = True, content: Content = PLAIN) -> None:
        """Open the file at *place*. Raises: OSError with ELOOP when it is a link."""
        self.sha256: str | None = None
        self._digest: StreamDigest | None = None
        self.path: VirtualPath = place.path
        self._read: Reading = _closed
        self._fd = os.open(place.name, READ_FILE, dir_fd=place.fd)
        try:
            status = os.fstat(self._fd)
            require_regular(status)
            self.size = content.length(status.st_size)
            if not 0 <= offset <= self.size:
                raise StorageError(Kind.BAD_OFFSET)
            if status.st_size > _ADVISE_ABOVE and hasattr(os, "posix_fadvise"):
                os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
            self._read = content.reading(self._fd)
        except BaseException:
            self.close()
            raise
        self._can_send = content.is_plain
        self._content = content
        self._offset = offset
        self._status = status
        if digests:
            self.sha256 = stored_digest(self._fd, status, content)
            if self.sha256 is None and offset == 0:
                self._digest = StreamDigest()

    @property
    def offset(self) -> int:
        """The offset of the next read; only a read moves it, or the digest would be of other bytes than the file's."""
        return self._offset

    @property
    def digests(self) -> bool:
        """Whether the digest is known, or will be when all of the file has been read."""
        return self.sha256 is not None or self._digest is not None

    def read_into(self, buffer: memoryview) -> int:
        """Fill *buffer* from the offset on."""
        try:
            count = self._read(buffer, self._offset)
        except OSError as error:
            raise from_oserror(error, self.path) from error
        self._offset += count
        if self._digest is not None:
            self._digest.update(buffer[:count])
            if self._offset >= self.size:
                self._keep_digest(self._digest)
        return count

    def fileno(self) -> int | None:
        """
        Return the descriptor; None while the digest is to be computed, and for bytes that lie otherwise on the disk.
        """
        return self._fd if self._can_send and self._digest is None else None

    def _keep_digest(self, digest: StreamDigest) -> None:
        """Keep the digest of the bytes read, if the file is still the one that was opened."""
        self._digest = None
        now, then = os.fstat(self._fd), self._status
        if self._offset == self.size and (now.st_size, now.st_mtime_ns) == (then.st_size, then.st_mtime_ns):
            self.sha256 = digest.hex()
            # A file written in place may have its old time again (MFMT). Its ctime cannot be set; another name, another
            # mode and another reader's digest change it too, and then it is computed once more some day.
            if now.st_ctime_ns == then.st_ctime_ns:
                keep_digest(self._fd, self.sha256, now, content=self._content)

    def close(self) -> None:
        """Close the file."""
        fd, self._fd = self._fd, -1
        self._read = _closed  # the number of the descriptor may soon be that of another file
        if fd >= 0:
            os.close(fd)


def _closed(_buffer: memoryview, _offset: int) -> int:
    raise OSError(errno.EBADF, os.strerror(errno.EBADF))


def set_time_of_file(place: Place, times: tuple[int, int], content: Content = PLAIN) -> bool:
    """Set the times (ns) of the file at *place*, and keep its digest valid; False when it cannot be opened."""
    try:
        fd = os.open(place.name, READ_FILE, dir_fd=place.fd)
    except PermissionError:
        return False
    try:
        status = os.fstat(fd)
        require_regular(status)
        digest = stored_digest(fd, status, content)
        os.utime(fd, ns=times)
        if digest is not None:
            # Where another session begins to write in place meanwhile, there is none any more, and none comes back.
            keep_digest(fd, digest, os.fstat(fd), only_again=True, content=content)
    finally:
        os.close(fd)
    return True
