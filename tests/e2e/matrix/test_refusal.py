"""What a client that does not resume TLS sessions meets by default."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e.matrix.client import Client
from tests.e2e.matrix.clients.languages import JAVA
from tests.e2e.matrix.clients.python import FTPLIB
from tests.e2e.matrix.conftest import REQUIRED, MatrixDaemon, Workshop
from tests.e2e.matrix.steps import STEPS
from tests.e2e.matrix.test_matrix import attempt
from tests.e2e.programs.files import make_file
from tests.tools import missing, require_tool

PUT = next(step for step in STEPS if step.name == "put-1")


@pytest.mark.parametrize("client", [FTPLIB, JAVA], ids=lambda client: client.name)
def test_the_default_policy_refuses_with_a_clear_text(
    client: Client, matrix_daemon: MatrixDaemon, workshop: Workshop, tmp_path: Path
) -> None:
    """
    ftplib and Commons Net, for a user without `data_session_reuse: offered`: 522, nothing stored, and it says why.
    """
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


@pytest.mark.xfail(strict=True, reason="a TLS 1.3 upload brings no ticket, and OpenSSL's clients resume a session once")
def test_curl_uploads_twice_in_one_session_of_tls_1_3(matrix_daemon: MatrixDaemon, tmp_path: Path) -> None:
    """curl 7.88: the second file is refused with 522, unless it is told --tls-max 1.2 or downloads in between."""
    account = matrix_daemon.account(REQUIRED)
    source = make_file(tmp_path / "source", 1000)
    url = f"ftp://127.0.0.1:{matrix_daemon.port('explicit')}/"
    words = [require_tool("curl"), "-sS", "--ssl-reqd", "--tlsv1.3", "-m", "30"]
    words += ["-u", f"{account.name}:{account.password}", "--cacert", str(matrix_daemon.daemon.tls.authority)]
    words += [word for name in ("one", "two") for word in ("-T", str(source), url + name)]
    subprocess.run(words, capture_output=True, timeout=60)
    assert sorted(path.name for path in account.home.iterdir()) == ["one", "two"]
