"""
Uploads: what the operator decides about them, and the sweep that removes what nobody resumed.

How an atomic upload grows and is published is in atomic.py, how one is written in place in direct.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ftpsd.storage.base import StorageError
from ftpsd.storage.ledger import NO_LEDGER, Ledger
from ftpsd.storage.names import name_of
from ftpsd.storage.partial import PARTIAL_NAME, discard_partial
from ftpsd.storage.walk import Place, Root
from ftpsd.wire.path import PathError, VirtualPath

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
    tell: Tell = field(default=_tell_nobody, compare=False)  # what the new version of a file could not keep of the old

    @property
    def file_mode(self) -> int:
        """The permission bits of a new file."""
        return 0o666 & ~self.umask

    @property
    def directory_mode(self) -> int:
        """The permission bits of a new directory."""
        return 0o777 & ~self.umask


def sweep_partials(
    root: Path,
    older_than_seconds: float,
    *,
    max_depth: int = 64,
    is_stopped: Callable[[], bool] = lambda: False,
    ledger: Ledger = NO_LEDGER,
) -> int:
    """
    Remove the partials below *root* that nobody is at work in and that did not change for *older_than_seconds*;
    return how many.

    Links are not followed. One directory is open at a time; *is_stopped* is asked before each. Runs for as long as a
    walk of the whole tree takes, so give it a thread of its own.
    """
    removed = 0
    jail = Root(os.fsencode(root), "none")
    pending = [VirtualPath()]
    while pending and not is_stopped():
        path = pending.pop()
        try:
            fd = jail.open_directory(path)
        except StorageError:  # gone, or not ours to read
            continue
        directory = Place(fd, b".", path)
        try:
            for found in _scan(fd):
                if PARTIAL_NAME.fullmatch(found.name):
                    removed += discard_partial(directory, found.name.encode(), older_than_seconds, ledger=ledger)
                elif len(path.parts) < max_depth and found.is_dir(follow_symlinks=False):
                    with suppress(PathError):  # no upload can have come there
                        pending.append(path / name_of(found))
        finally:
            directory.close()
    return removed


def _scan(fd: int) -> Iterator[os.DirEntry[str]]:
    """Yield what is in the directory *fd*, as far as it can be read."""
    with suppress(OSError), os.scandir(fd) as found:
        yield from found
