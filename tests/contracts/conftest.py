"""
Every contract test runs over each storage: a loop inside of the test, which names all storages that fail.

An id for each of them made 2,800 ids, and every worker of pytest-xdist collects every id.
"""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from ftpsd.storage.base import Storage
from tests.contracts.each import OfEachHouse, over_each
from tests.contracts.storages import HOUSES, IN_PLACE, House


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Call a test that is about houses once for each of them, with all that is made of the house anew."""
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    made = {name: value for name, value in arguments.items() if isinstance(value, OfEachHouse)}
    if not made:
        return None
    directory = next(iter(made.values())).directory

    def call(name: str) -> None:
        (directory / name).mkdir()
        house = HOUSES[name](directory / name)
        pyfuncitem.obj(**(arguments | {key: value.make(house) for key, value in made.items()}))

    over_each([name for name in HOUSES if all(name in value.houses for value in made.values())], call)
    return True


@pytest.fixture
def house(tmp_path: Path) -> OfEachHouse[House]:
    """Return an empty tree."""
    return OfEachHouse(tmp_path, lambda house: house)


@pytest.fixture
def storage(tmp_path: Path) -> OfEachHouse[Storage]:
    """Return a session's storage over an empty tree."""
    return OfEachHouse(tmp_path, lambda house: house.open("user"))


@pytest.fixture
def atomic(tmp_path: Path) -> OfEachHouse[House]:
    """Return an empty tree whose uploads are hidden until they are complete."""
    return OfEachHouse(tmp_path, lambda house: house, frozenset(HOUSES) - IN_PLACE)
