"""SIGKILL before every system call of a scanned upload: what has no verdict never has its name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.client import EXPLICIT, log_in, upload
from tests.e2e.content.clamav import EICAR, ClamAV
from tests.e2e.daemon import Account
from tests.reliability.conftest import StartMortal
from tests.reliability.test_kill_points import DEAD, MOST, published

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


@pytest.mark.parametrize("data", [CLEAN, FOUND], ids=["clean", "found"])
def test_never_published_unscanned(start_mortal: StartMortal, clamd: ClamAV, tmp_path: Path, data: bytes) -> None:
    """Found: never there, and in the quarantine with its record or resumable. Clean: whole, or not there."""
    held = tmp_path / "quarantine"
    changes = {"accept": [{"paths": ["/**"], "scan": [clamd.url]}], "quarantine": {"directory": str(held)}}
    daemon = start_mortal(changes)
    account: Account = daemon.account()
    for at in range(1, MOST):
        for file in account.home.iterdir():
            file.unlink()
        ftp = log_in(daemon, EXPLICIT, account)
        daemon.plan("kill", at)
        said = ""
        try:
            said = upload(ftp, "file", data)
        except DEAD as error:
            said = str(error)
        # First, or a line of the audit log behind the reply may be the call that kills.
        daemon.forget_plan()
        is_over = daemon.exit_code is None and not daemon.faults
        if not is_over:
            daemon.wait_until_dead()
        there = published(account.home)
        if data is FOUND:
            assert there == {}, f"call {at}: {daemon.faults}"
            for file in held.glob("*.held"):
                assert file.read_bytes() == data
                assert file.with_suffix(".json").exists(), f"call {at}: {daemon.faults}"
        else:
            assert there in ({}, {"file": data}), f"call {at}: {daemon.faults}"
        if is_over:
            assert REFUSED.match(said) if data is FOUND else said.startswith("226"), said
            break
        daemon.restart()
        with suppress(OSError):
            ftp.close()
    else:
        raise AssertionError("it never got through")
