"""
Small files: files per second and processor time for each, one data connection a file, TLS sessions resumed.

The cases with Nagle are those of an ordinary client, which leaves it on: what the server does not acknowledge at once
costs such a client 40 ms.
"""

from __future__ import annotations

from functools import partial

from bench.cases.base import Case, Metric
from bench.client import Session
from bench.ground import USER
from bench.load import Work, run_load
from bench.measure import Sample
from bench.running import RunningServer

SIZES = {"1k": 1024, "100k": 100 * 1024}
WARM_UP = 3


class _Files(Work):
    """One client that moves one file after the other."""

    def __init__(self, running: RunningServer, size: str, number: int, *, is_upload: bool, nagle: bool) -> None:
        self._running = running
        self._size = size
        self._number = number
        self._is_upload = is_upload
        self._nagle = nagle
        self._done = 0

    def prepare(self) -> None:
        self._session = Session(self._running.port, nagle=self._nagle)
        self._session.log_in(USER, self._running.ground.password)
        self._session.protect()
        self._content = (self._running.ground.home / "small" / self._size).read_bytes()
        for _ in range(WARM_UP):
            self.step()
        self._session.data_connections = self._session.resumed = 0

    def step(self) -> None:
        if self._is_upload:
            self._done += 1
            self._session.store(f"up/{self._number}-{self._done}", self._content)
        elif self._session.retrieve(f"RETR small/{self._size}") != len(self._content):
            raise ValueError("file came with another length")

    def facts(self) -> dict[str, float]:
        return {"connections": self._session.data_connections, "resumed": self._session.resumed}

    def finish(self) -> None:
        self._session.quit()


def _run(size: str, count: int, is_upload: bool, nagle: bool, running: RunningServer) -> Sample:
    works: list[Work] = [_Files(running, size, number, is_upload=is_upload, nagle=nagle) for number in range(count)]
    try:
        load = run_load(running.root, works, running.ground.scale.seconds)
        if is_upload:
            _check(running, size)
    finally:
        if is_upload:
            running.ground.clear_uploads()
    resumed = load.facts["resumed"] / load.facts["connections"]
    notes = (f"{resumed:.0%} resumed",) if resumed < 0.99 else ()
    values = {
        "files/s": load.rate,
        "CPU": load.server_microseconds,
        "client CPU": load.client_cpu / load.operations * 1e6,
    }
    return Sample(values, notes)


def _check(running: RunningServer, size: str) -> None:
    """Raise ValueError unless every upload is whole."""
    for path in (running.ground.home / "up").iterdir():
        if path.stat().st_size != SIZES[size]:
            raise ValueError(f"{path.name} was stored with {path.stat().st_size} bytes")


def _cases() -> list[Case]:
    cases = []
    for verb, is_upload in (("RETR", False), ("STOR", True)):
        for size in SIZES:
            for count in (1, 8):
                target = 1.2 if size == "1k" else None
                metrics = (Metric("files/s", "files/s", "high", 0, target), Metric("CPU", "µs/file", "low"))
                title = f"{verb} {size.replace('k', ' KiB')}, {count} connection{'s' if count > 1 else ''}"
                run = partial(_run, size, count, is_upload, False)
                cases.append(Case(f"small-{verb.lower()}-{size}-{count}", title, metrics, run))
        title = f"{verb} 1 KiB, 1 connection with Nagle"
        metrics = (Metric("files/s", "files/s", "high", 0, 1.2), Metric("CPU", "µs/file", "low"))
        cases.append(Case(f"small-{verb.lower()}-1k-nagle", title, metrics, partial(_run, "1k", 1, is_upload, True)))
    return cases


CASES = _cases()
