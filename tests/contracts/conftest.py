"""Every contract test runs once for each storage."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftpsd.storage.base import Storage
from tests.contracts.storages import HOUSES, IN_PLACE, House


@pytest.fixture(params=HOUSES)
def house(request: pytest.FixtureRequest, tmp_path: Path) -> House:
    """Return an empty tree."""
    return HOUSES[request.param](tmp_path)


@pytest.fixture
def storage(house: House) -> Storage:
    """Return a session's storage over an empty tree."""
    return house.open("user")


@pytest.fixture(params=[name for name in HOUSES if name not in IN_PLACE])
def atomic(request: pytest.FixtureRequest, tmp_path: Path) -> House:
    """Return an empty tree whose uploads are hidden until they are complete."""
    return HOUSES[request.param](tmp_path)
