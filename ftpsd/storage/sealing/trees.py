"""The contents of trees, by the keys that a user or mount names: plain, or sealed by a data key of the directory."""

from __future__ import annotations

import os
from pathlib import Path

from ftpsd.storage.base import Kind, StorageError
from ftpsd.storage.disk.content import PLAIN, Content
from ftpsd.storage.sealing.damage import Alarm, ignore
from ftpsd.storage.sealing.sealed import Sealed
from ftpsd.storage.sealing.vault import Vault


class Contents:
    """The contents of all trees; *vault* None where nothing is encrypted."""

    def __init__(self, vault: Vault | None = None, alarm: Alarm = ignore) -> None:
        self.vault = vault
        self._alarm = alarm

    def of(self, keys: str | None, directory: Path) -> Content:
        """Return the content of the tree in *directory*. Raises: DENIED for keys that there are none of."""
        if keys is None:
            return PLAIN
        if self.vault is None or keys not in self.vault.sets:
            raise StorageError(Kind.DENIED, why=f"there is no set of keys {keys}")
        return Sealed(self.vault, keys, holder_of(directory), self._alarm)


def holder_of(directory: Path) -> str:
    """Return how *directory* is written as the holder of a data key: without `.`, `..` and a last slash."""
    return os.path.normpath(directory)
