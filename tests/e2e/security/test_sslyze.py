"""
sslyze looks at both listeners from outside, with every scan that it has for TLS, and finds nothing but what is named.

It has a cryptography of its own, so it lives in build/sslyze (requirements/sslyze.txt), and is run as a program.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ftpsd.demo.authority import Demonstration
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Daemon
from tests.tools import ROOT, missing

PYTHON = ROOT / "build" / "sslyze" / "bin" / "python"
SUITES = {
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
}
SUITES_1_3 = {"TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"}
# Mozilla's "intermediate" takes three curves. OpenSSL's own list, which is ours, has two more of greater strength
# behind those: a client that knows nothing else is not weaker for them.
EXCEPTIONS = {"tls_curves": {"X448", "secp521r1"}}


@pytest.fixture
def daemon(start_daemon: StartDaemon, tls_files: Demonstration, tmp_path: Path) -> Daemon:
    """A daemon as it is by default, with certificates of both kinds."""
    if not PYTHON.exists():
        missing("sslyze is not installed in build/sslyze, see .ci/run")
    main = _section(tls_files.certificate, tls_files.private_key)
    return start_daemon({"tls": {**main, "also": [_rsa(tls_files, tmp_path)]}})


def _section(certificate: Path, key: Path) -> dict[str, str]:
    return {"certificate": str(certificate), "private_key": str(key)}


def _rsa(tls_files: Demonstration, folder: Path) -> dict[str, str]:
    """Make a pair as that of *tls_files*, by the same authority, with an RSA key."""
    model = x509.load_pem_x509_certificate(tls_files.certificate.read_bytes())
    issuer = tls_files.authority.read_bytes()
    signer = load_pem_private_key(tls_files.authority.with_name("ca-key.pem").read_bytes(), None)
    key = rsa.generate_private_key(65537, 2048)
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(model.issuer, model.subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=90))
    for extension in model.extensions:
        if not isinstance(extension.value, x509.SubjectKeyIdentifier):
            builder = builder.add_extension(extension.value, extension.critical)
    certificate, private_key = folder / "rsa.pem", folder / "rsa-key.pem"
    made = builder.sign(signer, SHA256())  # type: ignore[arg-type]
    certificate.write_bytes(made.public_bytes(Encoding.PEM) + issuer)
    private_key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    private_key.chmod(0o600)
    return _section(certificate, private_key)


def scan(daemon: Daemon, folder: Path, *, is_explicit: bool) -> tuple[Mapping[str, Any], str]:
    """Return what each scan of a listener found, and what was said."""
    report = folder / "report.json"
    port = daemon.ports.explicit if is_explicit else daemon.ports.implicit
    command = [str(PYTHON), "-m", "sslyze", f"localhost:{port}", "--json_out", str(report)]
    command += ["--certinfo_ca_file", str(daemon.tls.authority), "--mozilla_config", "intermediate"]
    # Mozilla's configuration says nothing about these, so they are left out unless they are asked for.
    command += ["--resum", "--early_data"]
    done = subprocess.run(
        [*command, *(("--starttls", "ftp") if is_explicit else ())], capture_output=True, text=True, timeout=120
    )
    (server,) = json.loads(report.read_text())["server_scan_results"]
    assert server["connectivity_status"] == "COMPLETED", done.stdout + done.stderr
    attempts = server["scan_result"]
    unfinished = {name for name, attempt in attempts.items() if attempt["status"] != "COMPLETED"}
    # Of HTTP, which is not asked for.
    assert unfinished <= {"http_headers"}
    return {name: attempts[name]["result"] for name in attempts if name not in unfinished}, done.stdout


@pytest.mark.parametrize("is_explicit", [True, False], ids=["explicit", "implicit"])
def test_nothing_is_found(daemon: Daemon, tmp_path: Path, is_explicit: bool) -> None:
    """No old version, no weak suite, none of the named holes; the chain is that of the authority."""
    found, said = scan(daemon, tmp_path, is_explicit=is_explicit)
    for version in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"):
        assert found[f"{version}_cipher_suites"]["accepted_cipher_suites"] == []
    for version, suites in (("tls_1_2", SUITES), ("tls_1_3", SUITES_1_3)):
        accepted = found[f"{version}_cipher_suites"]["accepted_cipher_suites"]
        assert {each["cipher_suite"]["name"] for each in accepted} == suites
    assert not found["tls_compression"]["supports_compression"]
    assert not found["tls_1_3_early_data"]["supports_early_data"]
    assert not found["openssl_ccs_injection"]["is_vulnerable_to_ccs_injection"]
    assert not found["heartbleed"]["is_vulnerable_to_heartbleed"]
    assert found["tls_fallback_scsv"]["supports_fallback_scsv"]
    assert found["robot"]["robot_result"].startswith("NOT_VULNERABLE")
    assert found["session_renegotiation"]["supports_secure_renegotiation"]
    assert not found["session_renegotiation"]["is_vulnerable_to_client_renegotiation_dos"]
    assert found["tls_extended_master_secret"]["supports_ems_extension"]
    # By session id only while the control connection, or another one from that address, is there: see tls/tickets.py.
    assert found["session_resumption"]["tls_ticket_resumption_result"] == "FULLY_SUPPORTED"
    shown = found["certificate_info"]["certificate_deployments"]
    kinds = {each["received_certificate_chain"][0]["public_key"]["algorithm"] for each in shown}
    assert kinds == {"RSAPublicKey", "ECPublicKey"}
    assert complaints(said) == EXCEPTIONS


def complaints(said: str) -> dict[str, set[str]]:
    """Return what does not comply with Mozilla's configuration, and the names in it."""
    lines = re.findall(r"^ +\* (\w+): (.*)$", said.partition("COMPLIANCE AGAINST TLS CONFIGURATION")[2], re.MULTILINE)
    return {name: set(re.findall(r"'([^']+)'", text)) for name, text in lines}
