"""The snapshot: a configuration handed to another process."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from OpenSSL import SSL

from ftpsd.processes.snapshot import Snapshot
from ftpsd.service.load import load
from tests.unit.service.site import Site
from tests.unit.service.test_certificates import B, HostSite

MAIN_PAIR = "certificate: tls/server.pem, private_key: tls/server-key.pem"


def test_a_configuration_arrives_as_it_was(tmp_path: Path) -> None:
    """Users, and a certificate that a TLS context takes, key included."""
    loaded = load(Site(tmp_path).path)
    snapshot = Snapshot.create(nullcontext())
    snapshot.write(loaded)
    version, arrived = snapshot.read()
    assert version == 1
    assert dict(arrived.config) == dict(loaded.config)
    assert arrived.users == loaded.users
    assert arrived.certificate is not None
    assert loaded.certificate is not None
    assert arrived.certificate.fingerprint == loaded.certificate.fingerprint
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    arrived.certificate.install(context)
    context.check_privatekey()


def test_virtual_hosts_arrive(tmp_path: Path) -> None:
    """Their users, each with the pair of its own; those that shared one still share it, and its TLS context."""
    site = HostSite(tmp_path)
    site.hosts(site.host(B, own=True), "{names: [localhost], users: b.yaml, " + MAIN_PAIR + "}")
    loaded = load(site.path)
    snapshot = Snapshot.create(nullcontext())
    snapshot.write(loaded)
    _, arrived = snapshot.read()
    assert arrived.hosts == loaded.hosts
    pairs, before = arrived.certificates.pairs, loaded.certificates.pairs
    assert {key: pair.fingerprint for key, pair in pairs.items()} == {
        key: pair.fingerprint for key, pair in before.items()
    }
    assert pairs["virtual_hosts", 1] is arrived.certificate
    assert pairs["virtual_hosts", 0] is not arrived.certificate


def test_the_last_one_is_read(tmp_path: Path) -> None:
    """With the number of its version, also where it is shorter than the one before."""
    site = Site(tmp_path)
    snapshot = Snapshot.create(nullcontext())
    first = load(site.path)
    snapshot.write(first)
    snapshot.write(load(site.path))
    version, _ = snapshot.read()
    assert version == 2
