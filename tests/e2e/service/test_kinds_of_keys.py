"""An RSA certificate beside one of ECDSA: OpenSSL's own client is shown the one whose signatures it understands."""

from __future__ import annotations

import json
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from ftpsd.demo.authority import Demonstration
from tests.e2e.client import IPV4, TIMEOUT, ReusedFTP_TLS, download, upload
from tests.e2e.daemon import Account, Daemon, password_hash
from tests.e2e.polling import eventually
from tests.e2e.service.test_doctor import doctor
from tests.hosts import IssuedFiles
from tests.tools import require_tool

MAIN, ALSO, OTHER = "localhost", "also.example.test", "other.example.test"
KINDS = {"ECDSA": trustme.KeyType.ECDSA, "RSA": trustme.KeyType.RSA}
TAKEN = "a new certificate for localhost"
# The options of a client that understands one kind only, in either version.
ONLY = {
    ("RSA", "-tls1_2"): ("-cipher", "ECDHE+aRSA"),
    ("ECDSA", "-tls1_2"): ("-cipher", "ECDHE+aECDSA"),
    ("RSA", "-tls1_3"): ("-sigalgs", "rsa_pss_rsae_sha256"),
    ("ECDSA", "-tls1_3"): ("-sigalgs", "ecdsa_secp256r1_sha256"),
}


class Twice:
    """A daemon whose names have two certificates each, of two intermediate authorities under one root."""

    def __init__(self, folder: Path, tls_files: Demonstration) -> None:
        self.folder = folder
        self.root = trustme.CA()
        self.trust = folder / "root.pem"
        self.root.cert_pem.write_to_path(self.trust)
        self._authorities = {kind: self.root.create_child_ca() for kind in KINDS}
        self.files = {(name, kind): self.issue(name, kind) for name in (MAIN, ALSO, OTHER) for kind in KINDS}
        (folder / "home").mkdir()
        users = folder / "other.yaml"
        users.write_text(json.dumps({"users": {"carol": {"password": password_hash(), "home": str(folder / "home")}}}))
        users.chmod(0o600)
        named = {"names": [ALSO], **self.section(ALSO)}
        host = {"names": [OTHER], "users": str(users), **self.section(OTHER)}
        tls = {**self.section(MAIN), "server_names": [named]}
        self.daemon = Daemon(folder / "daemon", tls_files, {"tls": tls, "virtual_hosts": [host], "processes": 2})

    def issue(self, name: str, kind: str) -> IssuedFiles:
        """Write a certificate and its chain."""
        files = IssuedFiles(self.folder / f"{name}-{kind}.pem", self.folder / f"{name}-{kind}-key.pem")
        issued = self._authorities[kind].issue_cert(name, "127.0.0.1", key_type=KINDS[kind])
        files.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        files.private_key.write_bytes(issued.private_key_pem.bytes())
        files.private_key.chmod(0o600)
        return files

    def section(self, name: str) -> dict[str, object]:
        """Return what the configuration says of the pairs of *name*."""
        return {**self.files[name, "ECDSA"].section(), "also": [self.files[name, "RSA"].section()]}

    def certificate(self, name: str, kind: str) -> bytes:
        """Return the first certificate of a file, in DER."""
        return first_certificate(self.files[name, kind].certificate.read_text())

    def shown(self, name: str, *options: str, is_explicit: bool = False) -> bytes:
        """Return the certificate that OpenSSL's client is shown, which verifies it by the root alone."""
        port = self.daemon.ports.explicit if is_explicit else self.daemon.ports.implicit
        command = [require_tool("openssl"), "s_client", "-connect", f"{IPV4}:{port}", "-servername", name]
        command += ["-CAfile", str(self.trust), "-verify_return_error", *options]
        command += ["-starttls", "ftp"] if is_explicit else []
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        assert "Verify return code: 0 (ok)" in done.stdout, done.stdout + done.stderr
        return first_certificate(done.stdout)


def first_certificate(text: str) -> bytes:
    found = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", text, re.DOTALL)
    assert found is not None
    return ssl.PEM_cert_to_DER_cert(found[0])


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory, tls_files: Demonstration) -> Iterator[Twice]:
    """The daemon, of two processes: certificates are handed to them over a snapshot."""
    made = Twice(tmp_path_factory.mktemp("kinds"), tls_files)
    try:
        made.daemon.start()
        yield made
        made.daemon.stop()
    finally:
        made.daemon.kill()


