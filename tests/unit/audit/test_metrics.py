"""The metrics: the promised names, counted from events, with nothing personal in a label."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from ftpsd.audit import events
from ftpsd.audit.events import DAEMON, Event
from ftpsd.audit.metrics import Metrics
from ftpsd.audit.topics.tree_events import FileDeleted, StorageFailed
from ftpsd.values.direction import Direction, Result
from tests.unit.audit.samples import EVERY_EVENT, PATH, PEER, SESSION, USER, WHO

# The names that dashboards hold on to.
PROMISED = {
    "build_info": {"version", "python", "twisted", "openssl"},
    "sessions": {"state"},
    "connections_total": {"listener", "result"},
    "connection_rejects_total": {"reason"},
    "auth_attempts_total": {"method", "result"},
    "auth_duration_seconds": {"method"},
    "commands_total": {"command", "code_class"},
    "command_duration_seconds": {"command"},
    "damaged_files_total": {"reason"},
    "transfers_total": {"direction", "result"},
    "transfers_in_progress": {"direction"},
    "transfer_bytes_total": {"direction"},
    "transfer_duration_seconds": {"direction"},
    "transfer_size_bytes": {"direction"},
    "tls_handshakes_total": {"channel", "result", "version", "resumed"},
    "tls_handshake_duration_seconds": {"channel"},
    "tls_certificate_not_after_timestamp_seconds": {"name"},
    "tls_certificate_in_date": {"name"},
    "sessions_before_upgrade": set(),
    "passive_ports": {"state"},
    "passive_exhausted_total": set(),
    "data_connections_total": {"mode", "result"},
    "data_connection_refusals_total": {"reason"},
    "storage_errors_total": {"operation"},
    "storage_faults_total": {"kind"},
    "login_refusals_total": {"reason"},
    "renewals_total": {"result"},
    "sessions_by_tls": {"version"},
    "sessions_by_host": {"host"},
    "limit": {"limit"},
    "homes_free_bytes": {"filesystem"},
    "scan_verdicts_total": {"verdict"},
    "scan_duration_seconds": set(),
    "upload_refusals_total": {"verdict"},
    "bans": set(),
    "audit_events_total": {"event"},
    "audit_write_failures_total": set(),
    "config_last_reload_successful": set(),
    "config_last_reload_success_timestamp_seconds": set(),
    "reactor_lag_seconds": set(),
    "worker_queue_length": {"pool"},
    "state_file": {"state"},
}


@pytest.fixture
def registry() -> CollectorRegistry:
    """Return an empty registry."""
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    """Return metrics in which nothing has happened yet."""
    return Metrics(registry, "1.2.3")


def happen(metrics: Metrics, *what: Event) -> None:
    """Tell *metrics* that these events happened, at 1000 seconds."""
    for event in what:
        metrics(event, 1000.0)


def everything(metrics: Metrics) -> None:
    """Let every event happen and every gauge be watched."""
    happen(metrics, *EVERY_EVENT)
    metrics.watch_sessions(lambda: ({"idle": 2, "transfer": 1}, {"TLSv1.3": 2, "none": 1}, {"default": 3}))
    metrics.watch_passive_ports(lambda: {"free": 50, "reserved": 1})
    metrics.watch_worker_queues(lambda: {"login": 0, "files": 3})
    metrics.watch_certificates(lambda: {"default": 2e9})
    metrics.watch_certificates_in_date(lambda: {"default": 1.0})
    metrics.watch_sessions_before(lambda: 0)
    metrics.watch_bans(lambda: 3)
    metrics.watch_state(lambda: {"usable": 1, "broken": 0})
    metrics.observe_lag(0.002)
    metrics.watch_limits(lambda: {"connections": 2000})
    metrics.watch_room(lambda: {"254:1": 1e9})
    metrics.judged("clean", 0.01)
    metrics.bytes_moved(Direction.DOWNLOAD, 65536)
    metrics.audit_write_failed(1)


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    """Return the value of one sample of ours."""
    return registry.get_sample_value(f"ftpsd_{name}", labels)


@pytest.mark.parametrize("name", PROMISED)
def test_promised_metric_has_its_labels(registry: CollectorRegistry, metrics: Metrics, name: str) -> None:
    """Each metric dashboards hold on to exists under its name, with exactly its labels."""
    everything(metrics)
    labels = [
        set(sample.labels) - {"le"}
        for family in registry.collect()
        for sample in family.samples
        if sample.name in (f"ftpsd_{name}", f"ftpsd_{name}_bucket")
    ]
    assert labels
    assert all(each == PROMISED[name] for each in labels)


def test_nothing_else_is_exposed(registry: CollectorRegistry, metrics: Metrics) -> None:
    """Besides the promised metrics and the process collector there is nothing, and no _created."""
    everything(metrics)
    names = {sample.name for family in registry.collect() for sample in family.samples}
    ours = {name.removeprefix("ftpsd_") for name in names if name.startswith("ftpsd_")}
    stems = {name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum") for name in ours}
    assert stems == set(PROMISED)
    assert all(name.startswith("process_") for name in names if not name.startswith("ftpsd_"))


def test_no_label_carries_user_path_address_or_session(registry: CollectorRegistry, metrics: Metrics) -> None:
    """No label value tells who, what file, from where or in which session, whatever happens."""
    everything(metrics)
    values = {value for family in registry.collect() for sample in family.samples for value in sample.labels.values()}
    assert not [value for value in values for secret in (USER, PATH, PEER, SESSION) if secret in value]


def test_careless_reason_reaches_no_label(registry: CollectorRegistry, metrics: Metrics) -> None:
    """A reason that by mistake holds an address or a path is counted as other."""
    happen(metrics, events.DataConnectionRefused(WHO, f"connection from {PEER}"), StorageFailed(WHO, PATH))
    assert value(registry, "data_connection_refusals_total", reason="other") == 1
    assert value(registry, "storage_errors_total", operation="other") == 1


@pytest.mark.skipif(
    shutil.which("promtool") is None and os.environ.get("FTPSD_TESTS_REQUIRE_ALL") != "1",
    reason="promtool is not installed (Debian: prometheus)",
)
def test_promtool_accepts_the_exposition(registry: CollectorRegistry, metrics: Metrics) -> None:
    """Prometheus's own checker has no complaint, neither about the format nor about the names."""
    everything(metrics)
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=generate_latest(registry), capture_output=True, timeout=60, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_command_is_counted_by_class_and_timed(registry: CollectorRegistry, metrics: Metrics) -> None:
    """A command counts under its verb and the first digit of its reply."""
    happen(metrics, events.CommandDone(WHO, "RETR", PATH, 226, 0.5), events.CommandDone(WHO, "RETR", PATH, 550, 0.1))
    assert value(registry, "commands_total", command="RETR", code_class="2xx") == 1
    assert value(registry, "commands_total", command="RETR", code_class="5xx") == 1
    assert value(registry, "command_duration_seconds_sum", command="RETR") == pytest.approx(0.6)


