"""The storages that the contract is run over, and what a test does with one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ftpsd.storage.base import Kind, Sink, Storage, StorageError
from ftpsd.storage.guarded import GuardedStorage
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.upload import UploadPolicy
from ftpsd.wire.listing import Entry
from ftpsd.wire.path import VirtualPath
from tests.fakes import MemoryStorage, MemoryTree


@dataclass(frozen=True)
class House:
    """One tree; open() gives a storage over it, for one session of an owner."""

    open: Callable[[str], Storage]
    is_atomic: bool = True


def local(directory: Path, policy: UploadPolicy, *, guarded: bool = False) -> House:
    """Return a house over a directory."""

    def open_storage(owner: str) -> Storage:
        jail = LocalJail.open(directory, uploads=policy, owner=owner)
        return GuardedStorage(jail, None) if guarded else jail

    return House(open_storage, policy.atomic)


def memory(directory: Path) -> House:
    """Return a house over nothing."""
    del directory
    tree = MemoryTree()
    return House(lambda owner: MemoryStorage(tree, owner))


HOUSES: dict[str, Callable[[Path], House]] = {
    "jail-atomic-durable": lambda directory: local(directory, UploadPolicy()),
    "jail-direct": lambda directory: local(directory, UploadPolicy(atomic=False)),
    "guarded-jail": lambda directory: local(directory, UploadPolicy(durable=False), guarded=True),
    "memory": memory,
}
IN_PLACE = {"jail-direct"}


def at(text: str) -> VirtualPath:
    """Return the path *text*."""
    return VirtualPath.parse(text)


def write(sink: Sink, data: bytes) -> None:
    """Write *data* to *sink*."""
    sink.write(memoryview(data))


def put(
    storage: Storage, path: str, data: bytes, *, offset: int = 0, append: bool = False, may_replace: bool = True
) -> Sink:
    """Upload *data* to *path* and return the sink, which is over."""
    sink = storage.open_sink(at(path), offset=offset, append=append, may_replace=may_replace)
    write(sink, data)
    sink.commit()
    return sink


def interrupt(storage: Storage, path: str, data: bytes, *, offset: int = 0, append: bool = False) -> None:
    """Begin an upload of *data* to *path* and break it off."""
    sink = storage.open_sink(at(path), offset=offset, append=append)
    write(sink, data)
    sink.abort()


def get(storage: Storage, path: str, offset: int = 0) -> bytes:
    """Download *path*."""
    source = storage.open_source(at(path), offset)
    try:
        buffer = memoryview(bytearray(4096))
        data = b""
        while count := source.read_into(buffer):
            data += buffer[:count]
        return data
    finally:
        source.close()


def entries(storage: Storage, path: str = "/", count: int = 100) -> list[Entry]:
    """Return all entries of the directory *path*, read in pieces of *count*."""
    listing = storage.list(at(path))
    try:
        found = []
        while piece := listing.read(count):
            assert len(piece) <= count
            found += piece
        return found
    finally:
        listing.close()


def names(storage: Storage, path: str = "/") -> list[str]:
    """Return the names in the directory *path*, sorted."""
    return sorted(entry.name for entry in entries(storage, path))


def kind_of(function: Callable[..., object], *arguments: object, **options: object) -> Kind:
    """Call *function* and return the kind of the StorageError that it raises."""
    with pytest.raises(StorageError) as caught:
        function(*arguments, **options)
    return caught.value.kind
