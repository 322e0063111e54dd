"""The files for Prometheus and Grafana, held against a live scrape, the operators' page, and Prometheus's own tools."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.client import EXPLICIT, Sessions, content, download, listing, upload
from tests.e2e.conftest import StartDaemon
from tests.tools import ROOT, require_tool

RULES = ROOT / "etc" / "prometheus" / "ftpsd.rules.yml"
DASHBOARD = ROOT / "etc" / "grafana" / "ftpsd.json"
METRIC = re.compile(r"\bftpsd_[a-z_]+")
LABEL = re.compile(r"(ftpsd_[a-z_]+)\{([^}]*)\}")
# They are there once what they are about is configured or has happened: a keyring, encryption, sinks, a quarantine, …
OF_PARTS = {
    "ftpsd_pgp_key_days_to_expiry",
    "ftpsd_data_keys",
    "ftpsd_event_queue_age_seconds",
    "ftpsd_event_dead_letters",
    "ftpsd_expectations",
    "ftpsd_job_runs_total",
    "ftpsd_connection_rejects_total",
    "ftpsd_login_refusals_total",
    "ftpsd_audit_ship_lag_seconds",
    "ftpsd_audit_ship_failures_total",
    "ftpsd_processes",
    "ftpsd_processes_replaced_total",
    "ftpsd_sessions_before_upgrade",
}


def rules() -> list[dict[str, Any]]:
    """Return the alerts."""
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def expressions_of_dashboard() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_every_expression_names_what_a_server_tells(start_daemon: StartDaemon) -> None:
    """Metrics and labels of alerts and dashboard are those of a scrape, but for parts that are off in this server."""
    daemon = start_daemon()
    sessions = Sessions(daemon, EXPLICIT)
    ftp = sessions.log_in(daemon.account())
    upload(ftp, "file", content(1000))
    download(ftp, "file")
    listing(ftp, "LIST")
    samples = daemon.metrics()
    names = {name.partition("{")[0] for name in samples}
    labels = {pair for name in samples for pair in re.findall(r'[{,]([a-z_]+)="', name)}
    assert samples['ftpsd_sessions_by_tls{version="TLSv1.3"}'] == 1
    assert samples['ftpsd_sessions_by_host{host="default"}'] == 1
    assert samples['ftpsd_limit{limit="passive ports"}'] == len(daemon.ports.passive)
    assert next(value for name, value in samples.items() if name.startswith("ftpsd_homes_free_bytes{")) > 0
    sessions.close()
    for expression in (*(rule["expr"] for rule in rules()), *expressions_of_dashboard()):
        assert set(METRIC.findall(expression)) <= names | OF_PARTS, expression
        for grouped in re.findall(r"by \(([^)]*)\)", expression):
            assert set(re.split(r", *", grouped)) <= labels | {"le", "reason", "verdict"}, expression


def test_prometheus_takes_rules_and_dashboard(tmp_path: Path) -> None:
    """Every expression parses; the variables of Grafana stand for what it would put there."""
    groups = {"groups": [{"name": "panels", "rules": [{"record": "x", "expr": e} for e in panels()]}]}
    (tmp_path / "panels.yml").write_text(yaml.safe_dump(groups))
    for file in (RULES, tmp_path / "panels.yml"):
        command = [require_tool("promtool"), "check", "rules", "--lint=none", str(file)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def panels() -> list[str]:
    return [expression.replace("$__rate_interval", "5m") for expression in expressions_of_dashboard()]


def test_alerts_are_those_of_the_page() -> None:
    """The table of docs/operations.md and the file have the same expressions."""
    page = (ROOT / "docs" / "operations.md").read_text()
    table = page[page.index("Worth an alert") :]
    told = [row.replace("\\|", "|") for row in re.findall(r"^\| `(.+?)` \| .+ \|$", table, re.MULTILINE)]
    assert sorted(told) == sorted(rule["expr"] for rule in rules())


def test_alerts_come_and_go(tmp_path: Path) -> None:
    """A refused reload, a certificate near its end, a broken disk, a full server; and nothing of one that is well."""
    day = 86400
    well = {
        'up{job="ftpsd"}': "1x60",
        "ftpsd_config_last_reload_successful": "1x60",
        'ftpsd_tls_certificate_not_after_timestamp_seconds{name="default"}': f"{80 * day}x60",
        'ftpsd_tls_certificate_in_date{name="default"}': "1x60",
        'ftpsd_storage_faults_total{kind="io"}': "0x60",
        'ftpsd_sessions{state="idle"}': "10x60",
        'ftpsd_limit{limit="connections"}': "100x60",
        'ftpsd_homes_free_bytes{filesystem="254:1"}': "50000000000x60",
    }
    ill = {
        'up{job="ftpsd"}': "1x20 0x40",
        "ftpsd_config_last_reload_successful": "1x20 0x40",
        'ftpsd_tls_certificate_not_after_timestamp_seconds{name="default"}': f"{3 * day}x60",
        'ftpsd_tls_certificate_in_date{name="default"}': "1x50 0x10",
        'ftpsd_storage_faults_total{kind="io"}': "0x55 5x5",
        'ftpsd_sessions{state="idle"}': "95x60",
        'ftpsd_limit{limit="connections"}': "100x60",
        'ftpsd_homes_free_bytes{filesystem="254:1"}': "1000000000x60",
    }
    fire = {
        "CertificateOutOfDate",
        "ServerDown",
        "ReloadRefused",
        "CertificateExpires",
        "StorageFails",
        "ConnectionsNearLimit",
        "HomesFull",
    }
    tests = []
    for series, firing in ((well, set()), (ill, fire)):
        alerts = []
        for rule in rules():
            name = rule["alert"].removeprefix("Ftpsd")
            entry: dict[str, Any] = {"eval_time": "60m", "alertname": rule["alert"]}
            if name in firing:
                entry["exp_alerts"] = [labelled(rule, series)]
            alerts.append(entry)
        values = [{"series": name, "values": text} for name, text in series.items()]
        tests.append({"interval": "1m", "input_series": values, "alert_rule_test": alerts})
    (tmp_path / "test.yml").write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": tests}))
    done = subprocess.run(
        [require_tool("promtool"), "test", "rules", str(tmp_path / "test.yml")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def labelled(rule: dict[str, Any], series: dict[str, str]) -> dict[str, Any]:
    """Return the alert of *rule* as promtool expects it: with the labels of the one series that it is about."""
    (name,) = set(METRIC.findall(rule["expr"])) - {"ftpsd_limit"} or {"up"}
    found = next(each for each in series if each.partition("{")[0] == name)
    labels = dict(re.findall(r'([a-z_]+)="([^"]*)"', found)) if "sum(" not in rule["expr"] else {}
    return {"exp_labels": {**labels, **rule["labels"]}, "exp_annotations": rule["annotations"]}
