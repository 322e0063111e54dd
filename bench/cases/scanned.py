"""
Scanned uploads: an upload with its verdict, beside the slower of the upload alone and the scan alone, in one run.

clamd begins when it has all of a file. A program that reads while the bytes arrive (sha256sum stands for one that looks
at them) shows what the gate itself costs.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

from bench.cases.base import Case, Metric
from bench.measure import BenchError, Sample, cost_of
from bench.ours import ours
from bench.running import RunningServer
from bench.scanner import clamd, scan
from bench.tools import run_together, upload

# Seconds.
PATIENCE = 300.0
PROGRAM = ("/usr/bin/sha256sum",)


def _run(running: RunningServer) -> Sample:
    ground = running.ground
    source = ground.home / "bulk.bin"
    with clamd(ground) as path:
        sections = (
            f"accept: [{{paths: [/up/scanned/**], scan: ['clamd://{path}']}}, "
            f"{{paths: [/up/read/**], program: {list(PROGRAM)}}}]\n"
            f"quarantine: {{directory: {ground.directory}/quarantine}}\n"
        )
        for name in ("plain", "scanned", "read"):
            ground.make_directory(f"up/{name}")
        with ours(ground, sections=sections) as server:
            _stored(server, "plain")  # a server that has just started pays for its first login, its threads and memory
            scan(path, source)
            alone, scanned = _stored(server, "plain"), scan(path, source)
            both = _stored(server, "scanned")
            read, both_read = _read(source), _stored(server, "read")
    values = {
        "clamd": both / max(alone, scanned),
        "program": both_read / max(alone, read),
        "upload alone": alone,
        "clamd alone": scanned,
        "upload by clamd": both,
        "program alone": read,
        "upload by program": both_read,
    }
    return Sample(values)


def _read(file: Path) -> float:
    """Return how many seconds the program takes for *file* by itself, through a pipe as from the server."""
    started = time.monotonic()
    with (
        subprocess.Popen(PROGRAM, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process,
        open(file, "rb") as source,
    ):
        assert process.stdin is not None
        shutil.copyfileobj(source, process.stdin, 1 << 20)
        process.stdin.close()
        if process.wait(PATIENCE):
            raise BenchError(f"{PROGRAM[0]} failed")
    return time.monotonic() - started


def _stored(running: RunningServer, folder: str) -> float:
    """Upload the large file into *folder*, and return how many seconds that took."""
    source = running.ground.home / "bulk.bin"
    with cost_of(running.root) as cost:
        run_together([upload(running, source, f"up/{folder}/bulk.bin")], PATIENCE)
    stored = running.ground.home / "up" / folder / "bulk.bin"
    if stored.stat().st_size != source.stat().st_size:
        raise BenchError(f"{stored} has {stored.stat().st_size} bytes")
    stored.unlink()
    return cost.seconds


CASES = [
    Case(
        "scan",
        "scanned upload",
        (
            Metric("clamd", "x the slower of upload and clamd", "low", 2, limit=1.1),
            Metric("program", "x the slower of upload and program", "low", 2, limit=1.1),
            Metric("upload alone", "s, upload", "low", 2),
            Metric("clamd alone", "s, clamd", "low", 2),
            Metric("upload by clamd", "s, upload and clamd", "low", 2),
            Metric("program alone", "s, program", "low", 2),
            Metric("upload by program", "s, upload and program", "low", 2),
        ),
        _run,
        most_rounds=5,
        is_ours=True,
    )
]
