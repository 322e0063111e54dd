"""Encrypted trees of tests, over one directory of data keys."""

from __future__ import annotations

from pathlib import Path

from ftpsd.storage.jail import LocalJail
from ftpsd.storage.sealing.damage import Damage
from ftpsd.storage.uploads.policy import UploadPolicy
from tests.contracts.contents import sealed

DATA = bytes(range(256)) * 4
LARGE = bytes(range(251)) * 1400  # 351,400 bytes, five segments and a part


class Trees:
    """Encrypted trees over one directory of data keys, and the alarms they have raised."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.alarms: list[Damage] = []

    def path(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(exist_ok=True)
        return path

    def open(self, name: str = "alice", owner: str = "alice", *, digests: bool = True) -> LocalJail:
        path = self.path(name)
        policy = UploadPolicy(durable=False, digests=digests)
        content = sealed(self.folder / "keys", path, self.alarms.append)
        return LocalJail.open(path, uploads=policy, owner=owner, content=content)

    def reasons(self) -> list[str]:
        """Return the reasons of the alarms so far, and forget them."""
        reasons = [str(alarm.reason) for alarm in self.alarms]
        self.alarms.clear()
        return reasons
