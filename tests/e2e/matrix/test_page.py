"""docs/clients.md says what the run before it saw; pytest runs this file after test_matrix.py."""

from __future__ import annotations

import os

import pytest

from tests.e2e.matrix.client import MODES, Client
from tests.e2e.matrix.conftest import Workshop
from tests.e2e.matrix.page import PAGE, committed_versions, render
from tests.e2e.matrix.registry import CLIENTS, runs
from tests.e2e.matrix.results import Results
from tests.e2e.matrix.steps import STEPS


def test_the_page_is_true(results: Results, workshop: Workshop) -> None:
    """Every cell is as this run saw it; steps that did not run are as declared, and versions may differ."""
    if os.environ.get("FTPSD_TESTS_WRITE_CLIENTS") == "1":
        unseen = [
            f"{client.name} {mode} {step.name}"
            for client, mode, step in runs()
            if (client.name, mode, step.name) not in results.seen
        ]
        assert not unseen, f"only a whole run without failure writes the page, in one process (-n 0); it lacks {unseen}"
        versions = {client.name: client.version(workshop.build(client)) for client in CLIENTS if not client.missing()}
        PAGE.write_text(render(results, versions), encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    assert page == render(results, committed_versions(page))


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_inabilities_are_of_the_scenario(client: Client) -> None:
    """A key of `cannot` that names no step or mode would hide nothing and explain nothing."""
    known = {step.name for step in STEPS} | set(MODES) | {f"{mode} {step.name}" for mode in MODES for step in STEPS}
    assert set(client.cannot) <= known
