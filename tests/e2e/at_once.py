"""Cases whose waits pass at the same time: a refused data connection has three seconds, a refused login one or more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def all_at_once(check: Callable[..., object], cases: Sequence[tuple[Any, ...]]) -> None:
    """Call *check* with each of *cases* in a thread of its own; fail with each case that failed, and why."""
    with ThreadPoolExecutor(len(cases)) as pool:
        running = [pool.submit(check, *case) for case in cases]
    problems = [(case, each.exception()) for case, each in zip(cases, running, strict=True)]
    failed = [ExceptionGroup(repr(case), [why]) for case, why in problems if isinstance(why, Exception)]
    if failed:
        raise ExceptionGroup(f"{len(failed)} of {len(cases)} cases", failed)
