"""The admin endpoint: metrics that Prometheus accepts, health and readiness."""

from __future__ import annotations

import ftplib
import http.client
import socket
import subprocess
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.client import EXPLICIT, Way, begin, content, download, listing, log_in, next_code, reply, upload
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Account, Daemon
from tests.e2e.polling import eventually
from tests.tools import require_tool


@pytest.fixture
def way() -> Way:
    """One is enough."""
    return EXPLICIT


def test_metrics_pass_promtool(daemon: Daemon, ftp: ftplib.FTP) -> None:
    """After a session of everything `promtool check metrics` has nothing to say."""
    upload(ftp, "file", content(1000))
    download(ftp, "file")
    listing(ftp, "LIST")
    reply(ftp, "XYZZY")
    text = daemon.get("/metrics")[1]
    checked = subprocess.run([require_tool("promtool"), "check", "metrics"], input=text, capture_output=True, text=True)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_a_session_is_counted(start_daemon: StartDaemon) -> None:
    """Connections, logins, commands, transfers and their bytes."""
    daemon = start_daemon()
    ftp = log_in(daemon, EXPLICIT, daemon.account())
    upload(ftp, "file", content(1000))
    download(ftp, "file")
    download(ftp, "file")
    connection, _ = begin(ftp, "STOR other")
    during = daemon.metrics()
    assert during['ftpsd_transfers_in_progress{direction="upload"}'] == 1
    assert during['ftpsd_sessions{state="transfer"}'] == 1
    ftp.putcmd("ABOR")
    assert [next_code(ftp), next_code(ftp)] == [426, 226]
    connection.close()
    ftp.quit()

    def counted() -> dict[str, float]:
        after = daemon.metrics()
        return (
            after
            if not any(after[f'ftpsd_sessions{{state="{state}"}}'] for state in ("login", "idle", "transfer"))
            else {}
        )

    after = eventually(counted, "the session is over")
    expected = {
        'ftpsd_auth_attempts_total{method="password",result="accepted"}': 1,
        'ftpsd_transfers_total{direction="upload",result="complete"}': 1,
        'ftpsd_transfers_total{direction="upload",result="aborted"}': 1,
        'ftpsd_transfers_total{direction="download",result="complete"}': 2,
        'ftpsd_transfer_bytes_total{direction="upload"}': 1000,
        'ftpsd_transfer_bytes_total{direction="download"}': 2000,
        'ftpsd_transfers_in_progress{direction="upload"}': 0,
        'ftpsd_commands_total{code_class="2xx",command="RETR"}': 2,
    }
    assert {name: after.get(name) for name in expected} == expected


def test_no_metric_names_a_user(daemon: Daemon, account: Account, ftp: ftplib.FTP) -> None:
    """Nor a path, nor an address of a client."""
    upload(ftp, "a-file-of-mine", b"x")
    text = daemon.get("/metrics")[1]
    assert [word for word in (account.name, "a-file-of-mine", account.password) if word in text] == []


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/", "/metrics"])
def test_the_pages_answer(daemon: Daemon, path: str) -> None:
    """200 each."""
    assert daemon.get(path)[0] == 200


def test_a_foreign_host_header_is_refused(daemon: Daemon) -> None:
    """A web page cannot read the metrics through a name that it makes resolve to 127.0.0.1."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{daemon.ports.metrics}/metrics", headers={"Host": "evil.example"}
    )
    with pytest.raises(urllib.error.HTTPError, match="421"):
        urllib.request.urlopen(request, timeout=20)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("reads", [False, True], ids=["silent", "reads"])
def test_requests_sent_ahead_take_no_memory(start_daemon: StartDaemon, processes: int, reads: bool) -> None:
    """100,000 requests in one go, with or without somebody who takes the answers; others are answered meanwhile."""
    own = start_daemon({"processes": processes})
    before = resident(own)
    with socket.create_connection(("127.0.0.1", own.ports.metrics), 20) as greedy:
        greedy.setblocking(False)
        left = memoryview(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100_000)
        for _ in range(300):
            with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                left = left[greedy.send(left) :] if left else left
            with suppress(BlockingIOError, ConnectionResetError):
                if reads:
                    greedy.recv(1 << 20)
            assert own.get("/healthz")[0] == 200
    assert resident(own) - before < 8 * 1024 * 1024


def resident(daemon: Daemon) -> int:
    """Return the most memory that *daemon* has had so far, in bytes."""
    assert daemon.process is not None
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def ask_as(daemon: Daemon, name: str) -> int:
    """Return the code of the answer to a request that calls the server *name*."""
    asking = http.client.HTTPConnection("127.0.0.1", daemon.ports.metrics, timeout=20)
    try:
        asking.request("GET", "/metrics", headers={"Host": f"{name}:{daemon.ports.metrics}"})
        return asking.getresponse().status
    finally:
        asking.close()


@pytest.mark.parametrize("processes", [1, 2])
def test_the_machine_answers_to_its_own_name(start_daemon: StartDaemon, processes: int) -> None:
    """By default, in any case, and to those of the configuration after a reload, which replace it."""
    own = start_daemon({"processes": processes})
    here = socket.gethostname()
    assert [ask_as(own, name) for name in (here, here.upper(), "ftps.example", "evil.example")] == [200, 200, 421, 421]
    own.config_file.write_text(own.config_file.read_text().replace("metrics:\n", "metrics:\n  names: [FTPS.example]\n"))
    own.reload()
    assert "metrics has changed" not in own.stderr
    assert [ask_as(own, name) for name in ("ftps.example", "evil.example", "localhost")] == [200, 421, 200]
