"""Fixtures of the tests of encryption at rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.storage.sealing.trees_on_disk import Trees


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    """Return them."""
    return Trees(tmp_path)