def test_connections_are_counted_by_listener(registry: CollectorRegistry, metrics: Metrics) -> None:
    """Accepted and rejected connections count for the entrance they came through."""
    happen(metrics, events.SessionOpened(WHO), events.ConnectionRejected(WHO, "too-many-connections"))
    assert value(registry, "connections_total", listener="explicit:21", result="accepted") == 1
    assert value(registry, "connections_total", listener="explicit:21", result="rejected") == 1
    assert value(registry, "connection_rejects_total", reason="too-many-connections") == 1


def test_logins_are_counted_by_method(registry: CollectorRegistry, metrics: Metrics) -> None:
    """Accepted and refused logins count for their method, and both are timed."""
    happen(metrics, events.LoggedIn(WHO, "password", 0.2), events.LoginRefused(WHO, "password", USER, "unknown", 0.2))
    assert value(registry, "auth_attempts_total", method="password", result="accepted") == 1
    assert value(registry, "auth_attempts_total", method="password", result="refused") == 1
    assert value(registry, "auth_duration_seconds_count", method="password") == 2


def test_handshakes_are_counted(registry: CollectorRegistry, metrics: Metrics) -> None:
    """A good handshake counts with version and resumption, a failed one as failed."""
    happen(metrics, events.TLSEstablished(WHO, "data", "TLSv1.2", "X", True, 0.1), events.TLSFailed(WHO, "data", "x"))
    labels = {"channel": "data", "version": "TLSv1.2", "resumed": "true"}
    assert value(registry, "tls_handshakes_total", result="established", **labels) == 1
    assert (
        value(registry, "tls_handshakes_total", channel="data", result="failed", version="unknown", resumed="false")
        == 1
    )


