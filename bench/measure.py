"""
The cost of a server: processor time and memory of its whole process tree, read from /proc.

Processor time includes children that have been reaped; `keeper.py` sees to it that none is lost. Memory is PSS, which
counts a page shared by n processes as 1/n of a page in each; memory of the kernel (sockets, page tables) is not in it.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
# Seconds for processes of ended sessions to be gone, so that nobody is between "alive" and "reaped" while we count.
SETTLE = 0.15
# Seconds between two looks at the memory.
SAMPLING = 0.03


class BenchError(Exception):
    """A reason why one measurement of one server has no figure; the text goes into the table."""


def tree(root: int) -> list[int]:
    """Return *root* and all of its descendants."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _stat(int(name))):
            children.setdefault(int(fields[1]), []).append(int(name))
    found = [root]
    for process in found:
        found += children.get(process, [])
    return found


def cpu_seconds(root: int) -> float:
    """Return the processor time that the tree below *root* has used so far, its reaped members included."""
    ticks = 0
    for process in tree(root):
        if fields := _stat(process):
            # proc(5): utime, stime, cutime, cstime are fields 14 to 17; ours start with the third.
            ticks += sum(int(value) for value in fields[11:15])
    return ticks / TICKS


def pss_kib(root: int) -> int:
    """Return the proportional set size of all processes below *root*, which is the keeper and not counted."""
    total = 0
    for process in tree(root)[1:]:
        try:
            text = Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:
            continue
        for line in text.splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
                break
    return total


def _stat(process: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third on; empty when the process is gone."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()


@dataclass
class Cost:
    """The usage between two moments."""

    seconds: float = 0.0
    server_cpu: float = 0.0


@contextmanager
def cost_of(root: int) -> Iterator[Cost]:
    """Measure what the body takes in time, and the tree below *root* in processor time."""
    cost = Cost()
    before = cpu_seconds(root)
    started = time.monotonic()
    yield cost
    cost.seconds = time.monotonic() - started
    time.sleep(SETTLE)
    cost.server_cpu = cpu_seconds(root) - before


@dataclass
class Peak:
    """The largest value seen; *first* is the one before anything happened."""

    first: int = 0
    highest: int = 0

    @property
    def growth(self) -> int:
        return max(0, self.highest - self.first)


@contextmanager
def peak_of(look: Callable[[], int]) -> Iterator[Peak]:
    """Look again and again while the body runs; the looking costs some 3% of one processor."""
    first = look()
    peak = Peak(first, first)
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(SAMPLING):
            peak.highest = max(peak.highest, look())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        is_over.set()
        watcher.join()


@dataclass
class Sample:
    """The figures of one run of one case on one server; *notes* are facts a reader must know to judge the figures."""

    values: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def percentile(values: list[float], share: float) -> float:
    """Return the value that *share* (0 to 1) of all *values* do not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def median(values: list[float]) -> float:
    """Return the middle of *values*."""
    return statistics.median(values)
