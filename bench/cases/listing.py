"""Long listings: one directory of many files, with the server's memory watched meanwhile."""

from __future__ import annotations

from functools import partial

from bench.cases.base import Case, Metric
from bench.client import Session
from bench.ground import USER
from bench.load import Work, run_load
from bench.measure import BenchError, Sample, peak_of, pss_kib
from bench.running import RunningServer

METRICS = (
    Metric("seconds", "s", "low", 2, 1.0),
    Metric("CPU", "s CPU", "low", 2),
    Metric("memory", "MiB more", "low", 1),
)


class _Listing(Work):
    def __init__(self, running: RunningServer, command: str) -> None:
        self._running = running
        self._command = command
        self._lines = 0

    def prepare(self) -> None:
        self._session = Session(self._running.port)
        self._session.log_in(USER, self._running.ground.password)
        self._session.protect()
        # All that is loaded and allocated once shall be there before the memory is looked at.
        self._session.retrieve_lines(f"{self._command} small")

    def step(self) -> None:
        self._lines = self._session.retrieve_lines(f"{self._command} many")

    def facts(self) -> dict[str, float]:
        return {"lines": self._lines}

    def finish(self) -> None:
        self._session.quit()


def _run(command: str, running: RunningServer) -> Sample:
    # Zero seconds: one listing.
    with peak_of(lambda: pss_kib(running.root)) as peak:
        load = run_load(running.root, [_Listing(running, command)], 0.0)
    wanted, got = running.ground.scale.entries, int(load.facts["lines"])
    # Some list "." and ".." too.
    if not wanted <= got <= wanted + 3:
        raise BenchError(f"{got} of {wanted} entries")
    return Sample({"seconds": load.seconds, "CPU": load.server_cpu, "memory": peak.growth / 1024})


CASES = [
    Case("list-list", "LIST of a large directory", METRICS, partial(_run, "LIST"), fresh=True),
    Case("list-mlsd", "MLSD of a large directory", METRICS, partial(_run, "MLSD"), fresh=True),
]
