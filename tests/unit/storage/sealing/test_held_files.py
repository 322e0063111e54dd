"""Refused files of encrypted trees."""

from __future__ import annotations

import os

import pytest

from ftpsd.scanning.custodian import Custodian
from ftpsd.scanning.quarantine import Origin, Quarantine
from ftpsd.scanning.release import publish_held
from ftpsd.storage.base import Kind
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.uploads.gating import Refusal
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.path import VirtualPath
from tests.contracts.contents import sealed
from tests.contracts.storages import get, kind_of, put
from tests.unit.storage.sealing.trees_on_disk import DATA, LARGE, Trees


class _Refusing:
    """A watcher that refuses the whole, and the custody that takes it."""

    def __init__(self, quarantine: Quarantine, path: VirtualPath) -> None:
        self._quarantine = quarantine
        self._path = path

    def update(self, data: memoryview | bytes, /) -> None:
        """Take it."""

    def finish(self) -> bool:
        """Refuse it."""
        custody = Custodian(self._quarantine, Origin("alice", "", "/"), self._path, self._path)
        raise Refusal(
            Kind.REFUSED, incident="0123456789", verdict="infected", text="no", code=550, found="x", custody=custody
        )

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("data", [b"", DATA, LARGE])
def test_a_refused_file_lies_encrypted_in_quarantine(trees: Trees, data: bytes) -> None:
    """And is read and released from there by the content of its tree."""
    quarantine = Quarantine(trees.path("quarantine"), 1 << 30)
    tree = trees.path("alice")
    content = sealed(trees.folder / "keys", tree)
    policy = UploadPolicy(durable=False, watch=(lambda path: _Refusing(quarantine, path),))
    strict = LocalJail.open(tree, uploads=policy, owner="alice", content=content)
    assert kind_of(put, strict, "/a", data) is Kind.REFUSED
    assert list(tree.iterdir()) == []
    (record,) = quarantine.records()
    held = quarantine.open(record.incident)
    assert not data or data[:200] not in os.pread(held, 1 << 20, 0)
    jail = trees.open()
    publish_held(record, held, jail, is_forced=False, content=content)
    os.close(held)
    assert get(jail, "/a") == data
