"""The audit log on its way to rsyslog: over outages, rotations and restarts, in each form, and never to a stranger."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ftpsd.audit.evidence.keys import make_key
from ftpsd.demo.authority import Demonstration, create
from tests.clientpki import ClientAuthority
from tests.e2e.client import EXPLICIT, Sessions, content, upload
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Daemon
from tests.e2e.polling import eventually
from tests.e2e.rsyslog import Driver, Rsyslog

# RFC 5424, as sent.
MESSAGE = re.compile(r"<(\d+)>1 (\S+) (\S+) ftpsd - (\S+) - (.*)")
StartReceiver = Callable[..., Rsyslog]


@pytest.fixture
def start_receiver(tmp_path: Path, tls_files: Demonstration) -> Iterator[StartReceiver]:
    with ExitStack() as stack:

        def start(driver: Driver = "gtls", clients: Path | None = None) -> Rsyslog:
            receiver = Rsyslog(tmp_path / "receiver", tls_files, driver, clients)
            stack.callback(receiver.kill)
            receiver.start()
            return receiver

        yield start


def target(receiver: Rsyslog, tls: Demonstration, **more: object) -> dict[str, object]:
    return {
        "name": "siem",
        "host": "localhost",
        "port": receiver.port,
        "authority": str(tls.authority),
        "confirm": "fin",
        **more,
    }


def bodies(receiver: Rsyslog) -> list[str]:
    """Return what the messages carry, each of which must be one of RFC 5424."""
    found = [MESSAGE.fullmatch(message) for message in receiver.messages()]
    assert all(found)
    return [match[5] for match in found if match is not None]


def put(daemon: Daemon, sessions: Sessions, *names: str) -> None:
    """Upload files, in a session that ends."""
    ftp = sessions.log_in(daemon.account())
    for name in names:
        upload(ftp, name, content(100))
    ftp.quit()


def shipped(daemon: Daemon, receiver: Rsyslog) -> bool:
    """Return whether each line of the log that is there now has been taken."""
    there = set(daemon.audit_text().splitlines())
    return bool(there) and there <= set(bodies(receiver))


@pytest.mark.parametrize("driver", ["gtls", "ossl"])
def test_no_line_is_lost_over_outage_rotation_and_restart(
    driver: Driver, tmp_path: Path, start_daemon: StartDaemon, start_receiver: StartReceiver, tls_files: Demonstration
) -> None:
    """The receiver is killed without notice; meanwhile the log is rotated and compressed, and the daemon restarted."""
    receiver = start_receiver(driver)
    make_key(tmp_path / "audit.key", tmp_path / "audit.key.pub")
    chain = {"private_key": str(tmp_path / "audit.key"), "lines": 20}
    # GnuTLS in rsyslog ends TCP alone.
    to = target(receiver, tls_files, confirm="fin" if driver == "gtls" else "close-notify")
    daemon = start_daemon({"audit": {"log": "audit.jsonl", "chain": chain, "ship": [to]}})
    log, sessions = daemon.folder / "audit.jsonl", Sessions(daemon, EXPLICIT)
    put(daemon, sessions, "first")
    eventually(lambda: shipped(daemon, receiver), "all lines at the receiver")
    receiver.kill()
    put(daemon, sessions, "second")
    log.rename(f"{log}.1")
    daemon.reload()
    old = Path(f"{log}.1").read_bytes()
    Path(f"{log}.1.gz").write_bytes(gzip.compress(old))
    Path(f"{log}.1").unlink()
    put(daemon, sessions, "third")
    eventually(lambda: daemon.metrics()['ftpsd_audit_ship_failures_total{target="siem"}'] > 0, "a failure")
    eventually(lambda: daemon.metrics()['ftpsd_audit_ship_lag_seconds{target="siem"}'] > 0, "it lags")
    eventually(lambda: "ship siem: " in daemon.stderr, "the failure is told")
    daemon.stop()
    daemon.start()
    receiver.start()
    wanted = set(old.decode().splitlines())
    eventually(lambda: wanted <= set(bodies(receiver)) and shipped(daemon, receiver), "all lines at the receiver")
    # Behind a confirmation the same lines are not sent once more.
    eventually(lambda: daemon.metrics()['ftpsd_audit_ship_lines_total{target="siem"}'] > 0, "a confirmation", 30)
    kept = receiver.messages()
    daemon.stop()
    daemon.start()
    put(daemon, sessions, "fourth")
    eventually(lambda: shipped(daemon, receiver), "all lines at the receiver")
    again = [message for message in receiver.messages()[len(kept) :] if message in kept]
    assert not any("/first" in message for message in again)


@pytest.mark.parametrize("form", ["cef", "ocsf"])
def test_other_forms(
    form: str, start_daemon: StartDaemon, start_receiver: StartReceiver, tls_files: Demonstration
) -> None:
    """CEF and OCSF tell of an upload what the log has."""
    receiver = start_receiver()
    daemon = start_daemon({"audit": {"log": "audit.jsonl", "ship": [target(receiver, tls_files, format=form)]}})
    put(daemon, Sessions(daemon, EXPLICIT), "name|with=signs")
    found = eventually(lambda: [body for body in bodies(receiver) if "signs" in body and "sha" in body.lower()], "it")
    stored = daemon.wait_for_event("file-stored")
    if form == "cef":
        (body,) = [body for body in found if body.startswith("CEF:0|ftpsd|ftpsd|") and "|file-stored|" in body]
        assert "filePath=/name|with\\=signs " in body
        assert f"fileHash={stored['sha256']}" in body
    else:
        told: list[dict[str, Any]] = [json.loads(body) for body in found]
        (event,) = [each for each in told if each["activity_name"] == "Put"]
        assert (event["class_uid"], event["type_uid"], event["status_id"]) == (4008, 400801, 1)
        assert event["file"]["path"] == "/name|with=signs"
        assert event["file"]["hashes"][0]["value"] == stored["sha256"]


def test_the_receiver_may_ask_for_a_certificate(
    tmp_path: Path, start_daemon: StartDaemon, start_receiver: StartReceiver, tls_files: Demonstration
) -> None:
    """The client's certificate is shown where one is configured; without it the receiver takes no line."""
    clients = ClientAuthority(tmp_path / "clients")
    receiver, file = start_receiver("ossl", clients.file), clients.issue("shipper").file
    file.chmod(0o600)
    with_one = target(receiver, tls_files, certificate=str(file), private_key=str(file))
    without = {**target(receiver, tls_files, format="cef"), "name": "nobody"}
    daemon = start_daemon({"audit": {"log": "audit.jsonl", "ship": [with_one, without]}})
    eventually(lambda: shipped(daemon, receiver), "all lines at the receiver")
    eventually(lambda: daemon.metrics()['ftpsd_audit_ship_failures_total{target="nobody"}'] > 0, "a failure")
    assert not any(body.startswith("CEF") for body in bodies(receiver))


