"""
openat2(2) with RESOLVE_CACHED: open a file that the kernel holds in memory, at once or not at all.

Only on file systems of this machine, whose open() asks no other machine and no FUSE daemon.
"""

from __future__ import annotations

import ctypes
import os

_OPENAT2 = 437  # the same number on every architecture
_AT_FDCWD = -100
_RESOLVE_NO_XDEV, _RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH, _RESOLVE_CACHED = 0x01, 0x04, 0x08, 0x20
# statfs(2): ext2 to ext4, XFS, Btrfs, tmpfs, F2FS, ZFS.
_NEAR = frozenset({0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0xF2F52010, 0x2FC12FC1})
_SIZE_OF_STATFS = 256

_libc = ctypes.CDLL(None, use_errno=True)


class _How(ctypes.Structure):
    """The argument of openat2, struct open_how."""

    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


_syscall = getattr(_libc, "syscall", None) if hasattr(os, "RWF_NOWAIT") else None
if _syscall is not None:
    _syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(_How), ctypes.c_size_t)
    _syscall.restype = ctypes.c_long


def is_near(directory: int) -> bool:
    """Return whether the open *directory* is on a file system that waits only for the disk. May itself wait."""
    if _syscall is None:
        return False
    answer = ctypes.create_string_buffer(_SIZE_OF_STATFS)
    if _libc.fstatfs(directory, answer) != 0:
        return False
    kind = ctypes.c_long.from_buffer(answer).value & 0xFFFFFFFF
    return kind in _NEAR


def open_directory(path: bytes) -> int | None:
    """Open the directory *path*, for walking only, if nothing on the way has to be fetched; else None."""
    return _open(_AT_FDCWD, path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, _RESOLVE_CACHED)


def open_below(root: int, name: bytes, flags: int) -> int | None:
    """
    Open *name* below the open directory *root* if nothing has to be fetched; else, and for every error, None.

    RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS keep the walk in the jail, as `walk.py` does by hand.
    """
    resolve = _RESOLVE_NO_XDEV | _RESOLVE_NO_SYMLINKS | _RESOLVE_BENEATH | _RESOLVE_CACHED
    return _open(root, name, flags, resolve)


def _open(directory: int, name: bytes, flags: int, resolve: int) -> int | None:
    assert _syscall is not None, "is_near said so"
    fd: int = _syscall(_OPENAT2, directory, name, _How(flags, 0, resolve), ctypes.sizeof(_How))
    return None if fd < 0 else fd
