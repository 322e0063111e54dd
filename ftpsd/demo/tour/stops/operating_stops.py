"""Stops for operators: events, expectations, backups, metrics, the audit log as evidence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from ftpsd.demo.tour.ground import Ground
from ftpsd.demo.tour.stop import Stop

_NUMBERS: Final = "date,name,amount\n2026-12-01,Mustermann,1200.00\n"


def _webhook(ground: Ground) -> None:
    table = ground.directory / "invoices.csv"
    table.write_text(_NUMBERS)
    ground.visit(upload=table, path="/inbox/invoices.csv")
    stored = ground.audited("file-stored", path="/inbox/invoices.csv")

    def look() -> Mapping[str, Any] | None:
        lines = ground.received.read_text().splitlines() if ground.received.exists() else []
        notes: list[Mapping[str, Any]] = [json.loads(line) for line in lines]
        return next((note for note in notes if note["body"].get("subject") == "/inbox/invoices.csv"), None)

    note = ground.wait_for(look, "the request of the webhook")
    ground.screen.text("The receiver on this machine, in place of your own system, was sent:")
    ground.screen.line("hook  ", json.dumps(note["body"]))
    ground.screen.claim(note["signature_is_good"], "its signature is good (Standard Webhooks)")
    ground.screen.claim(note["body"]["data"]["sha256"] == stored["sha256"], "it tells of the file that was stored")
    ordered = ground.ftpsd("events", "list", until="delivered")
    ground.screen.claim(note["id"] in ordered.text, "the ledger knows that it was delivered")


def _expectation(ground: Ground) -> None:
    ordered = ground.ftpsd("expect")
    ground.screen.claim("waiting" in ordered.text, "the payroll of today is waited for")
    table = ground.directory / "pay.csv"
    table.write_text(_NUMBERS)
    ground.visit(upload=table, path="/inbox/pay-today.csv")
    ordered = ground.ftpsd("expect", until="on-time")
    ground.screen.claim("1/1" in ordered.text, "it came on time")
    ground.audited("expectation-on-time")
    ground.metrics("ftpsd_expectation_outcomes_total")


def _backup(ground: Ground) -> None:
    target = str(ground.directory / "backups")
    ordered = ground.ftpsd("backup", "--to", target)
    ground.screen.claim(ordered.code == 0, "the files, the users, the state and the configuration are in it")
    ordered = ground.ftpsd("backup", "--to", target)
    ground.screen.claim(ordered.code == 0, "the second one stores what has changed alone")
    ordered = ground.ftpsd("restore", "--from", target, "--dry-run")
    ground.screen.claim("all of it verified" in ordered.text, "every byte of it was verified, and nothing changed")


def _metrics(ground: Ground) -> None:
    host, port = ground.demo.addresses[0], ground.demo.metrics_port
    ground.screen.command(f"curl http://{host}:{port}/metrics")
    found = ground.metrics(
        "ftpsd_sessions{",
        "ftpsd_connections_total",
        "ftpsd_transfer_bytes_total",
        "ftpsd_tls_certificate_not_after",
        "ftpsd_passive_ports{",
        "ftpsd_config_last_reload_successful",
    )
    ground.screen.claim(bool(found), "Prometheus reads them here; rules and a dashboard are in etc/")
    ground.screen.command(f"curl http://{host}:{port}/readyz")
    page = ground.page("/readyz")
    ground.screen.output(page)


def _evidence(ground: Ground) -> None:
    ordered = ground.ftpsd("audit", "verify")
    ground.screen.claim(ordered.code == 0, "no line was changed, removed or inserted")
    log = ground.demo.audit_log.read_text()
    forged = ground.directory / "forged.log"
    ground.screen.text("Somebody with a shell changes who logged in, in a copy of the log:")
    forged.write_text(log.replace('"event":"logged-in"', '"event":"logged-on"', 1))
    ordered = ground.ftpsd("audit", "verify", str(forged))
    ground.screen.claim(ordered.code == 1, "the line that was changed is named")


WEBHOOK: Final = Stop(
    "Events for other systems",
    (
        "A file that was stored is an event, on record before the client reads 226, and delivered until it is taken.",
        "Webhooks, programs, files and message brokers take events; workflows and jobs begin with them.",
    ),
    _webhook,
)
EXPECTATION: Final = Stop(
    "Files that are expected",
    (
        "A file that does not come is noticed by nobody, unless it is written down that it shall.",
        "On time, late, invalid or missing: each day has an outcome, which is an event.",
    ),
    _expectation,
)
BACKUP: Final = Stop(
    "Backups",
    (
        "Made while clients work, each whole by itself, with what has not changed stored once.",
        "The way back is tried before it is needed: a dry run reads and verifies all.",
    ),
    _backup,
)
METRICS: Final = Stop(
    "Metrics",
    (
        "Counters and gauges for Prometheus, without names of users or paths in them.",
        "Health is /healthz and /readyz.",
    ),
    _metrics,
)
EVIDENCE: Final = Stop(
    "The audit log is evidence",
    (
        "Each line holds the digest of the one before, and signatures stand between them.",
        "A line that was changed, removed or inserted later is found.",
    ),
    _evidence,
)
