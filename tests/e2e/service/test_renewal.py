"""Renewed certificates: files are replaced, nobody sends a signal, and the next session is shown the new pair."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import IPV4, TIMEOUT, ReusedFTP_TLS, download, upload
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Daemon
from tests.e2e.polling import eventually
from tests.hosts import IssuedFiles, authority, issue
from tests.tools import ROOT

NAME, HOST = "localhost", "other.example.test"
REFUSED = "the new certificates are not taken, the old ones stay: "
# Far beyond two looks of the daemon, for a machine that is busy.
PATIENCE = 60.0


def by_rename(new: Path, name: Path) -> None:
    """Put *new* in the place of *name* as `install` and `mv` do."""
    beside = name.with_suffix(".new")
    shutil.copy(new, beside)
    os.replace(beside, name)


def by_link(new: Path, name: Path) -> None:
    """Let *name* be a link to *new*, as in certbot's `live` directory."""
    beside = name.with_suffix(".new")
    beside.symlink_to(new)
    os.replace(beside, name)


def in_place(new: Path, name: Path) -> None:
    """Write the bytes of *new* into *name*, as `cp` does."""
    name.write_bytes(new.read_bytes())


class Renewing:
    """A daemon whose certificate is in `live`, and further ones for the same name."""

    def __init__(self, folder: Path, start: StartDaemon, changes: dict[str, Any]) -> None:
        self.folder = folder
        self.live = folder / "live"
        self.live.mkdir()
        self.files = IssuedFiles(self.live / "fullchain.pem", self.live / "privkey.pem")
        self.shown = self.renew(by_rename)
        self.daemon: Daemon = start({**changes, "tls": self.files.section()})

    def issue(self) -> tuple[IssuedFiles, bytes]:
        """Return another pair, and its certificate in DER."""
        folder = self.folder / f"archive{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        files = issue(folder, NAME)
        first = re.match(r".*?-----END CERTIFICATE-----\n", files.certificate.read_text(), re.DOTALL)
        assert first is not None
        return files, ssl.PEM_cert_to_DER_cert(first[0])

    def renew(self, replace: Callable[[Path, Path], None]) -> bytes:
        """Put a new pair in the place of the old one; return its certificate."""
        files, certificate = self.issue()
        replace(files.certificate, self.files.certificate)
        replace(files.private_key, self.files.private_key)
        return certificate

    def certificate(self) -> bytes:
        """Return the certificate that a new session is shown."""
        context = ssl.create_default_context()
        authority().configure_trust(context)
        plain = socket.create_connection((IPV4, self.daemon.ports.implicit), TIMEOUT)
        with context.wrap_socket(plain, server_hostname=NAME) as secure:
            found = secure.getpeercert(binary_form=True)
        assert found is not None
        return found

    def wait_for(self, certificate: bytes) -> None:
        """Wait until it is *certificate*."""
        eventually(lambda: self.certificate() == certificate, "the new certificate is shown", PATIENCE)

    def log_in(self) -> ReusedFTP_TLS:
        """Return a session."""
        context = ssl.create_default_context()
        authority().configure_trust(context)
        account = self.daemon.account()
        ftp = ReusedFTP_TLS(context=context, timeout=TIMEOUT)
        ftp.connect(IPV4, self.daemon.ports.explicit)
        ftp.host = NAME
        ftp.login(account.name, account.password)
        ftp.prot_p()
        return ftp


