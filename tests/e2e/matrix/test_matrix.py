"""Every client, in explicit and implicit TLS, through every step it can do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.daemon import Account, lines_with
from tests.e2e.matrix.client import Client, Job, Outcome, TLSMode, run
from tests.e2e.matrix.conftest import OFFERED, REQUIRED, MatrixDaemon, Workshop
from tests.e2e.matrix.registry import runs
from tests.e2e.matrix.results import Results
from tests.e2e.matrix.steps import Place, Step
from tests.e2e.polling import eventually
from tests.tools import missing


def cases() -> Iterator[Any]:
    """Yield a test's parameters for every case."""
    for client, mode, step in runs():
        yield pytest.param(client, mode, step, id=f"{client.name}-{mode}-{step.name}")


def attempt(
    client: Client, mode: TLSMode, step: Step, account: Account, matrix: MatrixDaemon, work: Path, build: Path
) -> tuple[Place, Outcome]:
    """Let *client* take *step* as *account*; return where to look, and what it said."""
    work.mkdir()

    before = len(matrix.daemon.audit_text())

    def log() -> list[dict[str, Any]]:
        lines = lines_with(matrix.daemon.audit_text(before), account.name)
        return [event for event in map(json.loads, lines) if event.get("user") == account.name]

    place = Place(work, account.home, log)
    step.prepare(place)
    job = Job(
        operations=step.operations(client),
        host=client.host(step.data),
        port=matrix.port(mode),
        mode=mode,
        user=account.name,
        password=account.password,
        authority=matrix.daemon.tls.authority,
        data=step.data,
        work=work,
        build=build,
    )
    return place, run(client, job)


@pytest.mark.parametrize(("client", "mode", "step"), list(cases()))
def test_step(
    client: Client,
    mode: TLSMode,
    step: Step,
    matrix_daemon: MatrixDaemon,
    workshop: Workshop,
    results: Results,
    tmp_path: Path,
) -> None:
    """A client does what it can do, on the server's disk too; what it cannot do it still cannot."""
    if lacks := client.missing():
        missing(f"{client.name}: {lacks} is not installed")
    account = matrix_daemon.account(OFFERED if client.offered else REQUIRED)
    build = workshop.build(client)
    place, outcome = attempt(client, mode, step, account, matrix_daemon, tmp_path / "work", build)
    check = partial(step.check, place, client, outcome.said)
    if client.inability(mode, step.name) is not None:
        assert outcome.failed or fails(check), f"{client.name} can now: take {step.name} off its inabilities"
        results.note(client, mode, step.name, "cannot")
        return
    assert not outcome.failed, outcome.failed
    # The log is written behind: it is whole for this user when every session in it has ended.
    eventually(lambda: place.events("logged-in") and not place.open_sessions, "the end of every session")
    check()
    results.note(client, mode, step.name, "works")


def fails(check: partial[None]) -> bool:
    """Tell whether *check* finds fault."""
    try:
        check()
    except (AssertionError, OSError):
        return True
    return False
