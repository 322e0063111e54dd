"""
How long a fuzzer runs, and with which seeds.

* As a part of every test run: a fixed number of rounds, with the seeds 0, 1, 2, …, so that a failure is everybody's.
* `FTPSD_FUZZ_SECONDS=3600 pytest -n 0 -s tests/fuzz`: that long, shared among the fuzzers, with random seeds.
* `FTPSD_FUZZ_SEED=4711`: that seed once, to see a failure again.

A seed whose round fails stands in the failure's own text.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

# The tests of this folder that share FTPSD_FUZZ_SECONDS; the parsers are one.
FUZZERS = 6


def rounds(ordinary: int) -> Iterator[int]:
    """Yield the seeds of this run; *ordinary* of them where nothing else is asked for."""
    seed, seconds = os.environ.get("FTPSD_FUZZ_SEED"), os.environ.get("FTPSD_FUZZ_SECONDS")
    if seed is not None:
        yield int(seed)
    elif seconds is not None:
        end = time.monotonic() + float(seconds) / FUZZERS
        while time.monotonic() < end:
            yield random.SystemRandom().getrandbits(32)
    else:
        yield from range(ordinary)


@contextmanager
def replayable(seed: int, what: str) -> Iterator[random.Random]:
    """Lend the source of chance of *seed*; a failure meanwhile says how to see it again."""
    try:
        yield random.Random(f"{what} {seed}")
    except BaseException as failure:
        failure.add_note(f"to see it again: FTPSD_FUZZ_SEED={seed} pytest -n 0 tests/fuzz (in {what})")
        raise