@pytest.mark.parametrize(
    ("direction", "end"),
    [
        (Direction.DOWNLOAD, events.FileSent(WHO, PATH, 9, 0.1, 0, Result.COMPLETE)),
        (Direction.UPLOAD, events.FileStored(WHO, PATH, 9, 0.1, 0, Result.COMPLETE)),
        (Direction.LISTING, events.DirectoryListed(WHO, PATH, 9, 0.1, Result.COMPLETE)),
    ],
)
def test_transfer_is_in_progress_until_it_ends(
    registry: CollectorRegistry, metrics: Metrics, direction: Direction, end: Event
) -> None:
    """A transfer is in progress from its start to its end, and then counts as a transfer with its size."""
    happen(metrics, events.TransferStarted(WHO, direction))
    assert value(registry, "transfers_in_progress", direction=direction) == 1
    happen(metrics, end)
    assert value(registry, "transfers_in_progress", direction=direction) == 0
    assert value(registry, "transfers_total", direction=direction, result="complete") == 1
    assert value(registry, "transfer_size_bytes_sum", direction=direction) == 9


def test_transfer_refused_before_it_began_is_not_subtracted(registry: CollectorRegistry, metrics: Metrics) -> None:
    """A missing file was never in progress, so the gauge does not go below zero."""
    happen(metrics, events.FileSent(WHO, PATH, 0, 0.0, 0, Result.REFUSED, "no-such-file"))
    assert value(registry, "transfers_in_progress", direction="download") == 0
    assert value(registry, "transfers_total", direction="download", result="refused") == 1


def test_transfer_ends_with_its_session(registry: CollectorRegistry, metrics: Metrics) -> None:
    """A session that is gone has no transfer in progress, whatever else was published."""
    happen(metrics, events.TransferStarted(WHO, Direction.UPLOAD), events.SessionClosed(WHO, 1.0, "lost", 0, 0))
    assert value(registry, "transfers_in_progress", direction="upload") == 0


def test_only_complete_transfers_have_a_size(registry: CollectorRegistry, metrics: Metrics) -> None:
    """Refused and broken transfers do not distort the sizes and durations of good ones."""
    happen(metrics, events.FileStored(WHO, PATH, 5, 0.1, 0, Result.TRUNCATED))
    assert not value(registry, "transfer_size_bytes_count", direction="upload")


def test_series_begin_at_zero(registry: CollectorRegistry, metrics: Metrics) -> None:
    """The first failed transfer is an increase, not a new series: every result is there from the start."""
    assert value(registry, "transfers_total", direction="upload", result="failed") == 0
    assert value(registry, "transfer_bytes_total", direction="upload") == 0
    assert value(registry, "data_connections_total", mode="active", result="refused") == 0


def test_reload_is_told(registry: CollectorRegistry, metrics: Metrics) -> None:
    """A failed reload sets the gauge to 0 and leaves the time of the last good one."""
    metrics(events.Started(DAEMON), 1000.0)
    metrics(events.ReloadFailed(DAEMON, "ftpsd.yaml:1:1: broken"), 2000.0)
    assert value(registry, "config_last_reload_successful") == 0
    assert value(registry, "config_last_reload_success_timestamp_seconds") == 1000
    metrics(events.Reloaded(DAEMON), 3000.0)
    assert value(registry, "config_last_reload_successful") == 1
    assert value(registry, "config_last_reload_success_timestamp_seconds") == 3000


def test_audit_events_counts_what_is_logged(registry: CollectorRegistry, metrics: Metrics) -> None:
    """Logged events are counted by name, others are not, so the number can be held against the log's lines."""
    happen(metrics, FileDeleted(WHO, PATH), events.TransferStarted(WHO, Direction.UPLOAD))
    assert value(registry, "audit_events_total", event="file-deleted") == 1
    assert value(registry, "audit_events_total", event="transfer-started") is None


def test_build_info_names_the_versions(registry: CollectorRegistry, metrics: Metrics) -> None:
    """build_info tells ftpsd's version and those of what it stands on."""
    [sample] = [s for family in registry.collect() for s in family.samples if s.name == "ftpsd_build_info"]
    assert sample.labels["version"] == "1.2.3"
    assert sample.labels["openssl"].startswith("OpenSSL ")
