"""Many users: how long a start and a reload take with thousands of them, and whether others are answered meanwhile."""

from __future__ import annotations

import os
import re
import signal
import time
import urllib.request

from bench.cases.base import Case, Metric
from bench.client import HOST, Session
from bench.ground import USER, Ground
from bench.measure import BenchError, Sample
from bench.ours import ours, process_of
from bench.running import RunningServer
from ftpsd.auth.hashing.passwords import hash_password

# Seconds for a reload.
PATIENCE = 60.0
SECONDS_BETWEEN_SCRAPES = 0.05
RELOADED = re.compile(r"^ftpsd_config_last_reload_success_timestamp_seconds (\S+)$", re.MULTILINE)


def _run(running: RunningServer) -> Sample:
    ground = running.ground
    users = _users(ground)
    started = time.monotonic()
    with ours(ground, users=users) as many:
        start = time.monotonic() - started
        session = Session(many.port)
        session.log_in(USER, ground.password)
        before, longest = _reloaded(many), 0.0
        started = time.monotonic()
        os.kill(process_of(many), signal.SIGHUP)
        looked = started
        while True:
            asked = time.monotonic()
            # Scrapes one behind the other would be most of what the server does meanwhile.
            if asked - looked > SECONDS_BETWEEN_SCRAPES:
                if _reloaded(many) != before:
                    break
                looked = time.monotonic()
            session.command("NOOP", 200)
            longest = max(longest, time.monotonic() - asked)
            if asked - started > PATIENCE:
                raise BenchError(f"no reload within {PATIENCE:.0f} s")
        reload = time.monotonic() - started
        session.quit()
    return Sample({"start": start, "reload": reload, "NOOP": longest * 1000})


def _users(ground: Ground) -> str:
    """Return users with homes of their own, a role, networks and a limit each, and the one that logs in."""
    homes = ground.make_directory("homes")
    # Of the newest kind: the first login would have an older one made anew, and the file written, at the same time.
    password = hash_password(ground.password)
    lines = [
        "roles:",
        "  partner: {rules: [{path: '/in/**', allow: [list, upload]}, {path: '/**', allow: [list, read]}]}",
        "users:",
        f"  {USER}: {{password: '{password}', home: {ground.home}}}",
    ]
    for number in range(ground.scale.users):
        home = homes / f"{number:05}"
        home.mkdir(exist_ok=True)
        lines.append(
            f"  user{number:05}: {{password: '{password}', home: {home}, role: partner, "
            f"networks: [10.0.0.0/8], download_rate: 1MiB/s}}"
        )
    return "\n".join([*lines, ""])


def _reloaded(running: RunningServer) -> float:
    """Return when the configuration was read last, as the metrics tell it."""
    with urllib.request.urlopen(f"http://{HOST}:{running.ports.other}/metrics", timeout=PATIENCE) as answer:
        found = RELOADED.search(answer.read().decode())
    if found is None:
        raise BenchError("the metrics do not tell of reloads")
    return float(found[1])


CASES = [
    Case(
        "users",
        "start and reload with many users",
        (
            Metric("start", "s until it answers", "low", 2, limit=2),
            Metric("reload", "s for a reload", "low", 2, limit=2),
            Metric("NOOP", "ms, longest NOOP meanwhile", "low", 0),
        ),
        _run,
        most_rounds=3,
        is_ours=True,
    )
]
