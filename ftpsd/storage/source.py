"""
Downloads: a regular file of the local file system, open for reading.

The file's own offset is not used (os.pread), so os.sendfile may use the same descriptor.
"""

from __future__ import annotations

import os
import stat

from ftpsd.storage.base import Kind, StorageError, from_oserror
from ftpsd.storage.walk import Place
from ftpsd.wire.path import VirtualPath

# O_NONBLOCK: opening a FIFO must not wait for its other end, nor a file for somebody's lease. It means nothing to a
# regular file.
READ_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY

# Below that the default readahead has the whole file after a few reads.
_ADVISE_ABOVE = 1 << 20


def require_regular(status: os.stat_result) -> None:
    """Raises: IS_A_DIRECTORY or NOT_REGULAR when *status* is not a plain file's."""
    if not stat.S_ISREG(status.st_mode):
        raise StorageError(Kind.IS_A_DIRECTORY if stat.S_ISDIR(status.st_mode) else Kind.NOT_REGULAR)


class FileSource:
    """A regular file being sent."""

    __slots__ = ("_fd", "offset", "path", "size")

    def __init__(self, place: Place, offset: int) -> None:
        """Open the file at *place*. Raises: OSError with ELOOP when it is a link."""
        self.path: VirtualPath = place.path
        self._fd = os.open(place.name, READ_FILE, dir_fd=place.fd)
        try:
            status = os.fstat(self._fd)
            require_regular(status)
            if not 0 <= offset <= status.st_size:
                raise StorageError(Kind.BAD_OFFSET)
            if status.st_size > _ADVISE_ABOVE and hasattr(os, "posix_fadvise"):
                os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        except BaseException:
            self.close()
            raise
        self.size = status.st_size
        self.offset = offset

    def read_into(self, buffer: memoryview) -> int:
        """Fill *buffer* from the offset on."""
        try:
            count = os.preadv(self._fd, (buffer,), self.offset)
        except OSError as error:
            raise from_oserror(error, self.path) from error
        self.offset += count
        return count

    def fileno(self) -> int | None:
        """Return the descriptor."""
        return self._fd

    def close(self) -> None:
        """Close the file."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
