"""The style of the house, as far as ruff can see it."""

from __future__ import annotations

import subprocess

from tests.tools import ROOT, require_tool


def test_ruff_has_nothing_to_say() -> None:
    """`ruff check` is clean for the whole project."""
    checked = subprocess.run([require_tool("ruff"), "check", "--output-format=concise"], cwd=ROOT, capture_output=True)
    assert checked.returncode == 0, checked.stdout.decode() + checked.stderr.decode()
