"""The floors of the house: who may import whom."""

from __future__ import annotations

import subprocess

from tests.tools import ROOT, require_tool


def test_imports_keep_to_the_floors() -> None:
    """`lint-imports` finds every contract of pyproject.toml kept."""
    checked = subprocess.run([require_tool("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True)
    assert checked.returncode == 0, checked.stdout.decode() + checked.stderr.decode()
