"""The reply that a client that does not resume TLS sessions meets by default."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.matrix.client import Client
from tests.e2e.matrix.conftest import REQUIRED, MatrixDaemon, Workshop
from tests.e2e.matrix.registry import CLIENTS
from tests.e2e.matrix.steps import STEPS
from tests.e2e.matrix.test_matrix import attempt
from tests.tools import missing

PUT = next(step for step in STEPS if step.name == "put-1")


@pytest.mark.parametrize("client", [client for client in CLIENTS if client.offered], ids=lambda client: client.name)
def test_the_default_policy_refuses_with_a_clear_text(
    client: Client, matrix_daemon: MatrixDaemon, workshop: Workshop, tmp_path: Path
) -> None:
    """Every client that is run with `data_session_reuse: offered` needs it: 522 without, and nothing is stored."""
    if lacks := client.missing():
        missing(f"{client.name}: {lacks} is not installed")
    account = matrix_daemon.account(REQUIRED)
    place, outcome = attempt(client, "explicit", PUT, account, matrix_daemon, tmp_path / "work", workshop.build(client))
    assert outcome.failed
    refused = matrix_daemon.daemon.wait_for_event("data-connection-refused", user=account.name)
    assert refused["reason"] == "not-resumed"
    done = matrix_daemon.daemon.wait_for_event("command", user=account.name, command="STOR")
    assert done["code"] == 522
    assert list(place.home.iterdir()) == []
