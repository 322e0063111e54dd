"""
File systems whose calls wait for more than a disk of this machine: for a network, or for another program.

Which one a directory is on, the kernel's table of mounts tells. The directory itself is not looked at, since that may
hang: links on the way to it are not followed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
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
    return frozenset().union(*by_waiting(directories, mounts=mounts))


def by_waiting(directories: Iterable[Path], *, mounts: Path = MOUNTS) -> dict[frozenset[str], list[Path]]:
    """Return *directories*, in their order, by what `waits_for` tells of each. Never waits."""
    kinds = _kinds(mounts)
    found: dict[frozenset[str], list[Path]] = {}
    for directory in directories:
        point = _mount_point(os.path.abspath(os.fsencode(directory)), kinds) if kinds else b""
        waited_for = frozenset((os.fsdecode(point),)) if _waits(kinds.get(point, "")) else NOTHING
        found.setdefault(waited_for, []).append(directory)
    return found


def _kinds(mounts: Path) -> dict[bytes, str]:
    """Return the kind of file system at each mount point, none where there is no table."""
    try:
        lines = mounts.read_bytes().splitlines()
    except OSError:
        return {}
    kinds: dict[bytes, str] = {}
    for line in lines:
        of_mount, _, of_file_system = line.partition(b" - ")
        point = of_mount.split(b" ")[4]
        # The last one that is mounted at a point covers those before it.
        kinds[_ESCAPED.sub(_unescaped, point)] = of_file_system.split(b" ")[0].decode("ascii", "replace")
    return kinds


def _mount_point(directory: bytes, kinds: dict[bytes, str]) -> bytes:
    while directory not in kinds and directory != b"/":
        directory = os.path.dirname(directory)
    return directory


def _waits(kind: str) -> bool:
    return kind in _WAITING or kind.startswith(_OF_PROGRAMS)


def _unescaped(match: re.Match[bytes]) -> bytes:
    return bytes((int(match[1], 8),))
