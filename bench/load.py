"""Load from Python clients: one process for each connection, all starting at one moment and stopping at another."""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from bench.measure import SETTLE, BenchError, cpu_seconds

# Seconds beyond the measured time for workers to log in, and to report.
PATIENCE = 60.0


@dataclass(frozen=True)
class Report:
    """The work of one worker: *facts* are counters of its own that add up over workers."""

    operations: int
    seconds: float
    client_cpu: float
    facts: dict[str, float]
    values: list[float]


@dataclass(frozen=True)
class Load:
    """The work of all workers together, and what it cost the server."""

    operations: int
    seconds: float
    client_cpu: float
    server_cpu: float
    facts: dict[str, float]
    values: list[float]

    @property
    def rate(self) -> float:
        """Operations per second."""
        return self.operations / self.seconds

    @property
    def server_microseconds(self) -> float:
        """Processor time of the server for one operation."""
        return self.server_cpu / self.operations * 1e6


class Work:
    """The step that a worker repeats; subclasses run in a process of their own."""

    def prepare(self) -> None:
        """Do what is not measured: connect, log in, warm up."""

    def step(self) -> None:
        """Do one operation."""
        raise NotImplementedError

    def facts(self) -> dict[str, float]:
        """Return counters for the report."""
        return {}

    def values(self) -> list[float]:
        """Return single measurements for the report."""
        return []

    def finish(self) -> None:
        """Leave, after the measurement."""


def run_load(root: int, works: list[Work], seconds: float) -> Load:
    """Have each of *works* repeat its step for *seconds*, once at least, against the server whose tree is *root*'s."""
    context = multiprocessing.get_context("fork")
    pipes: list[Connection] = []
    processes: list[Any] = []
    try:
        for work in works:
            ours, theirs = context.Pipe()
            process = context.Process(target=_worker, args=(work, seconds, theirs), daemon=True)
            process.start()
            theirs.close()
            pipes.append(ours)
            processes.append(process)
        for pipe in pipes:
            _receive(pipe, PATIENCE)
        before = cpu_seconds(root)
        started = time.monotonic()
        for pipe in pipes:
            pipe.send("go")
        reports = [_receive(pipe, seconds + PATIENCE) for pipe in pipes]
        elapsed = max(report.seconds for report in reports)
        time.sleep(max(0.0, SETTLE - (time.monotonic() - started - elapsed)))
        server_cpu = cpu_seconds(root) - before
        for pipe in pipes:
            pipe.send("bye")
        for process in processes:
            process.join(5.0)
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
                process.join()
        for pipe in pipes:
            pipe.close()
    facts: dict[str, float] = {}
    for report in reports:
        for name, value in report.facts.items():
            facts[name] = facts.get(name, 0) + value
    operations = sum(report.operations for report in reports)
    values = [value for report in reports for value in report.values]
    return Load(operations, elapsed, sum(report.client_cpu for report in reports), server_cpu, facts, values)


def _receive(pipe: Connection, patience: float) -> Any:
    if not pipe.poll(patience):
        raise BenchError(f"client not done after {patience:.0f} s")
    try:
        message = pipe.recv()
    except EOFError:
        raise BenchError("client died") from None
    if isinstance(message, str) and message != "ready":
        raise BenchError(message)
    return message


def _worker(work: Work, seconds: float, pipe: Connection) -> None:
    try:
        work.prepare()
        pipe.send("ready")
        pipe.recv()
        cpu, started = time.process_time(), time.monotonic()
        operations, now = 0, started
        while True:
            work.step()
            operations += 1
            now = time.monotonic()
            if now - started >= seconds:
                break
        cpu = time.process_time() - cpu
        pipe.send(Report(operations, now - started, cpu, work.facts(), work.values()))
        pipe.recv()
        work.finish()
    except (BenchError, OSError, ValueError) as error:
        pipe.send(f"{type(error).__name__}: {error}" if not isinstance(error, BenchError) else str(error))
    except EOFError:
        pass  # the benchmark is gone
