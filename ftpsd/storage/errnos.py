"""The kind of failure that an errno of the file system is."""

from __future__ import annotations

import errno

from ftpsd.storage.base import Kind, StorageError
from ftpsd.values.path import VirtualPath

# An errno that is not named here is IO: also ESTALE, which must not read "No such file", or a mirroring client would
# delete its own copy because our file server restarted.
_KINDS = {
    errno.ENOENT: Kind.NOT_FOUND,
    errno.EEXIST: Kind.EXISTS,
    errno.EACCES: Kind.DENIED,
    errno.EPERM: Kind.DENIED,
    errno.ENOTDIR: Kind.NOT_A_DIRECTORY,
    errno.EISDIR: Kind.IS_A_DIRECTORY,
    errno.ENOTEMPTY: Kind.NOT_EMPTY,
    errno.ENOSPC: Kind.NO_SPACE,
    errno.EDQUOT: Kind.QUOTA,
    errno.EFBIG: Kind.QUOTA,  # RLIMIT_FSIZE or the file system's largest file: space is left, but not for this file
    errno.ENAMETOOLONG: Kind.BAD_NAME,
    errno.EILSEQ: Kind.BAD_NAME,
    errno.EINVAL: Kind.BAD_NAME,  # vfat's forbidden characters, a directory renamed into itself
    errno.ENXIO: Kind.NOT_REGULAR,  # a socket, or a FIFO without a reader
    errno.ENODEV: Kind.NOT_REGULAR,
    errno.ESPIPE: Kind.NOT_REGULAR,
    errno.EROFS: Kind.READ_ONLY,
    errno.EBUSY: Kind.BUSY,
    errno.ETXTBSY: Kind.BUSY,
    errno.EAGAIN: Kind.BUSY,
    errno.EDEADLK: Kind.BUSY,
    errno.ENOLCK: Kind.BUSY,
    errno.EMFILE: Kind.BUSY,
    errno.ENFILE: Kind.BUSY,
    errno.ENOMEM: Kind.BUSY,
    errno.ENOBUFS: Kind.BUSY,
    errno.ELOOP: Kind.TOO_MANY_LINKS,
    errno.EMLINK: Kind.TOO_MANY_LINKS,
    errno.EXDEV: Kind.OTHER_TREE,
    errno.ENOSYS: Kind.UNSUPPORTED,
    errno.EOPNOTSUPP: Kind.UNSUPPORTED,
    errno.ENOTSUP: Kind.UNSUPPORTED,
    errno.ENOTTY: Kind.UNSUPPORTED,
}


def from_oserror(error: OSError, path: VirtualPath | None = None) -> StorageError:
    """Return the StorageError that stands for *error*."""
    return StorageError(_KINDS.get(error.errno or 0, Kind.IO), path, error)
