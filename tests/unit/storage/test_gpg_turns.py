"""The turns of gpg: how many are given, and the end of an upload that waits for one in vain."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ftpsd.storage.base import Kind, StorageError
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.pgp.converting import ConvertingSink
from ftpsd.storage.pgp.gpg_turns import GpgTurns
from ftpsd.storage.pgp.key_home import KeyHome
from ftpsd.storage.pgp.treatment import Treatment
from ftpsd.storage.uploads.policy import UploadPolicy
from tests.contracts.storages import at


def test_turns() -> None:
    """So many for all, of them so many for one, and none is lost."""
    turns = GpgTurns(most=3, of_one=2)
    assert [turns.claim(owner) for owner in "aaabb"] == [True, True, False, True, False]
    turns.give_back("a")
    assert [turns.claim(owner) for owner in "bab"] == [True, False, False]


@pytest.mark.parametrize("data", [b"", b"data"])
def test_no_turn_in_time(tmp_path: Path, data: bytes) -> None:
    """IO, for which a client tries again; nothing of it stays."""
    turns = GpgTurns(most=1, of_one=1)
    assert turns.claim("another")
    inner = LocalJail.open(tmp_path, uploads=UploadPolicy(durable=False), owner="u").open_sink(at("/file.pgp"))
    treatment = Treatment(("/**",), encrypt_to=("ABCDEF",), patience=0.02)
    sink = ConvertingSink(inner, at("/file"), treatment, KeyHome(tmp_path / "keys"), [], "u", turns)
    assert sink.write(memoryview(data)) == bool(data)
    with pytest.raises(StorageError, match=r"too many uploads are with gpg: no turn within 0\.02 s") as caught:
        sink.commit()
    assert caught.value.kind is Kind.IO
    assert os.listdir(tmp_path) == []
    turns.give_back("another")
    assert turns.claim("another")
