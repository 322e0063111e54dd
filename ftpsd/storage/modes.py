"""Permission bits: those of new directories, and those that a user changes."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from ftpsd.storage.disk.source import READ_FILE, require_regular
from ftpsd.storage.disk.walk import O_PATH, Place
from ftpsd.storage.uploads.sweep import OWNER_OF_DIRECTORY


def give_mode(place: Place, made: os.stat_result, mode: int) -> None:
    """Give the new directory *made* the bits that a umask took from it; one with special bits has its mode already."""
    if made.st_mode & 0o777 != mode and not made.st_mode & 0o7000:
        with suppress(PermissionError):  # vfat has no modes
            change_mode(place, mode)


def change_mode(place: Place, mode: int) -> None:
    """Set the permission bits of the file or directory at *place*, which need not be readable."""
    status = place.lstat()
    if stat.S_ISDIR(status.st_mode):
        # Set-group-id is how a shared directory hands down its group.
        mode |= OWNER_OF_DIRECTORY | status.st_mode & 0o7000
    else:
        require_regular(status)
    try:
        fd = os.open(place.name, READ_FILE, dir_fd=place.fd)
    except PermissionError:
        # A file that we own and may not read is reached with O_PATH. fchmod refuses that; this name means the
        # descriptor, no path.
        fd = os.open(place.name, O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.fd)
        try:
            os.chmod(f"/proc/self/fd/{fd}", mode)
        finally:
            os.close(fd)
    else:
        try:
            os.fchmod(fd, mode)
        finally:
            os.close(fd)
