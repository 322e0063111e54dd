"""Idle sessions: what a session that is logged in and silent keeps in memory."""

from __future__ import annotations

import resource
import time
from concurrent.futures import ThreadPoolExecutor

from bench.cases.base import Case, Metric
from bench.client import Session
from bench.ground import USER
from bench.measure import BenchError, Sample, pss_kib
from bench.running import RunningServer

# Clients that log in at the same time.
AT_ONCE = 8
# Sessions that have come and gone before the first look, so that what is loaded once is not counted.
WARM_UP = 20
# Seconds for the servers to come to rest.
REST = 1.0


def _run(running: RunningServer) -> Sample:
    count = running.ground.scale.sessions
    _allow_descriptors(count)
    password = running.ground.password

    def log_in(_: int) -> Session:
        session = Session(running.port)
        session.log_in(USER, password)
        session.protect()
        return session

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


def _allow_descriptors(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count + 200:
        raise BenchError(f"limit of open files is {hard}")
    if soft < count + 200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count + 200, hard))


CASES = [
    Case(
        "idle",
        "idle sessions",
        (Metric("memory", "KiB/session", "low", 0, limit=64), Metric("all", "MiB in all", "low", 0)),
        _run,
        fresh=True,
        most_rounds=3,
    )
]
