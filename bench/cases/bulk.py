"""Large files: megabytes per second and processor time, with curl and 1 or 8 connections."""

from __future__ import annotations

import os
from functools import partial

from bench.cases.base import Case, Metric
from bench.measure import BenchError, Sample, cost_of
from bench.running import RunningServer
from bench.tools import Ran, download, run_together, upload

GIB = 1 << 30
# Seconds.
PATIENCE = 120.0
# A client that is busy for this share of the time is what was measured.
CLIENT_BOUND = 0.95

DOWNLOAD = (Metric("MB/s", "MB/s", "high", 0, 1.1), Metric("CPU", "s/GiB", "low", 2, 0.85))
UPLOAD = (Metric("MB/s", "MB/s", "high", 0), Metric("CPU", "s/GiB", "low", 2, 0.7))
EVERYONE = frozenset({"ftps", "https", "sftp"})


def _download(count: int, running: RunningServer) -> Sample:
    """Each of *count* clients fetches the file."""
    commands = [download(running, _file(count))] * count
    with cost_of(running.root) as cost:
        ran = run_together(commands, PATIENCE)
    return _sample(running, count, ran, cost.server_cpu)


def _upload(count: int, running: RunningServer) -> Sample:
    """Each of *count* clients stores the file under a name of its own."""
    source = running.ground.home / _file(count)
    size = source.stat().st_size
    names = [f"up/bulk-{number}" for number in range(count)]
    try:
        with cost_of(running.root) as cost:
            ran = run_together([upload(running, source, name) for name in names], PATIENCE)
        for name in names:
            stored = os.stat(running.ground.home / name).st_size
            if stored != size:
                raise BenchError(f"{name} has {stored} bytes of {size}")
    finally:
        running.ground.clear_uploads()
    return _sample(running, count, ran, cost.server_cpu)


def _file(count: int) -> str:
    """Return the file for each of *count* clients: shorter for many, whose uploads fill the memory."""
    return "bulk.bin" if count == 1 else "part.bin"


def _sample(running: RunningServer, count: int, ran: Ran, server_cpu: float) -> Sample:
    moved = (running.ground.home / _file(count)).stat().st_size * count
    processors = min(count, os.cpu_count() or 1)
    busy = ran.client_cpu / ran.seconds / processors
    notes = (f"client-bound ({busy:.0%} busy)",) if busy >= CLIENT_BOUND else ()
    values = {
        "MB/s": moved / ran.seconds / 1e6,
        "CPU": server_cpu / moved * GIB,
        "client CPU": ran.client_cpu / moved * GIB,
    }
    return Sample(values, notes)


CASES = [
    Case("bulk-download-1", "download, 1 connection", DOWNLOAD, partial(_download, 1), EVERYONE),
    Case("bulk-download-8", "download, 8 connections", DOWNLOAD, partial(_download, 8), EVERYONE),
    Case("bulk-upload-1", "upload, 1 connection", UPLOAD, partial(_upload, 1), frozenset({"ftps", "sftp"})),
    Case("bulk-upload-8", "upload, 8 connections", UPLOAD, partial(_upload, 8), frozenset({"ftps", "sftp"})),
]
