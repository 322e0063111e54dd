"""Slow readers: a thousand downloads whose clients take a little now and then, and one whose client is fast."""

from __future__ import annotations

import os
import resource
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from bench.cases.base import Case, Metric
from bench.client import RECORD, Session
from bench.ground import USER
from bench.measure import BenchError, Sample, cpu_seconds, median, peak_of
from bench.ours import process_of
from bench.running import RunningServer
from bench.tools import download, run_together

# Clients that log in at the same time.
AT_ONCE = 8
# The bytes that a slow reader takes, and how often, in seconds: 32 KiB/s.
PIECE, PERIOD = RECORD, 0.5
# The bytes the kernel takes in for one: few, so that the server waits for the reader and not for the buffers to fill.
BUFFER = 32 * 1024
# Seconds in which readers only read, and seconds for the fast client.
READING = 4.0
PATIENCE = 120.0


class _Readers:
    """Sessions in the middle of a download, read by one thread."""

    def __init__(self, running: RunningServer, count: int) -> None:
        self.taken = [0] * count
        self._running = running
        self._is_over = threading.Event()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            self._opened = list(pool.map(lambda _: self._open(), range(count)))
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _open(self) -> tuple[Session, ssl.SSLSocket]:
        session = Session(self._running.port)
        session.log_in(USER, self._running.ground.password)
        session.protect()
        data = session.open("RETR bulk.bin", BUFFER)
        data.setblocking(False)
        return session, data

    def _read(self) -> None:
        while not self._is_over.is_set():
            due = time.monotonic() + PERIOD
            for number, (_, data) in enumerate(self._opened):
                try:
                    self.taken[number] += len(data.recv(PIECE))
                except ssl.SSLWantReadError:
                    pass
            self._is_over.wait(max(0.0, due - time.monotonic()))

    def close(self) -> None:
        self._is_over.set()
        self._thread.join()
        for session, data in self._opened:
            data.close()
            session.close()


def _run(running: RunningServer) -> Sample:
    count = running.ground.scale.readers
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    fast = [download(running, "bulk.bin")]
    alone = run_together(fast, PATIENCE).seconds
    threads = f"/proc/{process_of(running)}/task"
    readers = _Readers(running, count)
    try:
        with peak_of(lambda: len(os.listdir(threads))) as peak:
            before, cpu, started = list(readers.taken), cpu_seconds(running.root), time.monotonic()
            time.sleep(READING)
            busy = (cpu_seconds(running.root) - cpu) / (time.monotonic() - started)
            slowed = run_together(fast, PATIENCE).seconds
            progress = [now - then for now, then in zip(readers.taken, before, strict=True)]
    finally:
        readers.close()
    if stuck := sum(taken <= 0 for taken in progress):
        raise BenchError(f"{stuck} of {count} readers got nothing")
    values = {
        "threads": float(peak.highest),
        "least": min(progress) / median([float(taken) for taken in progress]) * 100,
        "slowed": slowed / alone,
        "CPU": busy * 100,
    }
    return Sample(values)


CASES = [
    Case(
        "readers",
        "slow readers and a fast one",
        (
            Metric("threads", "threads", "low", 0, limit=40),
            Metric("least", "% of the median that the slowest got", "high", 0),
            Metric("slowed", "times the fast one's seconds alone", "low", 2),
            Metric("CPU", "% CPU for the slow ones", "low", 0),
        ),
        _run,
        fresh=True,
        most_rounds=2,
        is_ours=True,
    )
]
