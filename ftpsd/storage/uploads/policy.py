"""
Uploads: what the operator decides about them, and the sweep that removes what nobody resumed.

How an atomic upload grows and is published is in atomic.py, how one is written in place in direct.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ftpsd.storage.uploads.growing import Watch
from ftpsd.storage.uploads.sweep import OWNER_OF_DIRECTORY
from ftpsd.values.path import VirtualPath

Tell = Callable[[str, VirtualPath], None]


def _tell_nobody(what: str, path: VirtualPath) -> None:
    pass


@dataclass(frozen=True, slots=True)
class UploadPolicy:
    """How uploads are stored."""

    atomic: bool = True  # hidden until complete
    durable: bool = True  # on the disk before it is called complete
    keep_partial: float = 86400.0  # seconds an interrupted upload can be resumed; 0: not at all
    umask: int = 0o077
    digests: bool = True  # compute the SHA-256 of files while they stream, and keep it with them
    watch: tuple[Watch, ...] = ()  # what sees every upload before it is published, and may refuse it
    tell: Tell = field(default=_tell_nobody, compare=False)  # what the new version of a file could not keep of the old

    def __post_init__(self) -> None:
        if self.watch and not self.atomic:
            raise ValueError("an upload that is written in place is published before a watcher has seen it")

    @property
    def file_mode(self) -> int:
        """The permission bits of a new file."""
        return 0o666 & ~self.umask

    @property
    def directory_mode(self) -> int:
        """The permission bits of a new directory."""
        return OWNER_OF_DIRECTORY | 0o777 & ~self.umask
