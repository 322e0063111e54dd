"""
Settings of all tests: no deadlines, compiled files that are kept, and the selection `-m quick`.

Hypothesis asserts no times: a busy machine is not a bug.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.compiled import compile_share
from tests.reactor import close_pairs
from tests.tools import ROOT

# The tests that `pytest -m quick` runs, without those marked slow.
QUICK = tuple(ROOT / "tests" / name for name in ("contracts", "house", "unit"))

settings.register_profile("ftpsd", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=20)

# Where PYTHONDONTWRITEBYTECODE is set, each worker would compile every test, and each of hundreds of daemons the
# package. A folder of their own (PYTHONPYCACHEPREFIX) would have them compile what pip has compiled already.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_configure(config: pytest.Config) -> None:
    """Choose how many examples property tests look at: 100, or few where only what is quick is wanted."""
    settings.load_profile("quick" if config.option.markexpr == "quick" else "ftpsd")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the folders that hold no quick test unread where only those are wanted: reading them takes as long."""
    if config.option.markexpr != "quick" or collection_path.parent != ROOT / "tests" or not collection_path.is_dir():
        return None
    return collection_path not in QUICK or None


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Look for garbage among what is collected neither while it grows nor ever after: it stays to the end."""
    gc.disable()
    try:
        compile_share(QUICK if session.config.option.markexpr == "quick" else [ROOT / "tests"], session.config)
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is quick, before `-m` selects."""
    # Once for a file: for each of 13,000 tests it took 0.4 of the 5 s that collecting takes in each worker.
    quick = {path for path in {item.path for item in items} if any(folder in path.parents for folder in QUICK)}
    for item in items:
        if item.path in quick and item.get_closest_marker("slow") is None:
            item.add_marker("quick")


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Close the sockets of the test."""
    close_pairs()
