"""Plain files in encrypted trees, from before they were encrypted or put there by other programs, become sealed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ftpsd.storage.base import Kind, StorageError, Terms
from ftpsd.storage.disk.content import PLAIN
from ftpsd.storage.disk.names import is_reserved
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.sealing.layout import MAGIC
from ftpsd.storage.sealing.sealed import Sealed
from ftpsd.storage.sealing.vault import Vault
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.entry import EntryType
from ftpsd.values.path import PathError, VirtualPath

_CHUNK = 256 << 10
# The owner of the copies while they are made; no user's name has a line end.
_OWNER = "\nrekey"


@dataclass(slots=True)
class Links:
    """
    The plain files with more than one name that were sealed: each name gets a sealed file of its own.

    Names outside of the encrypted trees keep the bytes in the clear, which `left` tells.
    """

    names: dict[tuple[int, int], list[str]] = field(default_factory=dict)
    counts: dict[tuple[int, int], int] = field(default_factory=dict)

    def note(self, path: str, status: os.stat_result) -> None:
        """Note that the name *path* of the file *status*, as it was before, is sealed."""
        if status.st_nlink > 1 or (status.st_dev, status.st_ino) in self.names:
            key = status.st_dev, status.st_ino
            self.counts.setdefault(key, status.st_nlink)
            self.names.setdefault(key, []).append(path)

    def left(self) -> Iterator[str]:
        """Yield a sentence about each file of which other names are left."""
        for (device, number), names in self.names.items():
            others = self.counts[device, number] - len(names)
            if others > 0:
                said = "another name" if others == 1 else f"{others} other names"
                yield f"{names[0]}: {said} of it elsewhere, with the bytes in the clear: find / -xdev -inum {number}"


def seal_plain_files(
    directory: str, keys: str, vault: Vault, policy: UploadPolicy, links: Links
) -> Iterator[str | None]:
    """
    Seal the plain files below *directory*, each replaced by its copy in one rename; yields None or what went wrong.

    A file that changes meanwhile is left as it is. The jail keeps the walk inside and the owner and mode of the file.
    """
    content = Sealed(vault, keys, directory)
    plain = LocalJail.open(Path(directory), uploads=policy, owner=_OWNER, symlinks="none", content=PLAIN)
    sealed = LocalJail.open(Path(directory), uploads=policy, owner=_OWNER, symlinks="none", content=content)
    for folder, _, names in os.walk(directory):
        for name in names:
            if is_reserved(name):
                continue
            place = os.path.join(folder, name)
            try:
                path = VirtualPath.parse("/" + os.path.relpath(place, directory))
                if _is_plain(plain, path):
                    before = os.lstat(place)
                    _seal(plain, sealed, path)
                    links.note(place, before)
                    yield None
            except FileNotFoundError:
                continue
            except StorageError as error:
                if error.kind not in (Kind.NOT_FOUND, Kind.NOT_REGULAR):
                    yield f"{folder}/{name}: {error.reason}"
            except (PathError, UnicodeError) as error:
                yield f"{place}: no client has files of such a name, so it stays plain; rename it ({error})"


def _is_plain(jail: LocalJail, path: VirtualPath) -> bool:
    if jail.stat(path).type is not EntryType.FILE:
        return False
    source = jail.open_source(path)
    try:
        head = memoryview(bytearray(len(MAGIC)))
        return bytes(head[: source.read_into(head)]) != MAGIC
    finally:
        source.close()


def _seal(plain: LocalJail, sealed: LocalJail, path: VirtualPath) -> None:
    before = plain.stat(path)
    # First: a file that is replaced from here on is BUSY when the copy would replace it.
    sink = sealed.open_sink(path, Terms(resumable=False, may_create=False, over_same=True))
    try:
        source = plain.open_source(path)
        try:
            buffer = memoryview(bytearray(_CHUNK))
            while count := source.read_into(buffer):
                sink.write(buffer[:count])
        finally:
            source.close()
        sink.commit()
    finally:
        sink.abort()
    sealed.set_modified(path, before.modified_ns)
