"""The demonstration authority and the certificate it signs."""

from __future__ import annotations

import os
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from ftpsd.demo.authority import Demonstration, create
from ftpsd.tls.certificates import CertificatePair
from ftpsd.tls.session_tls import SessionTLS
from tests.tlsclient import TLS_1_3, client_context, connect_control

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def contents(directory: Path) -> dict[str, bytes]:
    """Read every file of *directory*."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_names(demonstration: Demonstration) -> None:
    """The server's certificate is for localhost and both loopback addresses."""
    pair = CertificatePair.load(demonstration.certificate, demonstration.private_key)
    assert pair.names == ("localhost", "127.0.0.1", "::1")


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
def test_clients_verify_it(demonstration: Demonstration, pair: CertificatePair, name: str) -> None:
    """A strict client that trusts the authority accepts the server under each of its names."""
    context = client_context(demonstration.authority, TLS_1_3)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    assert connect_control(SessionTLS(pair), context, name=name).client.is_shaken


def test_other_authority_is_not_trusted(demonstration: Demonstration, tmp_path: Path) -> None:
    """A client that trusts one demonstration refuses another's server."""
    other = create(tmp_path)
    tls = SessionTLS(CertificatePair.load(other.certificate, other.private_key))
    with pytest.raises(ssl.SSLCertVerificationError):
        connect_control(tls, client_context(demonstration.authority, TLS_1_3))


def test_authority_is_bound_to_this_machine(demonstration: Demonstration) -> None:
    """A thief of the authority's key cannot sign for other hosts: its names are constrained, critically."""
    authority = x509.load_pem_x509_certificate(demonstration.authority.read_bytes())
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert [str(name.value) for name in constraints.value.permitted_subtrees or ()] == [
        "localhost",
        "127.0.0.1/32",
        "::1/128",
    ]


def test_key_files_are_private(tmp_path: Path) -> None:
    """Key files are readable by their owner alone, whatever the umask."""
    umask = os.umask(0)
    try:
        create(tmp_path / "state")
    finally:
        os.umask(umask)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").iterdir()}
    assert modes == {"ca-key.pem": 0o600, "server-key.pem": 0o600, "ca.pem": 0o644, "server.pem": 0o644}


def test_directory_is_made(tmp_path: Path) -> None:
    """A missing directory is made, private."""
    create(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


def test_second_run_keeps_everything(tmp_path: Path) -> None:
    """A valid certificate is used again, so clients need not trust anew."""
    create(tmp_path, now=NOW)
    before = contents(tmp_path)
    create(tmp_path, now=NOW + timedelta(days=80))
    assert contents(tmp_path) == before


def test_server_is_renewed_under_the_same_authority(tmp_path: Path) -> None:
    """A server certificate with less than a day left is made anew; the authority stays."""
    create(tmp_path, now=NOW)
    before = contents(tmp_path)
    later = NOW + timedelta(days=89, hours=1)
    files = create(tmp_path, now=later)
    after = contents(tmp_path)
    assert {name for name in before if before[name] != after[name]} == {"server.pem", "server-key.pem"}
    assert CertificatePair.load(files.certificate, files.private_key, now=later).not_after > later + timedelta(days=30)


def test_authority_is_renewed(tmp_path: Path) -> None:
    """When the authority runs out, both are made anew."""
    create(tmp_path, now=NOW)
    before = contents(tmp_path)
    create(tmp_path, now=NOW + timedelta(days=3650))
    after = contents(tmp_path)
    assert all(before[name] != after[name] for name in before)


@pytest.mark.parametrize("name", ["ca.pem", "ca-key.pem", "server.pem", "server-key.pem"])
def test_lost_file_is_made_good(tmp_path: Path, name: str) -> None:
    """Whichever file is lost, what is there afterwards fits together."""
    files = create(tmp_path)
    (tmp_path / name).unlink()
    create(tmp_path)
    pair = CertificatePair.load(files.certificate, files.private_key)
    assert connect_control(SessionTLS(pair), client_context(files.authority, TLS_1_3)).client.is_shaken


def test_damaged_file_is_made_good(tmp_path: Path) -> None:
    """A half-written file of an earlier time is replaced."""
    files = create(tmp_path)
    files.certificate.write_bytes(files.certificate.read_bytes()[:100])
    create(tmp_path)
    assert CertificatePair.load(files.certificate, files.private_key).names


def test_nothing_else_is_left(tmp_path: Path) -> None:
    """No temporary file stays behind."""
    create(tmp_path)
    assert set(contents(tmp_path)) == {"ca.pem", "ca-key.pem", "server.pem", "server-key.pem"}
