"""Looking into ftpsd: one case while cProfile watches the reactor thread, then once more while strace counts."""

from __future__ import annotations

import argparse
import os
import pstats
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from bench.cases.base import Case
from bench.ground import FULL, QUICK, Ground, laid_out
from bench.measure import tree
from bench.packages import Programs
from bench.running import RunningServer
from bench.servers import SERVERS, Launch, Ports

LINES = 45
# Seconds for a signal to be seen, for strace to be attached.
PAUSE = 0.7


def profile(options: argparse.Namespace, cases: list[Case]) -> int:
    """Profile the one case of *cases*; prints what costs most, by own time."""
    output = Path(options.output or "ftpsd.prof").absolute()

    def set_up(ground: Ground, programs: Programs, ports: Ports) -> Launch:
        launch = SERVERS[0].set_up(ground, programs, ports)
        return replace(launch, argv=[sys.executable, "-m", "bench.profiled", launch.argv[-1], str(output)])

    profiled = replace(SERVERS[0], set_up=set_up)
    programs = Programs(options.cache, may_fetch=False)
    with laid_out(QUICK if options.quick else FULL, options.directory) as ground:
        for case in cases:
            with RunningServer(profiled, ground, programs, place=0) as running:
                running.ensure()
                case.run(running)
                _watched(case, running)
                print(f"== {case.name}: reactor thread, by own time")
                pstats.Stats(str(output)).sort_stats("tottime").print_stats(LINES)
            with RunningServer(SERVERS[0], ground, programs) as running:
                running.ensure()
                case.run(running)
                _count_calls(case, running)
    return 0


def _watched(case: Case, running: RunningServer) -> None:
    """Run *case* between two signals."""
    process = tree(running.root)[1]
    os.kill(process, signal.SIGUSR2)
    time.sleep(PAUSE)
    sample = case.run(running)
    os.kill(process, signal.SIGUSR2)
    time.sleep(PAUSE)
    print(f"== {case.name} under cProfile: {sample.values}")


def _count_calls(case: Case, running: RunningServer) -> None:
    """Run *case* while strace counts the system calls of every thread."""
    if not shutil.which("strace"):
        return
    process = tree(running.root)[1]
    strace = subprocess.Popen(
        ["strace", "-f", "-c", "-S", "calls", "-p", str(process)], stderr=subprocess.PIPE, text=True
    )
    time.sleep(PAUSE)
    try:
        sample = case.run(running)
    finally:
        strace.terminate()
        _, table = strace.communicate(timeout=20)
    print(f"== {case.name} under strace: {sample.values}")
    print("\n".join(table.splitlines()[:LINES]))
