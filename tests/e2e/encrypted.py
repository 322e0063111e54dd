"""Encrypted homes of tests: the keys of a daemon, and its users' files as the users see them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path, PosixPath
from typing import Any, ClassVar

from ftpsd.storage.jail import LocalJail
from ftpsd.storage.sealing.key_files import KeyFiles
from ftpsd.storage.sealing.layout import length_of
from ftpsd.storage.sealing.master import key_sets
from ftpsd.storage.sealing.sealed import Sealed
from ftpsd.storage.sealing.vault import Vault
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.path import VirtualPath
from tests.e2e.daemon import Daemon

MASTER = "aa" * 32


def make_keys(folder: Path, *masters: str) -> dict[str, Any]:
    """Write the *masters*, newest first, and make a directory for data keys; return the section for ftpsd.yaml."""
    folder.mkdir(exist_ok=True)
    (folder / "data-keys").mkdir(exist_ok=True)
    (folder / "data-keys").chmod(0o700)
    files = []
    for number, master in enumerate(masters or (MASTER,)):
        file = folder / f"master-{number}"
        file.write_text(master + "\n")
        file.chmod(0o600)
        files.append({"file": str(file)})
    return {"keys": {"main": files}, "data_keys": str(folder / "data-keys")}


def encrypt_homes(daemon: Daemon, more: Mapping[str, Any] | None = None) -> None:
    """Have the homes of all users of *daemon*, which is not started, encrypted."""
    users = daemon.users
    for user in users.values():
        user.update({"encryption": "main", **(more or {})})
    daemon.write_users(users)


def jail_of(keys: Path, home: Path, *masters: str) -> LocalJail:
    """Return *home* as its user sees it, with the data keys below *keys*."""
    found = [bytes.fromhex(each) for each in masters or (MASTER,)]
    vault = Vault(KeyFiles(keys / "data-keys"), key_sets({"main": found}))
    policy = UploadPolicy(durable=False)
    return LocalJail.open(home, uploads=policy, owner="test", content=Sealed(vault, "main", str(home)))


class EncryptedPath(PosixPath):
    """A path in an encrypted home, whose bytes are read and written as the user's."""

    homes: ClassVar[dict[str, tuple[Path, Path]]] = {}
    """The home and the keys by the beginning of a path; class-wide, for paths make other paths."""

    @classmethod
    def of(cls, home: Path, keys: Path) -> EncryptedPath:
        """Return *home*."""
        cls.homes[str(home)] = (home, keys)
        return cls(home)

    def _inside(self) -> tuple[LocalJail, VirtualPath]:
        for text, (home, keys) in self.homes.items():
            if str(self).startswith(text + "/"):
                return jail_of(keys, home), VirtualPath.parse(str(self)[len(text) :])
        raise AssertionError(f"{self} is in no encrypted home")

    def read_bytes(self) -> bytes:
        """Decrypt it; a missing file is an OSError, as ever."""
        os.stat(self)
        jail, path = self._inside()
        source = jail.open_source(path)
        try:
            buffer, data = memoryview(bytearray(1 << 20)), b""
            while count := source.read_into(buffer):
                data += buffer[:count]
            return data
        finally:
            source.close()

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        """Decrypt and decode it."""
        return self.read_bytes().decode(encoding or "utf-8", errors or "strict")

    def write_bytes(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        """Encrypt it."""
        jail, path = self._inside()
        sink = jail.open_sink(path)
        sink.write(memoryview(data).cast("B"))
        sink.commit()
        return len(memoryview(data))

    def open(self, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        """Open it for reading or writing bytes."""
        if mode == "rb":
            return BytesIO(self.read_bytes())
        assert mode == "wb"
        return _Writing(self)

    @property
    def size(self) -> int:
        """How many bytes its user sees."""
        return length_of(os.stat(self).st_size)


class _Writing(BytesIO):
    """A file of an encrypted home that is being written: it is there when it is closed."""

    def __init__(self, path: EncryptedPath) -> None:
        super().__init__()
        self._path = path

    def close(self) -> None:
        """Encrypt it."""
        if not self.closed:
            self._path.write_bytes(self.getvalue())
        super().close()
