"""Connections: connect, TLS, login, QUIT, over and over; every handshake is a full one."""

from __future__ import annotations

from functools import partial

from bench.cases.base import Case, Metric
from bench.client import Session
from bench.ground import USER
from bench.load import Work, run_load
from bench.measure import Sample
from bench.running import RunningServer


class _Logins(Work):
    def __init__(self, running: RunningServer) -> None:
        self._port = running.port
        self._password = running.ground.password

    def prepare(self) -> None:
        self.step()

    def step(self) -> None:
        session = Session(self._port)
        session.log_in(USER, self._password)
        session.quit()


def _run(count: int, running: RunningServer) -> Sample:
    load = run_load(running.root, [_Logins(running) for _ in range(count)], running.ground.scale.seconds)
    return Sample({"logins/s": load.rate, "CPU": load.server_microseconds / 1000})


METRICS = (Metric("logins/s", "logins/s", "high", 0, 1.0), Metric("CPU", "ms/login", "low", 2))

CASES = [
    Case("login-1", "connect, TLS, login, QUIT, 1 client", METRICS, partial(_run, 1)),
    Case("login-4", "connect, TLS, login, QUIT, 4 clients", METRICS, partial(_run, 4)),
]
