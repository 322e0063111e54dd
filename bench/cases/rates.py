"""Bandwidth limits: how far from it a client ends up over ten seconds, for a session and for a user."""

from __future__ import annotations

import threading
import time
from functools import partial

from bench.cases.base import Case, Metric
from bench.client import RECORD, Session
from bench.ground import USER, Ground
from bench.measure import BenchError, Sample, cost_of
from bench.ours import ours
from bench.running import RunningServer

# Bytes per second: far below what one core can do, far above what a quantum moves.
RATE = 8 << 20
SESSIONS = 4
METRICS = (Metric("off", "% off the limit", "low", 2, limit=5), Metric("CPU", "% CPU", "low", 1))


def _run(whose: str, running: RunningServer) -> Sample:
    ground, count = running.ground, SESSIONS if whose == "user" else 1
    if whose == "user":
        options = {"more": "", "users": _users(ground, f", download_rate: {RATE}")}
    else:
        options = {"more": f", download_rate: {RATE}"}
    with ours(ground, **options) as limited:
        taken = [0] * count
        begin, is_over = threading.Barrier(count + 1), threading.Event()
        threads = [
            threading.Thread(target=_take, args=(limited, taken, number, begin, is_over), daemon=True)
            for number in range(count)
        ]
        for thread in threads:
            thread.start()
        begin.wait(60)
        with cost_of(limited.root) as cost:
            # The bytes moved at once, on the burst, are no part of a rate: the clock starts at the first byte.
            started = time.monotonic()
            time.sleep(ground.scale.rate_seconds)
            moved, seconds = sum(taken), time.monotonic() - started
        is_over.set()
        for thread in threads:
            thread.join(10)
    if not all(taken):
        raise BenchError("a session got nothing")
    return Sample({"off": abs(moved / seconds / RATE - 1) * 100, "CPU": cost.server_cpu / cost.seconds * 100})


def _take(
    limited: RunningServer, taken: list[int], number: int, begin: threading.Barrier, over: threading.Event
) -> None:
    session = Session(limited.port)
    session.log_in(USER, limited.ground.password)
    session.protect()
    begin.wait(60)
    data = session.open("RETR bulk.bin")
    while not over.is_set() and (piece := data.recv(RECORD)):
        taken[number] += len(piece)
    data.close()
    session.close()


def _users(ground: Ground, more: str) -> str:
    return f"users:\n  {USER}: {{password: '{ground.password_hash}', home: {ground.home}{more}}}\n"


CASES = [
    Case("rates-session", "limit of a session", METRICS, partial(_run, "session"), most_rounds=2, is_ours=True),
    Case(
        "rates-user",
        f"limit of a user with {SESSIONS} sessions",
        METRICS,
        partial(_run, "user"),
        most_rounds=2,
        is_ours=True,
    ),
]
