"""The storages that the contract is run over, and what a test does with one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ftpsd.storage.base import Kind, Sink, Storage, StorageError, Terms
from ftpsd.storage.forwarding import ForwardingStorage
from ftpsd.storage.guarded import GuardedStorage
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.mounts import MountedStorage
from ftpsd.storage.quota.account import QuotaAccount
from ftpsd.storage.quota.change import QuotaLedger
from ftpsd.storage.quota.ledger import NO_LEDGER, Ledger
from ftpsd.storage.recoded import RecodedStorage
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.entry import Entry
from ftpsd.values.path import VirtualPath
from ftpsd.values.quota import Quota
from tests.contracts.contents import Framed, sealed
from tests.fakes import MemoryStorage
from tests.memory import MemoryTree


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


def counted(directory: Path, policy: UploadPolicy) -> House:
    """Return a house over a directory with a quota that nothing here reaches."""
    account = QuotaAccount(directory)
    account.count()
    ledger = QuotaLedger(account, Quota(bytes=1 << 30, files=10_000))

    def open_storage(owner: str) -> Storage:
        return LocalJail.open(directory, uploads=policy, owner=owner, ledger=ledger)

    return House(open_storage, policy.atomic)


def beside_a_mount(directory: Path) -> House:
    """Return a house over a home with a mount in it that its user may not even see."""
    for name in ("home", "tree"):
        (directory / name).mkdir()

    def open_storage(owner: str) -> Storage:
        home, tree = (
            LocalJail.open(directory / name, uploads=UploadPolicy(durable=False), owner=owner)
            for name in ("home", "tree")
        )
        return MountedStorage(home, {at("/hidden"): GuardedStorage(tree, [])})

    return House(open_storage)


def below_a_mount(directory: Path) -> House:
    """Return a house over a tree that is mounted in a home which has other things in its place."""
    (directory / "tree").mkdir()
    (directory / "home" / "m" / "tree").mkdir(parents=True)
    (directory / "home" / "m" / "tree" / "a").write_bytes(b"another")

    def open_storage(owner: str) -> Storage:
        home, tree = (
            LocalJail.open(directory / name, uploads=UploadPolicy(durable=False), owner=owner)
            for name in ("home", "tree")
        )
        return Below(MountedStorage(home, {at("/m/tree"): tree}), at("/m/tree"))

    return House(open_storage)


def recoded(directory: Path) -> House:
    """Return a house over an old tree; its charset is one that has every character."""

    def open_storage(owner: str) -> Storage:
        jail = LocalJail.open(directory, uploads=UploadPolicy(durable=False), owner=owner)
        return RecodedStorage(jail, "gb18030")

    return House(open_storage)


class Below(ForwardingStorage):
    """A storage seen from one of its directories."""

    def __init__(self, inner: Storage, top: VirtualPath) -> None:
        super().__init__(inner)
        self._top = top

    def inward(self, path: VirtualPath) -> VirtualPath:
        below = VirtualPath()
        object.__setattr__(below, "parts", self._top.parts + path.parts)  # also for names that no path can hold
        return below

    def outward(self, path: VirtualPath) -> VirtualPath:
        assert path.is_within(self._top)
        return VirtualPath(path.parts[len(self._top.parts) :])


def framed(directory: Path) -> House:
    """Return a house over a directory whose files hold something else than their users see."""

    def open_storage(owner: str) -> Storage:
        return LocalJail.open(directory, uploads=UploadPolicy(durable=False), owner=owner, content=Framed())

    return House(open_storage)


def encrypted(directory: Path, *, quota: Quota | None = None) -> House:
    """Return a house over an encrypted directory, with a quota that nothing here reaches, or without."""
    tree = directory / "tree"
    tree.mkdir()
    content = sealed(directory / "keys", tree)
    ledger: Ledger = NO_LEDGER
    if quota is not None:
        account = QuotaAccount(tree)
        account.count()
        ledger = QuotaLedger(account, quota)

    def open_storage(owner: str) -> Storage:
        return LocalJail.open(tree, uploads=UploadPolicy(durable=False), owner=owner, content=content, ledger=ledger)

    return House(open_storage)


HOUSES: dict[str, Callable[[Path], House]] = {
    "jail-atomic-durable": lambda directory: local(directory, UploadPolicy()),
    "jail-direct": lambda directory: local(directory, UploadPolicy(atomic=False)),
    "guarded-jail": lambda directory: local(directory, UploadPolicy(durable=False), guarded=True),
    "jail-with-quota": lambda directory: counted(directory, UploadPolicy(durable=False)),
    "jail-with-quota-direct": lambda directory: counted(directory, UploadPolicy(durable=False, atomic=False)),
    "beside-a-mount": beside_a_mount,
    "below-a-mount": below_a_mount,
    "recoded-jail": recoded,
    "framed-jail": framed,
    "encrypted-jail": encrypted,
    "encrypted-jail-with-quota": lambda directory: encrypted(directory, quota=Quota(bytes=1 << 30, files=10_000)),
    "memory": memory,
}
IN_PLACE = {"jail-direct", "jail-with-quota-direct"}


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
    sink = storage.open_sink(at(path), Terms(offset=offset, append=append, may_replace=may_replace))
    write(sink, data)
    sink.commit()
    return sink


def interrupt(storage: Storage, path: str, data: bytes, *, offset: int = 0, append: bool = False) -> None:
    """Begin an upload of *data* to *path* and break it off."""
    sink = storage.open_sink(at(path), Terms(offset=offset, append=append))
    write(sink, data)
    sink.abort()


def get(storage: Storage, path: str, offset: int = 0) -> bytes:
    """Download *path*."""
    source = storage.open_source(at(path), offset)
    try:
        buffer = memoryview(bytearray(4096))
        data = bytearray()
        while count := source.read_into(buffer):
            data += buffer[:count]
        return bytes(data)
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
