"""SIGKILL before every system call of a scanned upload: what has no verdict never has its name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.client import EXPLICIT, log_in, upload
from tests.e2e.content.clamav import EICAR, ClamAV
from tests.reliability.conftest import StartMortal
from tests.reliability.deaths import MANY_WORKERS, TRIED, Course, die
from tests.reliability.test_kill_points import emptied, published

CLEAN = b"clean " * 30_000
FOUND = CLEAN + EICAR
REFUSED = re.compile(r"550 .*Incident ([0-9a-f]{10})\.")


@pytest.fixture(scope="module")
def clamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClamAV]:
    """A clamd that outlives the daemons."""
    clamd = ClamAV(tmp_path_factory.mktemp("clamav"))
    try:
        clamd.start()
        yield clamd
    finally:
        clamd.stop()


def test_never_published_unscanned(start_mortal: StartMortal, clamd: ClamAV, tmp_path: Path) -> None:
    """Found: never there, and in the quarantine with its record or resumable. Clean: whole, or not there."""
    held = tmp_path / "quarantine"
    changes = {"accept": [{"paths": ["/**"], "scan": [clamd.url]}], "quarantine": {"directory": str(held)}}
    daemon = start_mortal({**changes, "workers": MANY_WORKERS})
    accounts = {CLEAN: daemon.account(), FOUND: daemon.account()}
    courses = {CLEAN: Course("clean"), FOUND: Course("found")}
    for at in range(1, TRIED + 1):
        # One of either kind: another that is found would wait for the quarantine, which the first one may have.
        turns = [(data, accounts[data], course) for data, course in courses.items() if at < course.over]
        if not turns:
            break
        sessions = []
        for _, account, _ in turns:
            emptied(account.home, {})
            sessions.append(log_in(daemon, EXPLICIT, account))
        uploads = [partial(upload, ftp, "file", data) for (data, _, _), ftp in zip(turns, sessions, strict=True)]
        fates = die(daemon, [(at, act) for act in uploads])
        for file in held.glob("*.held"):
            assert file.read_bytes() == FOUND, (at, fates)
            assert file.with_suffix(".json").exists(), (at, fates)
        for (data, account, course), fate, ftp in zip(turns, fates, sessions, strict=True):
            ftp.close()
            there = published(account.home)
            assert there in (({}, {"file": CLEAN}) if data is CLEAN else ({},)), (at, fate)
            if not fate.call:
                assert fate.is_done if data is CLEAN else REFUSED.match(fate.answer), (at, fate)
            course.note(at, fate)
        if daemon.exit_code is not None:
            daemon.restart()
    for course in courses.values():
        course.check()
