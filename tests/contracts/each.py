"""The loop of contract tests over the houses: their fixtures return not one value, but how to make it of each house."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import pytest

from tests.contracts.storages import HOUSES, House

T = TypeVar("T")


@dataclass(frozen=True)
class OfEachHouse(Generic[T]):
    """The test gets what *make* returns for each of *houses*, whose trees lie in *directory* (see conftest.py)."""

    directory: Path
    make: Callable[[House], T]
    houses: frozenset[str] = field(default=frozenset(HOUSES))


def over_each(names: Sequence[str], call: Callable[[str], object]) -> None:
    """Call *call* with each of *names*, also behind one that fails, and raise all failures, each with its name."""
    assert names, "a test over nothing would pass"
    failures: list[BaseException] = []
    for name in names:
        try:
            call(name)
        # What is skipped would not be held to the contract.
        except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:
            error.add_note(f"over {name}")
            failures.append(error)
    if failures:
        raise BaseExceptionGroup(f"over {len(failures)} of {len(names)}", failures)
