"""
The command line: `python -m bench` measures, `python -m bench profile CASE` looks into ftpsd.

`python -m bench durable` shows what waiting for the disk costs, `python -m bench ledger` what the ledger of events
takes, `python -m bench show FILE...` what earlier runs wrote. See README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import ssl
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

from bench.cases import all_cases
from bench.cases.base import Case
from bench.client import OFFER
from bench.ground import FULL, QUICK, laid_out
from bench.measure import BenchError
from bench.packages import Missing, Programs, default_cache
from bench.results import OURS, Results
from bench.running import RunningServer
from bench.servers import SERVERS, Server
from bench.table import render

ROUNDS = 3
QUICK_ROUNDS = 2


def main() -> int:
    """Run what the command line says; return the exit code."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, _stop)
    OFFER.is_open = options.tls == "any"
    if options.action == "profile":
        from bench.profiling import profile

        return profile(options, chosen_cases(_case(options) or "small-retr-1k-1"))
    if options.action == "durable":
        from bench.durability import compare

        return compare(options, chosen_cases(_case(options) or options.only or "small-stor"))
    if options.action == "flood":
        from bench.flooding import measure_flood

        return measure_flood(options)
    if options.action == "ledger":
        from bench.ledger_rate import measure_ledger

        return measure_ledger(options)
    results = shown(options) if options.action == "show" else measure(options)
    text = render(results)
    print(text)
    if options.output:
        options.output.write_text(text)
    if options.json:
        options.json.write_text(json.dumps({**surroundings(), **results.document()}, indent=1, ensure_ascii=False))
    if options.chart:
        from bench.chart import draw

        draw(results, options.chart)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure ftpsd beside other servers.")
    parser.add_argument(
        "action", nargs="?", choices=["run", "profile", "durable", "flood", "ledger", "show"], default="run"
    )
    parser.add_argument("case", nargs="*", help="profile, durable: the case, e.g. small-stor-1k-1; show: files")
    parser.add_argument("--rounds", type=int, help=f"rounds over all servers ({ROUNDS}; {QUICK_ROUNDS} with --quick)")
    parser.add_argument("--quick", action="store_true", help="less of everything, for a first look")
    parser.add_argument("--only", default="", help="cases or families, comma-separated, e.g. bulk,small-retr-1k-1")
    parser.add_argument("--servers", default="", help="servers, comma-separated; ftpsd is always among them")
    parser.add_argument("--tls", choices=["1.3", "any"], default="1.3", help="what clients offer (%(default)s)")
    parser.add_argument("--list", action="store_true", help="list cases and servers and end")
    parser.add_argument("--output", type=Path, help="write the table there too")
    parser.add_argument("--json", type=Path, help="write every figure there")
    parser.add_argument("--chart", type=Path, help="draw the ratios there (SVG)")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="unpacked packages (%(default)s)")
    parser.add_argument("--no-fetch", action="store_true", help="compare only what is installed or in the cache")
    parser.add_argument("--directory", type=Path, help="where files are served from (/dev/shm)")
    return parser


def _case(options: argparse.Namespace) -> str:
    return ",".join(options.case)


def shown(options: argparse.Namespace) -> Results:
    """Return what earlier runs wrote with --json; of a case that several have, the last one's."""
    results = Results(chosen_cases(options.only), chosen_servers(options.servers))
    documents = [json.loads(Path(name).read_text()) for name in options.case]
    for document in documents:
        results.take(document)
    found = {server for document in documents for case in document["cases"] for server in case["servers"]}
    results.servers = [server for server in results.servers if server.name in found]
    return results


def measure(options: argparse.Namespace) -> Results:
    """Run the chosen cases against the chosen servers."""
    cases, servers = chosen_cases(options.only), chosen_servers(options.servers)
    if options.list:
        for case in cases:
            print(f"{case.name:24} {case.title}")
        for server in servers:
            print(f"{server.name:24} {server.about}")
        sys.exit(0)
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    programs = Programs(options.cache, may_fetch=not options.no_fetch)
    results = Results(cases, servers)
    with ExitStack() as stack:
        scale = QUICK if options.quick else FULL
        ground = stack.enter_context(laid_out(scale, options.directory))
        results.scale = f"{rounds} rounds; {scale}; TLS {options.tls}"
        running = []
        for server in servers:
            try:
                running.append(stack.enter_context(RunningServer(server, ground, programs)))
            except Missing as why:
                results.missing[server.name] = str(why)
                say(f"{server.name} is missing: {why}")
        results.servers = [one.server for one in running]
        _run_all(results, running, rounds)
    return results


def _run_all(results: Results, running: list[RunningServer], rounds: int) -> None:
    """Alternate: every round runs each case against every server, and begins with another one."""
    for case in results.cases:
        # A figure that lasts is worth more than an early look at all: the servers of one case run next to each other.
        for number in range(min(rounds, case.most_rounds)):
            turn = number % len(running)
            for server in [*running[turn:], *running[:turn]]:
                if server.server.protocol in case.protocols and (not case.is_ours or server.name == OURS):
                    _run_one(results, case, server, f"{number + 1}/{rounds}")


def _run_one(results: Results, case: Case, running: RunningServer, place: str) -> None:
    cell = results.cell(case, running.server)
    # Twice is enough to know that a server cannot do this.
    if len(cell.failures) >= 2:
        return
    started = time.monotonic()
    try:
        running.ensure(fresh=case.fresh)
        sample = case.run(running)
    except (BenchError, OSError, ValueError) as error:
        cell.samples.append(None)
        cell.failures.append(str(error) or type(error).__name__)
        outcome = f"failed: {error}"
        # The next case shall not inherit its state, whatever that is now.
        running.stop()
    else:
        cell.samples.append(sample)
        outcome = ", ".join(f"{key} {value:.2f}" for key, value in sample.values.items())
        outcome += "".join(f" [{note}]" for note in sample.notes)
    say(f"{place} {case.name} {running.name} ({time.monotonic() - started:.1f} s): {outcome}")


def chosen_cases(text: str) -> list[Case]:
    """Return the cases that *text* names; all when it is empty."""
    wanted = [word for word in text.split(",") if word]
    found = [case for case in all_cases() if not wanted or any(_is_named(case, word) for word in wanted)]
    for word in wanted:
        if not any(_is_named(case, word) for case in found):
            complain(f"no case is called {word}; --list shows them")
    return found


def _is_named(case: Case, word: str) -> bool:
    return case.name == word or case.name.startswith(f"{word}-")


def chosen_servers(text: str) -> list[Server]:
    """Return the servers that *text* names, ftpsd among them; all when it is empty."""
    wanted = [word for word in text.split(",") if word]
    for word in wanted:
        if word not in [server.name for server in SERVERS]:
            complain(f"no server is called {word}; --list shows them")
    return [server for server in SERVERS if not wanted or server.name in wanted or server.name == OURS]


def surroundings() -> dict[str, Any]:
    """Return what figures depend on."""
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "load": os.getloadavg(),
        "revision": _revision(),
    }


def _revision() -> str:
    """Return what was measured; "-dirty" at its end means that the tree held more than that commit."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def say(text: str) -> None:
    """Report progress."""
    print(text, file=sys.stderr, flush=True)


def complain(text: str) -> NoReturn:
    """End with a message about the command line."""
    say(text)
    sys.exit(2)


def _stop(*_: object) -> NoReturn:
    sys.exit(143)


if __name__ == "__main__":
    sys.exit(main())
