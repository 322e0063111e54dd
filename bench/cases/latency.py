"""Control connections under load: how long NOOP takes while eight downloads keep the server busy."""

from __future__ import annotations

import os
import subprocess
import time

from bench.cases.base import Case, Metric
from bench.client import Session
from bench.ground import USER
from bench.load import Work, run_load
from bench.measure import BenchError, Sample, percentile
from bench.running import RunningServer
from bench.tools import download, end

DOWNLOADS = 8
# Seconds between two NOOPs.
PAUSE = 0.004
# Seconds for the downloads to be under way.
HEAD_START = 0.5


class _Probe(Work):
    def __init__(self, running: RunningServer) -> None:
        self._running = running
        self._seconds: list[float] = []

    def prepare(self) -> None:
        # The client's own wait for a processor is not the server's fault.
        if os.geteuid() == 0:
            os.nice(-15)
        self._session = Session(self._running.port)
        self._session.log_in(USER, self._running.ground.password)

    def step(self) -> None:
        time.sleep(PAUSE)
        started = time.perf_counter()
        self._session.command("NOOP", 200)
        self._seconds.append(time.perf_counter() - started)

    def values(self) -> list[float]:
        return self._seconds

    def finish(self) -> None:
        self._session.quit()


def _run(running: RunningServer) -> Sample:
    # A loop of the shell: a file may be over long before the measurement is.
    loop = ["sh", "-c", 'while "$@"; do :; done', "sh", *download(running, "bulk.bin")]
    processes = [
        subprocess.Popen(loop, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        for _ in range(DOWNLOADS)
    ]
    try:
        time.sleep(HEAD_START)
        load = run_load(running.root, [_Probe(running)], running.ground.scale.seconds)
        if lost := sum(process.poll() is not None for process in processes):
            raise BenchError(f"{lost} of {DOWNLOADS} downloads ended early")
    finally:
        for process in processes:
            os.killpg(process.pid, 9)
        end(processes)
    milliseconds = [value * 1000 for value in load.values]
    return Sample({"p50": percentile(milliseconds, 0.5), "p99": percentile(milliseconds, 0.99)})


CASES = [
    Case(
        "latency",
        "NOOP during 8 downloads",
        (Metric("p50", "ms, p50", "low", 2), Metric("p99", "ms, p99", "low", 2, limit=20)),
        _run,
    )
]
