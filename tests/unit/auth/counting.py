"""Argon2id that costs nothing and counts what it would have cost, for tests whose subject is not the cost itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

_COST = re.compile(r"\$m=([0-9]+),t=([0-9]+),")


@contextmanager
def counted_argon2() -> Iterator[list[int]]:
    """Replace cryptography's Argon2id in ftpsd.auth.hashing.passwords; yields KiB times passes of each derivation."""
    spent: list[int] = []

    class Counted:
        def __init__(self, *, salt: bytes, length: int, iterations: int, lanes: int, memory_cost: int) -> None:
            self._cost = memory_cost * iterations
            self._cheap = Argon2id(salt=salt, length=length, iterations=1, lanes=1, memory_cost=8)

        def derive(self, material: bytes) -> bytes:
            spent.append(self._cost)
            return self._cheap.derive(material)

        def derive_phc_encoded(self, material: bytes) -> str:
            spent.append(self._cost)
            return self._cheap.derive_phc_encoded(material)

        @staticmethod
        def verify_phc_encoded(material: bytes, stored: str) -> None:
            # A text that is no hash raises ValueError before anything is derived.
            try:
                Argon2id.verify_phc_encoded(material, stored)
            except ValueError:
                raise
            except Exception:
                _count(spent, stored)
                raise
            _count(spent, stored)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ftpsd.auth.hashing.passwords.Argon2id", Counted)
        yield spent


def _count(spent: list[int], stored: str) -> None:
    cost = _COST.search(stored)
    assert cost is not None
    spent.append(int(cost[1]) * int(cost[2]))
