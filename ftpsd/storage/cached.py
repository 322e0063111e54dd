"""
Small files that the kernel holds in memory, read without waiting.

Handing a small download to a worker and back wakes two threads, a fifth of what the download costs. What is in the page
cache needs no worker: openat2 with RESOLVE_CACHED and preadv2 with RWF_NOWAIT answer at once or not at all. Only on
file systems of this machine, whose open() asks no other machine and no FUSE daemon; anything unusual, errors too, is
left to the ordinary way, which then says what it is.

RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS keep the walk in the jail, as `walk.py` does by hand.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import stat

from ftpsd.storage.base import CachedFile, StorageError
from ftpsd.storage.names import encode_name, is_reserved
from ftpsd.storage.source import READ_FILE
from ftpsd.wire.path import VirtualPath

_OPENAT2 = 437  # the same number on every architecture
_RESOLVE_NO_XDEV, _RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH, _RESOLVE_CACHED = 0x01, 0x04, 0x08, 0x20
# statfs(2): ext2 to ext4, XFS, Btrfs, tmpfs, F2FS, ZFS.
_NEAR = frozenset({0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0xF2F52010, 0x2FC12FC1})
_SIZE_OF_STATFS = 256

_libc = ctypes.CDLL(None, use_errno=True)


class _How(ctypes.Structure):
    """What openat2 is told."""

    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


_HOW = _How(READ_FILE, 0, _RESOLVE_NO_XDEV | _RESOLVE_NO_SYMLINKS | _RESOLVE_BENEATH | _RESOLVE_CACHED)
_syscall = getattr(_libc, "syscall", None) if hasattr(os, "RWF_NOWAIT") else None
if _syscall is not None:
    _syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(_How), ctypes.c_size_t)
    _syscall.restype = ctypes.c_long


def is_near(directory: int) -> bool:
    """Tell whether the open *directory* is on a file system that waits for nobody but the disk."""
    if _syscall is None:
        return False
    answer = ctypes.create_string_buffer(_SIZE_OF_STATFS)
    if _libc.fstatfs(directory, answer) != 0:
        return False
    kind = ctypes.c_long.from_buffer(answer).value & 0xFFFFFFFF
    return kind in _NEAR


def read_cached(root: int, path: VirtualPath, limit: int, *, digests: bool) -> CachedFile | None:
    """Return the regular file *path* below the directory *root*, if it has up to *limit* bytes, all of them cached."""
    try:
        if any(is_reserved(name) for name in path.parts):
            return None
        name = b"/".join([encode_name(name) for name in path.parts])
    except StorageError:
        return None
    assert _syscall is not None, "is_near said so"
    fd = _syscall(_OPENAT2, root, name, _HOW, ctypes.sizeof(_How))
    if fd < 0:
        return None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
            return None
        # One byte more, to see that it has not grown since.
        buffer = bytearray(status.st_size + 1)
        if _read(fd, buffer) != status.st_size:
            return None
    except OSError:
        return None
    finally:
        os.close(fd)
    content = bytes(memoryview(buffer)[:-1])
    return CachedFile(path, content, len(content), hashlib.sha256(content).hexdigest() if digests else None)


def _read(fd: int, buffer: bytearray) -> int:
    try:
        return os.preadv(fd, (buffer,), 0, os.RWF_NOWAIT)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
    # tmpfs knows no RWF_NOWAIT and has no disk. It may be swapped out, as any of our own variables may.
    return os.preadv(fd, (buffer,), 0)
