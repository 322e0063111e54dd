"""Waiting for a fact with a bound, instead of sleeping for a while and hoping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LOOK = 0.02


def eventually(read: Callable[[], T], what: str, seconds: float = 60.0) -> T:
    """Return the first true value of *read*; fail with *what* when there is none within *seconds*."""
    deadline = time.monotonic() + seconds
    while not (value := read()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(LOOK)
    return value
