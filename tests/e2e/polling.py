"""Waiting for a fact with a bound, instead of sleeping for a while and hoping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LOOK = 0.02
# To look takes processor time from what is waited for, so a wait of a second or more is looked at ten times a second.
MOST = 0.1
SLOWER = 1.2


def eventually(read: Callable[[], T], what: str, seconds: float = 60.0) -> T:
    """Return the first true value of *read*; fail with *what* when there is none within *seconds*."""
    deadline, pause = time.monotonic() + seconds, LOOK
    while not (value := read()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(pause)
        pause = min(pause * SLOWER, MOST)
    return value
