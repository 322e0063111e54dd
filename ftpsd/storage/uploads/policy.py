"""
Uploads: the operator's decisions about them, and the sweep that removes abandoned ones.

The way of an atomic upload is in atomic.py, that of one written in place in direct.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ftpsd.storage.retention.holding import UNHELD, Holding
from ftpsd.storage.uploads.gating import OPEN, Gate
from ftpsd.storage.uploads.growing import Watch
from ftpsd.storage.uploads.sweep import OWNER_OF_DIRECTORY
from ftpsd.values.path import VirtualPath

Tell = Callable[[str, VirtualPath], None]


def _ignore(what: str, path: VirtualPath) -> None:
    pass


@dataclass(frozen=True, slots=True)
class UploadPolicy:
    """The operator's decisions about uploads."""

    atomic: bool = True  # hidden until complete
    durable: bool = True  # on the disk before it is called complete
    keep_partial: float = 86400.0  # seconds an interrupted upload can be resumed; 0: not at all
    umask: int = 0o077
    digests: bool = True  # compute the SHA-256 of files while they stream, and keep it with them
    watch: tuple[Watch, ...] = ()  # the watchers of every upload before it is published, which may refuse it
    gate: Gate = OPEN  # what becomes of uploads and renames by their names; its watchers stand behind those
    holding: Holding = UNHELD  # the files of the tree that are to stay as they are
    tell: Tell = field(default=_ignore, compare=False)  # called with each property that was lost

    def __post_init__(self) -> None:
        if (self.watch or self.gate is not OPEN) and not self.atomic:
            raise ValueError("an upload that is written in place is published before a watcher has seen it")

    @property
    def file_mode(self) -> int:
        """The permission bits of a new file."""
        return 0o666 & ~self.umask

    @property
    def directory_mode(self) -> int:
        """The permission bits of a new directory."""
        return OWNER_OF_DIRECTORY | 0o777 & ~self.umask
