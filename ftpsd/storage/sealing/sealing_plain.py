"""Plain files in encrypted trees, from before they were encrypted or put there by other programs, become sealed."""

from __future__ import annotations

import os
from collections.abc import Iterator
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


def seal_plain_files(directory: str, keys: str, vault: Vault, policy: UploadPolicy) -> Iterator[str | None]:
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
            try:
                path = VirtualPath.parse("/" + os.path.relpath(os.path.join(folder, name), directory))
                if _is_plain(plain, path):
                    _seal(plain, sealed, path)
                    yield None
            except StorageError as error:
                if error.kind not in (Kind.NOT_FOUND, Kind.NOT_REGULAR):
                    yield f"{folder}/{name}: {error.reason}"
            except (PathError, UnicodeError):
                yield f"{folder!r}: a name there is not UTF-8"


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
