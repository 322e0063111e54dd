"""The types of the house."""

from __future__ import annotations

import subprocess

import pytest

from tests.tools import ROOT, require_tool

pytestmark = pytest.mark.slow


def test_mypy_strict_has_nothing_to_say() -> None:
    """`mypy` (strict, by pyproject.toml) is clean for the daemon and its tests."""
    checked = subprocess.run([require_tool("mypy"), "--no-error-summary"], cwd=ROOT, capture_output=True)
    assert checked.returncode == 0, checked.stdout.decode() + checked.stderr.decode()
