"""
The cost of `uploads.durable`: the same uploads with it off and on, on a file system that has a disk.

Beside files/s and processor time, what the disk did for each file is told, from its line in /proc/diskstats: a flush
is what the journal of a file system ends each of its commits with.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from bench.cases.base import Case
from bench.ground import MIB, Ground, Scale, laid_out
from bench.packages import Programs
from bench.running import RunningServer
from bench.servers import SERVERS, Launch, Ports, Server, serve_ftpsd

ROUNDS = 5
QUICK_ROUNDS = 2
# The small files are all that these cases ask for.
SCALE = Scale(
    bulk_bytes=4 * MIB,
    seconds=4.0,
    sessions=0,
    many_sessions=0,
    readers=0,
    rate_seconds=0.0,
    users=0,
    entries=0,
    tree_files=0,
)
IN_MEMORY = frozenset({"tmpfs", "ramfs"})
KEYS = ("files/s", "CPU", "flushes", "KiB")
HEAD = "| upload | durable | files/s | CPU µs/file | flushes/file | KiB written/file |\n|---|---|---|---|---|---|"


@dataclass(frozen=True)
class Disk:
    """The work that a block device has done since its start."""

    sectors: int  # of 512 bytes, written
    flushes: int


def compare(options: argparse.Namespace, cases: list[Case]) -> int:
    """Run *cases* with durable off and on; print the medians."""
    parent = options.directory or Path(tempfile.gettempdir())
    kind = file_system(parent)
    if kind in IN_MEMORY:
        print(f"{parent} is a {kind}, where fsync costs nothing; name another with --directory", file=sys.stderr)
        return 2
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    programs = Programs(options.cache, may_fetch=False)
    print(f"{kind}, {rounds} rounds of {SCALE.seconds:g} s, {os.cpu_count()} processors; median (minimum to maximum)")
    print(HEAD, flush=True)
    with ExitStack() as stack:
        ground = stack.enter_context(laid_out(SCALE, parent))
        servers = {
            durable: stack.enter_context(RunningServer(_server(durable), ground, programs, place=int(durable)))
            for durable in (False, True)
        }
        for case in cases:
            found: dict[bool, list[dict[str, float]]] = {False: [], True: []}
            for number in range(rounds):
                for durable in (False, True) if number % 2 == 0 else (True, False):
                    found[durable].append(_run(case, servers[durable]))
                    outcome = ", ".join(f"{key} {value:.2f}" for key, value in found[durable][-1].items())
                    print(f"{number + 1}/{rounds} {case.name}, durable {durable}: {outcome}", file=sys.stderr)
            for durable, samples in found.items():
                cells = [_cell([sample[key] for sample in samples], key) for key in KEYS]
                print(f"| {case.title} | {'on' if durable else 'off'} | {' | '.join(cells)} |", flush=True)
    return 0


def _server(durable: bool) -> Server:
    def set_up(ground: Ground, _: Programs, ports: Ports) -> Launch:
        return serve_ftpsd(ground, ports, is_durable=durable)

    return replace(SERVERS[0], set_up=set_up)


def _run(case: Case, running: RunningServer) -> dict[str, float]:
    """Run *case* once; what the disk did is divided by the files of the measured time."""
    # Data that earlier runs have left to be written must not be written in this one.
    os.sync()
    running.ensure()
    before = _disk(running.ground.directory)
    values = dict(case.run(running).values)
    after = _disk(running.ground.directory)
    if before is not None and after is not None:
        files = values["files/s"] * running.ground.scale.seconds
        values["flushes"] = (after.flushes - before.flushes) / files
        values["KiB"] = (after.sectors - before.sectors) / 2 / files
    return {key: values.get(key, float("nan")) for key in KEYS}


def _cell(values: list[float], key: str) -> str:
    digits = 0 if key in ("files/s", "CPU") else 2
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def file_system(path: Path) -> str:
    """Return the type of the file system that *path* is on, "unknown" where /proc does not say."""
    wanted = _device(path)
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split(" ")
        if fields[2] == wanted:
            # proc_pid_mountinfo(5): any number of optional fields, a hyphen, the type.
            return fields[fields.index("-") + 1]
    return "unknown"


def _device(path: Path) -> str:
    number = path.stat().st_dev
    return f"{os.major(number)}:{os.minor(number)}"


def _disk(path: Path) -> Disk | None:
    """Return what the device below *path* has done; None where there is no one device, or it does not count flushes."""
    wanted = _device(path).split(":")
    for line in Path("/proc/diskstats").read_text().splitlines():
        fields = line.split()
        # Documentation/admin-guide/iostats: flushes are counted since Linux 5.5.
        if fields[:2] == wanted and len(fields) >= 20:
            return Disk(sectors=int(fields[9]), flushes=int(fields[18]))
    return None
