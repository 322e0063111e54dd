"""
Long work in steps: a generator that yields how many seconds to wait, or 0, is gone on with for a moment at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic
from typing import Final

# Seconds of one step in a worker.
STEP: Final = 0.1


def step(steps: Iterator[float]) -> float | None:
    """Go on for a moment; return how long to wait before the next step, None at the end. Blocks."""
    end = monotonic() + STEP
    for wait in steps:
        if wait or monotonic() >= end:
            return wait
    return None
