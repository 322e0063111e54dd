"""A tree of small files, mirrored with lftp, as it is in daily use."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.cases.base import Case, Metric
from bench.measure import BenchError, Sample, cost_of
from bench.running import RunningServer
from bench.tools import mirror

# Connections that lftp uses.
PARALLEL = 4
# Seconds.
PATIENCE = 120.0
METRICS = (Metric("files/s", "files/s", "high", 0, 1.2), Metric("CPU", "µs/file", "low"))


def _down(running: RunningServer) -> Sample:
    target = running.ground.directory / "mirror"
    try:
        return _mirror(running, f"--parallel={PARALLEL} /tree {target}", target)
    finally:
        shutil.rmtree(target, ignore_errors=True)


def _up(running: RunningServer) -> Sample:
    home = running.ground.home
    try:
        return _mirror(running, f"-R --parallel={PARALLEL} {home}/tree /up/tree", home / "up" / "tree")
    finally:
        running.ground.clear_uploads()


def _mirror(running: RunningServer, arguments: str, target: Path) -> Sample:
    with cost_of(running.root) as cost:
        ran = mirror(running, arguments, PATIENCE)
    expected, found = _sizes(running.ground.home / "tree"), _sizes(target)
    if found != expected:
        raise BenchError(f"{len(found)} files of {len(expected)}")
    count = len(expected)
    return Sample({"files/s": count / ran.seconds, "CPU": cost.server_cpu / count * 1e6})


def _sizes(root: Path) -> dict[Path, int]:
    return {path.relative_to(root): path.stat().st_size for path in root.rglob("*") if path.is_file()}


CASES = [
    Case("mirror-down", f"lftp mirror, {PARALLEL} connections", METRICS, _down, most_rounds=2),
    Case("mirror-up", f"lftp mirror -R, {PARALLEL} connections", METRICS, _up, most_rounds=2),
]
