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
from functools import cache
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
SAID = "a new certificate for localhost, valid until"
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


@cache
def trusting() -> ssl.SSLContext:
    """Return what clients trust: without the authorities of the machine, whose reading takes longer than a session."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    return context


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
        context = trusting()
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
        account = self.daemon.account()
        ftp = ReusedFTP_TLS(context=trusting(), timeout=TIMEOUT)
        ftp.connect(IPV4, self.daemon.ports.explicit)
        ftp.host = NAME
        ftp.login(account.name, account.password)
        ftp.prot_p()
        return ftp


@pytest.fixture
def renewing(tmp_path: Path, start_daemon: StartDaemon) -> Renewing:
    """The daemon, of one process."""
    return made_in(tmp_path / "certificates", start_daemon, 1)


def made_in(folder: Path, start_daemon: StartDaemon, processes: int) -> Renewing:
    """Return a daemon of so many processes, whose certificates are in *folder*."""
    folder.mkdir()
    return Renewing(folder, start_daemon, {"processes": processes})


def test_a_renewed_certificate_is_shown(tmp_path: Path, start_daemon: StartDaemon) -> None:
    """
    To new sessions, however it is put in place; one that runs goes on and resumes the TLS session that it has.

    Several daemons at once: each waits for its next look at the files.
    """
    ways = {"renamed": (1, by_rename), "linked": (1, by_link), "written": (1, in_place), "of-two": (2, by_rename)}
    several = []
    for name, (processes, replace) in ways.items():
        renewing = made_in(tmp_path / name, start_daemon, processes)
        old = renewing.log_in()
        upload(old, "file", b"before")
        assert renewing.certificate() == renewing.shown, name
        several.append((renewing, old, renewing.renew(replace)))
    for renewing, old, certificate in several:
        daemon = renewing.daemon
        renewing.wait_for(certificate)
        upload(old, "file", b"after")
        assert download(old, "file") == b"after"
        old.close()
        with renewing.log_in() as new:
            upload(new, "file", b"new")
        eventually(lambda daemon=daemon: SAID in daemon.stderr, "the log says so")  # type: ignore[misc]
        assert daemon.audit('"reloaded"') == []


def test_a_bad_pair_is_kept_out(tmp_path: Path, start_daemon: StartDaemon) -> None:
    """One warning that names the file; the old pair serves on, and a good one is taken later."""
    several = [made_in(tmp_path / f"of-{processes}", start_daemon, processes) for processes in (1, 2)]
    for renewing in several:
        new, _ = renewing.issue()
        by_rename(new.certificate, renewing.files.certificate)
    good = []
    for renewing in several:
        daemon = renewing.daemon
        eventually(lambda daemon=daemon: REFUSED in daemon.stderr, "it is refused", PATIENCE)  # type: ignore[misc]
        assert renewing.certificate() == renewing.shown
        good.append(renewing.renew(by_rename))
    for renewing, certificate in zip(several, good, strict=True):
        renewing.wait_for(certificate)
        said = [line for line in renewing.daemon.stderr.splitlines() if REFUSED in line]
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