def test_an_end_of_tcp_alone_confirms_nothing(
    start_daemon: StartDaemon, start_receiver: StartReceiver, tls_files: Demonstration
) -> None:
    """Somebody on the line could forge it; the daemon says which key allows it."""
    receiver = start_receiver("gtls")
    ship = [target(receiver, tls_files, confirm="close-notify")]
    daemon = start_daemon({"audit": {"log": "audit.jsonl", "ship": ship}})
    eventually(lambda: "see confirm: fin" in daemon.stderr, "a warning")
    assert daemon.metrics()['ftpsd_audit_ship_lines_total{target="siem"}'] == 0


def test_nothing_is_sent_to_a_stranger(
    tmp_path: Path, start_daemon: StartDaemon, start_receiver: StartReceiver, tls_files: Demonstration
) -> None:
    """A receiver with a certificate of another authority, or for another name, reads no line; the doctor says why."""
    receiver = start_receiver()
    others = create(tmp_path / "others")
    ship = [
        {**target(receiver, others), "name": "stranger"},
        {**target(receiver, tls_files), "name": "misnamed", "host": "127.0.0.2"},
    ]
    daemon = start_daemon({"audit": {"log": "audit.jsonl", "ship": ship}})
    for name in ("stranger", "misnamed"):
        failed = f'ftpsd_audit_ship_failures_total{{target="{name}"}}'
        eventually(lambda failed=failed: daemon.metrics()[failed] > 0, "a failure")  # type: ignore[misc]
    assert receiver.messages() == []
    assert "ship stranger: its certificate is not to be trusted" in daemon.stderr
    told = daemon.order("doctor").stdout
    assert "problem: the audit log does not get to stranger, localhost" in told
    assert "problem: the audit log does not get to misnamed, 127.0.0.2" in told