@pytest.fixture
def renewing(request: pytest.FixtureRequest, tmp_path: Path, start_daemon: StartDaemon) -> Renewing:
    """The daemon, of as many processes as the test says."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    return Renewing(folder, start_daemon, {"processes": getattr(request, "param", 1)})


@pytest.mark.parametrize(
    ("renewing", "replace"), [(1, by_rename), (1, by_link), (1, in_place), (2, by_rename)], indirect=["renewing"]
)
def test_a_renewed_certificate_is_shown(renewing: Renewing, replace: Callable[[Path, Path], None]) -> None:
    """To new sessions; one that runs goes on and resumes the TLS session that it has."""
    daemon = renewing.daemon
    old = renewing.log_in()
    upload(old, "file", b"before")
    assert renewing.certificate() == renewing.shown
    renewing.wait_for(renewing.renew(replace))
    upload(old, "file", b"after")
    assert download(old, "file") == b"after"
    old.close()
    with renewing.log_in() as new:
        upload(new, "file", b"new")
    eventually(lambda: "a new certificate for localhost, valid until" in daemon.stderr, "the log says so")
    assert daemon.audit('"reloaded"') == []


@pytest.mark.parametrize("renewing", [1, 2], indirect=True)
def test_a_bad_pair_is_kept_out(renewing: Renewing) -> None:
    """One warning that names the file; the old pair serves on, and a good one is taken later."""
    daemon = renewing.daemon
    new, _ = renewing.issue()
    by_rename(new.certificate, renewing.files.certificate)
    eventually(lambda: REFUSED in daemon.stderr, "it is refused", PATIENCE)
    assert renewing.certificate() == renewing.shown
    renewing.wait_for(renewing.renew(by_rename))
    said = [line for line in daemon.stderr.splitlines() if REFUSED in line]
    assert len(said) == 1
    assert str(renewing.files.private_key) in said[0]


def test_a_file_that_is_gone_for_a_while(renewing: Renewing) -> None:
    """The old pair serves on."""
    renewing.files.certificate.unlink()
    eventually(lambda: REFUSED in renewing.daemon.stderr, "it is missed", PATIENCE)
    assert renewing.certificate() == renewing.shown
    renewing.wait_for(renewing.renew(by_rename))


def test_nothing_else_is_read(renewing: Renewing) -> None:
    """Edits of ftpsd.yaml and users.yaml that somebody is writing meanwhile are no matter."""
    daemon = renewing.daemon
    daemon.config_file.write_text("listeners: [")
    daemon.users_file.write_text("users: [")
    renewing.wait_for(renewing.renew(by_rename))
    renewing.log_in().close()
    assert "reload failed" not in daemon.stderr


def test_the_documented_hook(renewing: Renewing, tmp_path: Path) -> None:
    """certbot runs it with RENEWED_LINEAGE; here with the user, group and directory of the test."""
    page = (ROOT / "docs" / "operations.md").read_text()
    found = re.search(r"renewal-hooks/deploy/ftpsd`:\n\n```sh\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert found is not None
    script = found[1].replace("-o root -g ftpsd ", "").replace("/etc/ftpsd/tls/", f"{renewing.live}/")
    hook = tmp_path / "hook"
    hook.write_text(script)
    hook.chmod(0o755)
    new, certificate = renewing.issue()
    lineage = tmp_path / "lineage"
    lineage.mkdir()
    by_link(new.certificate, lineage / "fullchain.pem")
    by_link(new.private_key, lineage / "privkey.pem")
    subprocess.run([hook], env={**os.environ, "RENEWED_LINEAGE": str(lineage)}, check=True)
    assert renewing.files.private_key.stat().st_mode & 0o777 == 0o640
    renewing.wait_for(certificate)


def test_the_pair_of_a_virtual_host(tmp_path: Path, start_daemon: StartDaemon) -> None:
    """It is renewed as the main one is, and the metric tells when it expires."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    host = issue(folder, HOST)
    users = folder / "users.yaml"
    users.write_text("users: {}")
    users.chmod(0o600)
    daemon = start_daemon({"virtual_hosts": [{"names": [HOST], "users": str(users), **host.section()}]})
    name = f'ftpsd_tls_certificate_not_after_timestamp_seconds{{name="{HOST}"}}'
    before = daemon.metrics()[name]
    newer = folder / "newer"
    newer.mkdir()
    end = int(before) - 86400
    issued = _issue_until(newer, end)
    by_rename(issued.certificate, host.certificate)
    by_rename(issued.private_key, host.private_key)
    eventually(lambda: daemon.metrics()[name] == end, "the metric tells the new end", PATIENCE)


def _issue_until(folder: Path, end: int) -> IssuedFiles:
    """Issue a certificate that is valid until *end*, a Unix time."""
    issued = authority().issue_cert(HOST, not_after=datetime.fromtimestamp(end, UTC))
    files = IssuedFiles(folder / "certificate.pem", folder / "key.pem")
    files.certificate.write_bytes(issued.cert_chain_pems[0].bytes())
    files.private_key.write_bytes(issued.private_key_pem.bytes())
    files.private_key.chmod(0o600)
    return files
