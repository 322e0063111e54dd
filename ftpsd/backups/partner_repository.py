"""
A repository on another server: the same layout, by FTPS, and a lock.

Each file has a temporary name until it is whole there, and each run its own temporary names: what two runs store at
once is the same object. The remains of a run that died under such a name go with the next one.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from ftpsd.backups.manifest import Damaged
from ftpsd.backups.partner_lock import SURE, PartnerLock
from ftpsd.backups.repository import CHUNK, DAMAGED, DIGEST, SUFFIX, is_name
from ftpsd.partners.contact import Fault, PartnerError
from ftpsd.partners.ftps_client import FTPSClient

_LETTERS: Final = "0123456789abcdef"
_LEFT: Final = re.compile(r".+\.part")


class PartnerRepository:
    """The repository in the directory *root* of the server that *client* is with. Raises: PartnerError everywhere."""

    def __init__(self, client: FTPSClient, root: str) -> None:
        self._client = client
        self._root = root.rstrip("/")
        self._there: dict[str, dict[str, int]] = {}
        self._token = secrets.token_hex(8)
        self._lock: PartnerLock | None = None
        self.scratch: Path | None = None

    def make(self) -> None:
        """Make what is missing."""
        parts = self._root.split("/")[1:]
        for length in range(1, len(parts) + 1):
            self._make("/" + "/".join(parts[:length]))
        for name in ("objects", "backups", "locks"):
            self._make(f"{self._root}/{name}")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep others from making or removing backups meanwhile. Raises: Busy."""
        lock = PartnerLock(self._client, f"{self._root}/locks", self._put)
        lock.take()
        self._lock = lock
        try:
            yield
        finally:
            self._lock = None
            lock.let_go()

    def names(self) -> list[str]:
        """See `Repository`."""
        found = (each.name.removesuffix(SUFFIX) for each in self._client.listing(f"{self._root}/backups"))
        return sorted(name for name in found if is_name(name))

    def has(self, digest: str, size: int) -> bool:
        """See `Repository`."""
        if self._lock is not None:
            self._lock.keep()
        return self._folder(digest[:2]).get(digest) == size

    def store(self, file: BinaryIO, digest: str, size: int) -> None:
        """See `Repository`."""
        self._folder(digest[:2])
        self._put(file, f"{self._root}/objects/{digest[:2]}/{digest}", size)
        self._there[digest[:2]][digest] = size

    def fetch(self, digest: str, into: BinaryIO) -> int:
        """See `Repository`."""
        total, size = hashlib.sha256(), 0

        def take(piece: bytes) -> None:
            nonlocal size
            size += len(piece)
            total.update(piece)
            into.write(piece)

        self._get(f"{self._root}/objects/{digest[:2]}/{digest}", take, f"the object {digest} is missing")
        if total.hexdigest() != digest:
            raise Damaged(f"the object {digest} was changed")
        return size

    def publish(self, name: str, list: BinaryIO) -> None:
        """See `Repository`."""
        if self._lock is not None:
            self._lock.require()
        list.seek(0, 2)
        self._put(list, f"{self._root}/backups/{name}{SUFFIX}", list.tell())

    def manifest(self, name: str, into: BinaryIO) -> None:
        """See `Repository`."""
        self._get(f"{self._root}/backups/{name}{SUFFIX}", into.write, f"there is no backup {name}")

    def remove(self, name: str) -> None:
        """See `Repository`."""
        self._require_lock()
        self._client.delete(f"{self._root}/backups/{name}{SUFFIX}")

    def objects(self) -> Iterator[str]:
        """See `Repository`."""
        for first in _LETTERS:
            for second in _LETTERS:
                yield from [name for name in self._folder(first + second) if DIGEST.fullmatch(name)]

    def drop(self, digest: str) -> None:
        """See `Repository`."""
        self._require_lock()
        self._client.delete(f"{self._root}/objects/{digest[:2]}/{digest}")

    def put_aside(self, digest: str) -> None:
        """See `Repository`."""
        folder = f"{self._root}/objects/{digest[:2]}"
        if self._folder(digest[:2]).pop(digest, None) is not None:
            self._require_lock()
            with suppress(PartnerError):  # most servers replace the one of before
                self._client.delete(f"{folder}/{digest}{DAMAGED}")
            self._client.rename(f"{folder}/{digest}", f"{folder}/{digest}{DAMAGED}")

    def _require_lock(self) -> None:
        if self._lock is not None:
            self._lock.require(SURE)

    def _folder(self, prefix: str) -> dict[str, int]:
        """Return the objects with that prefix, and their sizes; what is seen once is remembered: we are alone."""
        if prefix not in self._there:
            folder = f"{self._root}/objects/{prefix}"
            self._make(folder)
            there = {each.name: each.size for each in self._client.listing(folder)}
            for name in [name for name in there if _LEFT.fullmatch(name)] if self._lock is not None else ():
                with suppress(PartnerError):
                    self._client.delete(f"{folder}/{name}")
            self._there[prefix] = there
        return self._there[prefix]

    def _make(self, folder: str) -> None:
        try:
            self._client.make_directory(folder)
        except PartnerError as error:
            if error.fault is not Fault.REFUSED:
                raise  # what is there, and may not be made or entered by us, shows itself in the next step

    def _put(self, file: BinaryIO, path: str, size: int) -> None:
        file.seek(0)
        temporary = f"{path}.{self._token}.part"
        self._client.put(temporary, 0, lambda: file.read(CHUNK))
        there = self._client.facts(temporary)
        if there is None or there.size != size:
            raise PartnerError(Fault.BROKEN, f"{path} did not arrive whole")
        self._rename(temporary, path)

    def _rename(self, temporary: str, path: str) -> None:
        try:
            self._client.rename(temporary, path)
        except PartnerError as error:
            if error.fault is not Fault.REFUSED or self._client.facts(path) is None:
                raise
            # Some servers do not let a rename replace a file.
            self._client.delete(path)
            self._client.rename(temporary, path)

    def _get(self, path: str, take: object, missing: str) -> None:
        there = self._client.facts(path)
        if there is None:
            raise Damaged(missing)
        self._client.get(path, 0, there.size, take)  # type: ignore[arg-type]
