"""
The properties that a new version of a file keeps of the one it replaces: owner, group, ACL and the extended attributes
of others.

An atomic upload is another file, renamed over the old one; written in place the old one would keep all of it.
Properties that the process may not give (a foreign owner; a group it is not in; attributes of the system, which the
kernel makes anew) the new file does not have, and the operator is told. Without its ACL the group gets the rights in
the ACL, not the mask that stands in its place in the mode.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import suppress

from ftpsd.storage.disk.walk import O_PATH, Place

ACL = "system.posix_acl_access"
# NFS 4 has its own.
_ACLS = frozenset({ACL, "system.nfs4_acl"})
_OF_OTHERS = "user."
_OURS = "user.ftpsd."
# Bytes of names and values together; ext4 has room for 4 KiB, XFS for any number of 64 KiB each.
MOST_BYTES = 1 << 20

_VERSION = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
_GROUP, _MASK = 0x04, 0x10


class Kept:
    """The properties that the open file *fd* has got from the one that it is to replace."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._names: list[str] = []
        self._has_owner = False
        self.lost: set[str] = set()

    def take_over(self, place: Place, old: os.stat_result) -> int:
        """Take the properties of the file at *place*, which is *old*; return its permission bits. Raises: OSError."""
        mode = old.st_mode & 0o777
        # By O_PATH, and the name that /proc has for it: an ACL may be read where the bytes may not.
        try:
            fd = os.open(place.name, O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.fd)
        except FileNotFoundError:  # deleted since
            return mode
        try:
            self._take_owner(old)
            acl = self._take_attributes(f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)
        return mode if acl is None else mode & ~0o070 | _group_of(acl) << 3

    def give_back(self) -> None:
        """Give all of it back, for the upload is not published."""
        for name in self._names:
            with suppress(OSError):
                os.removexattr(self._fd, name)
        if self._has_owner:
            with suppress(OSError):
                os.fchown(self._fd, os.geteuid(), os.getegid())
        self._names, self._has_owner = [], False

    def _take_owner(self, old: os.stat_result) -> None:
        new = os.fstat(self._fd)
        if new.st_uid != old.st_uid and not self._chown(old.st_uid, -1):
            self.lost.add("owner")
        if new.st_gid != old.st_gid and not self._chown(-1, old.st_gid):
            self.lost.add("group")

    def _chown(self, user: int, group: int) -> bool:
        try:
            os.fchown(self._fd, user, group)
        except OSError:
            return False
        self._has_owner = True
        return True

    def _take_attributes(self, old: str) -> bytes | None:
        """Copy attributes from the file *old*; return the ACL that could not be copied."""
        lost = None
        has_acl = False
        for name, value in _attributes(old):
            if value is None:
                self.lost.add("attributes")
                continue
            has_acl = has_acl or name == ACL
            try:
                os.setxattr(self._fd, name, value)
                self._names.append(name)
            except OSError:
                self.lost.add("ACL" if name in _ACLS else "attributes")
                lost = value if name == ACL else lost
        if not has_acl:
            # Else the new file would have the one that the directory hands down.
            with suppress(OSError, AttributeError):
                os.removexattr(self._fd, ACL)
        return lost


def _attributes(path: str) -> Iterator[tuple[str, bytes | None]]:
    """Yield the attributes of a file that a new version keeps; None for a value that cannot be read or is too much."""
    left = MOST_BYTES
    try:
        names = os.listxattr(path)
    except (OSError, AttributeError):  # a file system, or a system, without attributes
        return
    for name in names:
        if name not in _ACLS and (not name.startswith(_OF_OTHERS) or name.startswith(_OURS)):
            continue
        try:
            value = os.getxattr(path, name)
        except OSError:
            yield name, None
            continue
        left -= len(name) + len(value)
        yield name, value if left >= 0 else None


def _group_of(acl: bytes) -> int:
    """Return the rights of the file's group in *acl*, as the three bits of a mode."""
    given = dict.fromkeys((_GROUP, _MASK), 0o7)
    with suppress(struct.error):
        for tag, bits, _ in _ENTRY.iter_unpack(acl[_VERSION.size :]):
            given[tag] = bits & 0o7
    return given[_GROUP] & given[_MASK]
