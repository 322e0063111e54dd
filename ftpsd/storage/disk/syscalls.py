"""
System calls made whole: all the bytes are written or copied, a rename replaces only what it may, and a directory is
made with its mode.

`rename` replaces what it finds. Looking first leaves a gap; RENAME_NOREPLACE, or `link` where that is missing, leaves
none.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
import struct
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Lock

from ftpsd.storage.base import Kind, StorageError
from ftpsd.storage.disk.turns import REPLACING
from ftpsd.storage.disk.walk import Place

# One kernel call per this much, so that a copy of any size can be interrupted by the end of the process and shares
# the disk.
_COPY_CHUNK = 64 << 20
_READ_CHUNK = 1 << 20
# Not the same file system, not this kind of file, not this kernel, not through this container: read and write then.
_COPY_BY_HAND = frozenset(
    {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF, errno.ETXTBSY}
)

# ioctl_ficlonerange(2): Btrfs, XFS, bcachefs, OCFS2, NFS 4.2. copy_file_range shares as well, but says not whether.
_FICLONERANGE = 0x4020940D
# Bytes. A multiple of the block size of all of them.
_MOST_IN_A_BLOCK = 64 << 10

_RENAME_NOREPLACE = 1  # renameat2(2)
_NOT_SUPPORTED = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP})

# The umask is the process's, not the thread's. All other code that creates files sets their modes, and needs no umask.
_UMASK = Lock()

_renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # glibc 2.28; not on macOS
if _renameat2 is not None:
    _renameat2.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    _renameat2.restype = ctypes.c_int


def write_all(fd: int, data: memoryview | bytes) -> None:
    """Write all of *data* at the descriptor's own offset."""
    written = os.write(fd, data)
    while written < len(data):
        # A short write on a file is the last room of a disk or quota; the next one raises which.
        data = data[written:]
        written = os.write(fd, data)
        if not written:
            raise OSError(errno.EIO, "nothing written")


def copy_range(source: int, target: int, start: int, count: int) -> None:
    """
    Copy *count* bytes at *start* of *source* to the same place in *target*, sharing blocks where the file system can.

    Raises: BUSY when *source* has become shorter meanwhile.
    """
    end = start + count
    start += _share(source, target, start, count)
    while start < end:
        try:
            copied = os.copy_file_range(source, target, min(end - start, _COPY_CHUNK), start, start)
        except (OSError, AttributeError) as error:
            if isinstance(error, OSError) and error.errno not in _COPY_BY_HAND:
                raise
            copied = 0
        if not copied:
            _copy_by_hand(source, target, start, end)
            return
        start += copied


def _share(source: int, target: int, start: int, count: int) -> int:
    """Have *target* use the blocks of *source*, in one call however many there are; return how many bytes that did."""
    if start + count != os.fstat(source).st_size:
        count -= count % _MOST_IN_A_BLOCK  # but for the end of a file only whole blocks are shared
    if not count or start % _MOST_IN_A_BLOCK:
        return 0
    try:
        fcntl.ioctl(target, _FICLONERANGE, struct.pack("=qQQQ", source, start, count, start))
    except OSError:  # not here; the copy will raise any other fault
        return 0
    return count


def _copy_by_hand(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        chunk = os.pread(source, min(end - start, _READ_CHUNK), start)
        if not chunk:
            raise StorageError(Kind.BUSY)
        os.lseek(target, start, os.SEEK_SET)
        write_all(target, chunk)
        start += len(chunk)


def make_directory(place: Place, mode: int) -> None:
    """
    Make a directory with the permission bits *mode*, whatever the process's umask.

    In a set-group-id directory the kernel hands group and bit down. A chmod would have to repeat that bit, which
    systemd's RestrictSUIDSGID= refuses, or take it away. So there the directory is made with the right mode at once.
    """
    if os.fstat(place.fd).st_mode & stat.S_ISGID:
        with _UMASK:
            before = os.umask(0)
            try:
                os.mkdir(place.name, mode, dir_fd=place.fd)
            finally:
                os.umask(before)
    else:
        os.mkdir(place.name, mode, dir_fd=place.fd)


def sync_directory(directory: Path) -> None:
    """Have the names in *directory*, which no client can reach, on the disk. Raises: OSError."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_name(place: Place) -> None:
    """Make a change of the name *place* survive a power cut."""
    try:
        place.sync()
    except PermissionError:
        # A directory that may be written but not read cannot be opened for that. A rename changes the inode of the
        # renamed file too, and the journals of ext4 and XFS bring both to the disk or neither.
        try:
            fd = os.open(place.name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.fd)
        except OSError:  # a link, or not readable either
            return
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def turn(place: Place) -> AbstractContextManager[object]:
    """Return the lock under which the name *place* is looked at and then replaced; a turn is a few system calls."""
    return REPLACING.of(place.name, place.fd)


def turns(first: Place, second: Place) -> AbstractContextManager[None]:
    """Hold the turns of two names, which may be the same or share a lock."""
    return REPLACING.of_both((first.name, first.fd), (second.name, second.fd))


def rename_to_new(old: Place, new: Place) -> None:
    """Rename *old* to *new*. Raises: FileExistsError when there is anything at *new*, which then stays as it is."""
    if _renameat2 is not None:
        if _renameat2(old.fd, old.name, new.fd, new.name, _RENAME_NOREPLACE) == 0:
            return
        number = ctypes.get_errno()
        if number not in _NOT_SUPPORTED:
            raise OSError(number, os.strerror(number))
    rename_by_link(old, new)


def rename_by_link(old: Place, new: Place) -> None:
    """Do the same where the call is missing, with two names for a moment: a crash between the calls leaves both."""
    if not stat.S_ISDIR(old.lstat().st_mode):
        os.link(old.name, new.name, src_dir_fd=old.fd, dst_dir_fd=new.fd, follow_symlinks=False)
        os.unlink(old.name, dir_fd=old.fd)
        return
    # A directory cannot be linked. It can replace nothing but an empty directory either, so this gap loses no file.
    try:
        new.lstat()
    except FileNotFoundError:
        os.rename(old.name, new.name, src_dir_fd=old.fd, dst_dir_fd=new.fd)
    else:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
