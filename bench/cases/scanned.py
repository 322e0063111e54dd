"""
Scanned uploads: an upload with its verdict, beside the slower of the upload alone and the scan alone, in one run.

The gate hands the bytes on while they arrive, but clamd only collects them then, and begins its scan when it has the
whole file. So one file takes the upload and the scan behind it, whatever feeds clamd: the limit is on what the gate
adds to these two. What it takes beside the slower of both stands there too, for what does read along.

Of several files at once some are scanned while others arrive, as far as there are processors for it. A program that
reads while the bytes arrive (sha256sum stands for one that looks at them) shows what the gate itself costs.
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
# Files at once, which have the bytes of the large one together.
MANY = 8


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
            part = _part_of(source)
            alone_many, scanned_many = _stored(server, "plain", part, MANY), scan(path, part, MANY)
            both_many = _stored(server, "scanned", part, MANY)
    values = {
        "clamd": both / (alone + scanned),
        "clamd, many": both_many / (alone_many + scanned_many),
        "clamd, slower": both / max(alone, scanned),
        "clamd, many, slower": both_many / max(alone_many, scanned_many),
        "program": both_read / max(alone, read),
        "upload alone": alone,
        "clamd alone": scanned,
        "upload by clamd": both,
        "program alone": read,
        "upload by program": both_read,
        "many alone": alone_many,
        "clamd alone, many": scanned_many,
        "many by clamd": both_many,
    }
    return Sample(values)


def _part_of(source: Path) -> Path:
    """Return a file with the `MANY`th part of *source*, which is made beside it."""
    part = source.with_name("part.bin")
    with open(source, "rb") as whole, open(part, "wb") as file:
        file.write(whole.read(source.stat().st_size // MANY))
    return part


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


def _stored(running: RunningServer, folder: str, source: Path | None = None, times: int = 1) -> float:
    """Upload *source*, the large file by default, so many *times* at once; return how many seconds that took."""
    source = source or running.ground.home / "bulk.bin"
    names = [f"up/{folder}/{number}.bin" for number in range(times)]
    with cost_of(running.root) as cost:
        run_together([upload(running, source, name) for name in names], PATIENCE)
    for name in names:
        stored = running.ground.home / name
        if stored.stat().st_size != source.stat().st_size:
            raise BenchError(f"{stored} has {stored.stat().st_size} bytes")
        stored.unlink()
    return cost.seconds


CASES = [
    Case(
        "scan",
        "scanned upload",
        (
            Metric("clamd", "x the upload, then clamd", "low", 2, limit=1.1),
            Metric("clamd, many", "x 8 uploads, then clamd", "low", 2, limit=1.1),
            Metric("clamd, slower", "x the slower of upload and clamd", "low", 2),
            Metric("clamd, many, slower", "x the slower of 8 uploads and clamd", "low", 2),
            Metric("program", "x the slower of upload and program", "low", 2, limit=1.1),
            Metric("upload alone", "s, upload", "low", 2),
            Metric("clamd alone", "s, clamd", "low", 2),
            Metric("upload by clamd", "s, upload and clamd", "low", 2),
            Metric("program alone", "s, program", "low", 2),
            Metric("upload by program", "s, upload and program", "low", 2),
            Metric("many alone", "s, 8 uploads at once", "low", 2),
            Metric("clamd alone, many", "s, clamd, 8 at once", "low", 2),
            Metric("many by clamd", "s, 8 uploads at once and clamd", "low", 2),
        ),
        _run,
        most_rounds=5,
        is_ours=True,
    )
]
