"""
Idle sessions: what a session that is logged in and silent keeps in memory.

`idle` asks every server; `idle-many` asks ftpsd for ten thousand in its one process.
"""

from __future__ import annotations

import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from urllib.request import urlopen

from bench.cases.base import Case, Metric
from bench.client import HOST, Session
from bench.ground import USER
from bench.measure import BenchError, Sample, pss_kib, tree
from bench.running import RunningServer

# Clients that log in at the same time.
AT_ONCE = 8
# Sessions that have come and gone before the first look, so that what is loaded once is not counted.
WARM_UP = 20
# Descriptors for everything that is no session.
SPARE = 200
# Looks at the memory while very many sessions are opened, and the KiB that are left to the machine.
STEPS = 10
LEAST_FREE = 1 << 20
# Looks at the metrics.
SCRAPES = 9
# Seconds for the servers to come to rest.
REST = 1.0


def _run(running: RunningServer) -> Sample:
    count = running.ground.scale.sessions
    if _descriptors() < count:
        raise BenchError(f"limit of open files is {_descriptors() + SPARE}")

    def log_in(_: int) -> Session:
        return _logged_in(running)

    sessions: list[Session] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for session in pool.map(log_in, range(WARM_UP)):
            session.quit()
        time.sleep(REST)
        before = pss_kib(running.root)
        try:
            for session in pool.map(log_in, range(count)):
                sessions.append(session)
            time.sleep(REST)
            for session in (sessions[0], sessions[-1]):
                session.command("NOOP", 200)
            after = pss_kib(running.root)
        finally:
            for session in sessions:
                session.close()
    return Sample({"memory": (after - before) / count, "all": after / 1024})


def _run_many(running: RunningServer) -> Sample:
    """Open as many sessions as were asked for, or as descriptors and memory allow; look at the slope, too."""
    wanted = running.ground.scale.many_sessions
    count = min(wanted, _descriptors())
    notes: list[str] = [] if count == wanted else [f"descriptors for {count:,} sessions only"]
    sessions: list[Session] = []
    points: list[tuple[int, int]] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for session in pool.map(_logged_in, [running] * WARM_UP):
            session.quit()
        time.sleep(REST)
        points.append((0, pss_kib(running.root)))
        try:
            while len(sessions) < count:
                if _free_kib() < LEAST_FREE:
                    notes.append(f"memory for {len(sessions):,} sessions only")
                    break
                step = min(max(1, count // STEPS), count - len(sessions))
                sessions += pool.map(_logged_in, [running] * step)
                time.sleep(REST)
                points.append((len(sessions), pss_kib(running.root)))
            started = time.monotonic()
            # All of them live: one that was dropped or forgotten answers nothing.
            for _ in pool.map(lambda session: session.command("NOOP", 200), sessions):
                pass
            answered = len(sessions) / (time.monotonic() - started)
            scrape, work = _scrape(running)
        finally:
            for session in sessions:
                session.close()
    (first, before), (half, middle), (last, after) = points[0], points[len(points) // 2], points[-1]
    if last == first:
        raise BenchError("no memory for a single session")
    slope = (after - middle) / (last - half) if last > half else (after - before) / last
    values = {
        "sessions": float(last),
        "memory": (after - before) / last,
        "slope": slope,
        "all": after / 1024,
        "NOOPs/s": answered,
        "scrape": scrape * 1000,
        "scrape CPU": work * 1000,
    }
    return Sample(values, tuple(notes))


def _scrape(running: RunningServer) -> tuple[float, float]:
    """Return the seconds that a scrape of the metrics takes, and those that the server works; medians of several."""
    seconds, worked = [], []
    for _ in range(SCRAPES):
        before = _worked(running)
        started = time.monotonic()
        with urlopen(f"http://{HOST}:{running.ports.other}/metrics", timeout=60) as answer:
            answer.read()
        seconds.append(time.monotonic() - started)
        worked.append(_worked(running) - before)
        # An exposition is answered again until a tenth of the time is spent on it.
        time.sleep(20 * seconds[-1])
    return median(seconds), median(worked)


def _worked(running: RunningServer) -> float:
    """Return the processor seconds of the server's main threads, finer than the ticks of /proc/PID/stat."""
    return sum(int(Path(f"/proc/{each}/schedstat").read_text().split()[0]) for each in tree(running.root)) / 1e9


def _logged_in(running: RunningServer) -> Session:
    session = Session(running.port)
    session.log_in(USER, running.ground.password)
    session.protect()
    return session


def _descriptors() -> int:
    """Raise the limit of open files to what the system allows; return how many sessions that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard - SPARE


def _free_kib() -> int:
    """Return the memory that is still to be had, in KiB."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))


CASES = [
    Case(
        "idle",
        "idle sessions",
        (Metric("memory", "KiB/session", "low", 0, limit=64), Metric("all", "MiB in all", "low", 0)),
        _run,
        fresh=True,
        most_rounds=3,
    ),
    Case(
        "idle-many",
        "very many idle sessions",
        (
            Metric("sessions", "sessions", "high", 0),
            Metric("memory", "KiB/session", "low", 1, limit=64),
            Metric("slope", "KiB/session, last half", "low", 1, limit=64),
            Metric("all", "MiB in all", "low", 0),
            Metric("NOOPs/s", "NOOPs/s through all", "high", 0),
            Metric("scrape", "ms for a scrape with all", "low", 1, limit=50),
            Metric("scrape CPU", "ms of CPU for it", "low", 1),
        ),
        _run_many,
        fresh=True,
        most_rounds=1,
        is_ours=True,
    ),
]