def log_in(twice: Twice, account: Account, suites: str | None) -> ReusedFTP_TLS:
    """Return a session of TLS 1.2 with these suites; without, of TLS 1.3."""
    context = ssl.create_default_context(cafile=str(twice.trust))
    if suites is None:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    else:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(suites)
    ftp = ReusedFTP_TLS(context=context, timeout=TIMEOUT)
    ftp.connect(IPV4, twice.daemon.ports.explicit)
    ftp.login(account.name, account.password)
    ftp.prot_p()
    return ftp


def test_each_client_is_shown_its_kind(twice: Twice) -> None:
    """For every name, in both versions, with the chain of that certificate; a client that understands both: ECDSA."""
    for name in (MAIN, ALSO, OTHER):
        for (kind, version), only in ONLY.items():
            assert twice.shown(name, version, *only) == twice.certificate(name, kind), (name, kind, version)
    for kind in KINDS:
        only = ONLY[kind, "-tls1_2"]
        assert twice.shown(MAIN, "-tls1_2", *only, is_explicit=True) == twice.certificate(MAIN, kind)
    for version in ("-tls1_2", "-tls1_3"):
        assert twice.shown(MAIN, version) == twice.certificate(MAIN, "ECDSA")


def test_data_connections_of_each_kind(twice: Twice) -> None:
    """They resume, as session reuse requires."""
    account = twice.daemon.account()
    for suites in ("ECDHE+aRSA", "ECDHE+aECDSA", None):
        ftp = log_in(twice, account, suites)
        upload(ftp, "file", str(suites).encode())
        assert download(ftp, "file") == str(suites).encode()
        ftp.quit()


def test_the_operator_sees_both(twice: Twice) -> None:
    """In the metrics, by name, and from the doctor, which visits as either client."""
    prefix = "ftpsd_tls_certificate_not_after_timestamp_seconds"
    names = {f'{prefix}{{name="{name}{more}"}}' for name in ("default", ALSO, OTHER) for more in ("", "/RSA")}
    assert {key for key in twice.daemon.metrics() if key.startswith(prefix)} == names
    lines = doctor(twice.daemon, "--ca", twice.trust)
    for kind in KINDS:
        assert len([line for line in lines if f"understands {kind} only is shown the certificate with" in line]) == 2


def test_either_is_renewed(twice: Twice) -> None:
    """Without a signal, each alone, and both by a reload."""
    for kind in ("RSA", "ECDSA"):
        before = {each: twice.certificate(MAIN, each) for each in KINDS}
        told = twice.daemon.stderr.count(TAKEN)
        twice.issue(MAIN, kind)
        new = twice.certificate(MAIN, kind)
        assert new != before[kind]

        def is_shown(kind: str = kind, new: bytes = new) -> bool:
            return twice.shown(MAIN, "-tls1_2", *ONLY[kind, "-tls1_2"]) == new

        eventually(lambda told=told: twice.daemon.stderr.count(TAKEN) > told, "it is taken")  # type: ignore[misc]
        eventually(is_shown, "the new one is shown")
        (other,) = set(KINDS) - {kind}
        assert twice.shown(MAIN, "-tls1_2", *ONLY[other, "-tls1_2"]) == before[other]
    shutil.copy(twice.files[ALSO, "RSA"].certificate, twice.files[OTHER, "RSA"].certificate)
    shutil.copy(twice.files[ALSO, "RSA"].private_key, twice.files[OTHER, "RSA"].private_key)
    twice.daemon.reload()
    assert twice.shown(OTHER, "-tls1_2", *ONLY["RSA", "-tls1_2"]) == twice.certificate(ALSO, "RSA")


def test_a_daemon_that_has_not_taken_the_second(twice: Twice) -> None:
    """The doctor reads what is configured now, the daemon serves what was: a reload is due."""
    text = twice.daemon.config_file.read_text()
    files = twice.files[MAIN, "RSA"]
    other = twice.issue("elsewhere", "RSA")
    changed = text.replace(str(files.certificate), str(other.certificate))
    twice.daemon.config_file.write_text(changed.replace(str(files.private_key), str(other.private_key)))
    lines = doctor(twice.daemon, "--ca", twice.trust, code=1)
    twice.daemon.config_file.write_text(text)
    assert [line for line in lines if "understands RSA only is shown another certificate" in line]
