"""Which file systems calls wait for, by the table of mounts alone."""

from __future__ import annotations

import os
from pathlib import Path

from ftpsd.storage.disk.turns import Turns
from ftpsd.storage.file_systems import waits_for

TABLE = r"""
27 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 27 0:40 / /srv/nfs rw,relatime shared:5 master:1 - nfs4 server:/export rw
31 30 8:2 / /srv/nfs/local rw - xfs /dev/sdb1 rw
32 27 0:41 / /srv/with\040space rw - fuse.sshfs far:/ rw
33 27 0:42 / /srv/covered rw - cifs //far/share rw
34 33 8:3 / /srv/covered rw - ext4 /dev/sdc1 rw
35 27 0:43 / /srv/ntfs rw - fuseblk /dev/sdd1 rw
36 27 0:44 / /srv/bound rw - fuse /srv rw
""".lstrip().replace("\\\\", "\\")


def test_the_longest_mount_point_decides(tmp_path: Path) -> None:
    """Whatever is mounted there last, and with whatever signs in its name."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(TABLE)
    expected = {
        "/srv": None, "/srv/nfs": "/srv/nfs", "/srv/nfs/users/a": "/srv/nfs", "/srv/nfs/local/a": None,
        "/srv/nfsother": None, "/srv/with space/a": "/srv/with space", "/srv/covered/a": None, "/srv/ntfs": None,
        "/srv/bound/../bound/a": "/srv/bound", "/": None,
    }  # fmt: skip
    for directory, point in expected.items():
        assert waits_for(Path(directory), mounts=mounts) == frozenset({point} - {None}), directory
    both = waits_for(Path("/srv/nfs/a"), Path("/srv/bound"), Path("/srv"), mounts=mounts)
    assert both == {"/srv/nfs", "/srv/bound"}


def test_without_a_table_nothing_is_known(tmp_path: Path) -> None:
    """As on systems that have none."""
    assert waits_for(Path("/srv"), mounts=tmp_path / "none") == frozenset()
    assert waits_for(tmp_path) == frozenset()


def test_names_of_two_file_systems_share_no_turn(tmp_path: Path) -> None:
    """One that hangs in its turn holds up no file of the same name elsewhere."""
    turns = Turns()
    here, there = os.open(tmp_path, os.O_RDONLY), os.open("/proc", os.O_RDONLY)
    try:
        assert turns.of(b"a", here) is turns.of(b"a", here)
        assert turns.of(b"a", here) is not turns.of(b"a", there)
        with turns.of(b"a", there), turns.of_both((b"a", here), (b"b", here)):
            pass
    finally:
        os.close(here)
        os.close(there)
