"""
How long the tests of this folder run: as a part of every test run, or with FTPSD_TESTS_LONG=1 until chance has had its
chance.
"""

from __future__ import annotations

import os

IS_LONG = os.environ.get("FTPSD_TESTS_LONG") == "1"


def scaled(ordinary: int, long: int) -> int:
    """Return how often something is done in this run."""
    return long if IS_LONG else ordinary
