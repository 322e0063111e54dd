"""Encryption at rest: the CPU of the server for encrypted files beside that for plain ones, in one run."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from pathlib import Path

from bench.cases.base import Case, Metric
from bench.ground import USER, Ground
from bench.measure import BenchError, Sample, cost_of
from bench.ours import ours
from bench.running import RunningServer
from bench.tools import download, run_together, upload

# Seconds.
PATIENCE = 120.0
GIB = 1 << 30


def _run(running: RunningServer) -> Sample:
    ground = running.ground
    _moved(running, "plain")  # a server that has just started pays for its first login, its threads and its memory
    plain = _moved(running, "plain")
    keys = Path(tempfile.mkdtemp(prefix="keys-", dir=ground.directory))
    data, key = keys / "data", keys / "main"
    data.mkdir(mode=0o700)
    key.write_text(secrets.token_hex(32))
    key.chmod(0o600)
    home = ground.make_directory("sealed")
    sections = f"encryption: {{data_keys: {data}, keys: {{main: [{{file: {key}}}]}}}}\n"
    users = f"users: {{{USER}: {{password: '{ground.password_hash}', home: {home}, encryption: main}}}}\n"
    try:
        with ours(ground, users=users, sections=sections) as other:
            _moved(other, "sealed")
            sealed = _moved(other, "sealed")
    finally:
        shutil.rmtree(keys)
        shutil.rmtree(home)
    values = {
        f"{way} {kind}": cost
        for kind, costs in (("plain", plain), ("encrypted", sealed))
        for way, cost in costs.items()
    }
    values |= {way: sealed[way] / plain[way] for way in plain}
    values["both"] = sum(sealed.values()) / sum(plain.values())
    return Sample(values)


def _moved(running: RunningServer, name: str) -> dict[str, float]:
    """Upload the large file and fetch it again; return the server's CPU seconds per GiB of each."""
    ground: Ground = running.ground
    source = ground.home / "bulk.bin"
    size = source.stat().st_size
    costs: dict[str, float] = {}
    with cost_of(running.root) as cost:
        run_together([upload(running, source, f"{name}.bin")], PATIENCE)
    costs["up"] = cost.server_cpu / size * GIB
    with cost_of(running.root) as cost:
        run_together([download(running, f"{name}.bin")], PATIENCE)
    costs["down"] = cost.server_cpu / size * GIB
    _remove(ground, name, size)
    return costs


def _remove(ground: Ground, name: str, size: int) -> None:
    """Remove the file, which has to be as long as it is stored; memory is what the files are in."""
    for home in (ground.home, ground.home / "sealed"):
        file: Path = home / f"{name}.bin"
        if file.exists():
            if os.stat(file).st_size < size:
                raise BenchError(f"{file.name} has {os.stat(file).st_size} bytes of {size}")
            file.unlink()
            return
    raise BenchError(f"{name}.bin was not stored")


CASES = [
    Case(
        "encrypted",
        "encryption at rest",
        (
            Metric("both", "x the CPU of plain, stored and fetched", "low", 2, limit=1.25),
            Metric("up", "x the CPU of plain, upload", "low", 2),
            Metric("down", "x the CPU of plain, download", "low", 2),
            Metric("up plain", "s/GiB", "low", 2),
            Metric("up encrypted", "s/GiB", "low", 2),
            Metric("down plain", "s/GiB", "low", 2),
            Metric("down encrypted", "s/GiB", "low", 2),
        ),
        _run,
        most_rounds=3,
        is_ours=True,
    )
]
