"""The line of a server that begins to serve."""

from __future__ import annotations

from pathlib import Path

from ftpsd.demo.authority import create
from ftpsd.service.load import load
from ftpsd.service.outside.announcement import announce
from tests.unit.service.site import USERS, Site


def test_it_names_what_an_operator_looks_up(tmp_path: Path) -> None:
    """Listeners, certificate and its last day, passive range, users and the address of the metrics."""
    loaded = load(Site(tmp_path).path)
    assert loaded.certificate is not None
    assert announce(loaded, "explicit on port 21", 9121) == (
        "ftpsd serves explicit on port 21; "
        f"certificate localhost, 127.0.0.1, ::1 until {loaded.certificate.not_after:%Y-%m-%d}; "
        "passive ports 3000-3050; 1 user; metrics on 127.0.0.1:9121"
    )


def test_several_hosts(tmp_path: Path) -> None:
    """Users of all of them, and how many certificates more there are."""
    site = Site(tmp_path)
    create(tmp_path / "other")
    site.users.with_name("more.yaml").write_text(USERS.format(home=tmp_path / "home") + "  bob: {home: /srv}\n")
    site.users.with_name("more.yaml").chmod(0o600)
    site.write(
        "virtual_hosts: [{names: [localhost], users: more.yaml, "
        "certificate: other/server.pem, private_key: other/server-key.pem}]"
    )
    line = announce(load(site.path), "explicit on port 21", 9121)
    assert ", 1 other until " in line
    assert "; 3 users on 2 hosts;" in line


def test_without_tls_and_metrics(tmp_path: Path) -> None:
    """It says that there are none."""
    site = Site(tmp_path)
    site.replace("metrics:\n  port: 9121\n", "metrics: null\n")
    site.replace("tls:\n", "tls:\n  require: none\n")
    site.replace("  - {mode: implicit, address: 127.0.0.1, port: 2990}\n", "")
    for name in ("server.pem", "server-key.pem"):
        site.replace(f"tls/{name}", f"tls/missing-{name}")
    line = announce(load(site.path), "explicit on port 21", None)
    assert "; no certificate; " in line
    assert line.endswith("; no metrics")
