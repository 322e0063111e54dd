"""
File systems whose calls wait for more than a disk of this machine: for a network, or for another program.

Which one a directory is on, the kernel's table of mounts tells. The directory itself is not looked at, since that may
hang: links on the way to it are not followed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

MOUNTS: Final = Path("/proc/self/mountinfo")
# The kinds in the table, and what those of programs (FUSE) begin with; "fuseblk" is one of a disk.
_WAITING: Final = frozenset({
    "9p", "afs", "autofs", "beegfs", "ceph", "cifs", "coda", "fuse", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs",
    "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "smb3", "smbfs", "virtiofs",
})  # fmt: skip
_OF_PROGRAMS: Final = "fuse."
_ESCAPED: Final = re.compile(rb"\\([0-7]{3})")

NOTHING: Final[frozenset[str]] = frozenset()


def waits_for(*directories: Path, mounts: Path = MOUNTS) -> frozenset[str]:
    """
    Return the mount points of the file systems that calls to *directories* wait for; none for disks of this machine.

    Never waits. Where there is no table of mounts (*mounts*), nothing is known, and none is returned.
    """
    try:
        lines = mounts.read_bytes().splitlines()
    except OSError:
        return NOTHING
    kinds: dict[bytes, str] = {}
    for line in lines:
        of_mount, _, of_file_system = line.partition(b" - ")
        point = of_mount.split(b" ")[4]
        # The last one that is mounted at a point covers those before it.
        kinds[_ESCAPED.sub(_unescaped, point)] = of_file_system.split(b" ")[0].decode("ascii", "replace")
    found = (_mount_point(os.path.abspath(os.fsencode(directory)), kinds) for directory in directories)
    return frozenset(os.fsdecode(point) for point in found if _waits(kinds.get(point, "")))


def _mount_point(directory: bytes, kinds: dict[bytes, str]) -> bytes:
    while directory not in kinds and directory != b"/":
        directory = os.path.dirname(directory)
    return directory


def _waits(kind: str) -> bool:
    return kind in _WAITING or kind.startswith(_OF_PROGRAMS)


def _unescaped(match: re.Match[bytes]) -> bytes:
    return bytes((int(match[1], 8),))
