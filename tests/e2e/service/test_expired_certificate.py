"""A certificate that has expired, with the real daemon: served, refused, renewed; nobody restarts anything."""

from __future__ import annotations

import ftplib
import os
import ssl
from pathlib import Path

import pytest

from tests.e2e.client import IPV4, TIMEOUT, ImplicitFTP_TLS, ReusedFTP_TLS, download, upload
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Daemon
from tests.e2e.polling import eventually
from tests.hosts import IssuedFiles, issue

NAME, HOST = "localhost", "other.example.test"
PATIENCE = 60.0
IN_DATE = 'ftpsd_tls_certificate_in_date{name="default"}'
KEY = "expired_certificate"


def context(version: ssl.TLSVersion) -> ssl.SSLContext:
    """Return that of a client that looks at no certificate."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    found.check_hostname = False
    found.verify_mode = ssl.CERT_NONE
    found.minimum_version = found.maximum_version = version
    return found


def explicit(daemon: Daemon) -> ReusedFTP_TLS:
    """Return a session that is logged in."""
    account = daemon.account()
    ftp = ReusedFTP_TLS(context=context(ssl.TLSVersion.TLSv1_2), timeout=TIMEOUT)
    ftp.connect(IPV4, daemon.ports.explicit)
    ftp.login(account.name, account.password)
    ftp.prot_p()
    return ftp


def implicit(daemon: Daemon, version: ssl.TLSVersion, name: str = NAME) -> ImplicitFTP_TLS:
    """Return a session that asks for *name*, before its login."""
    ftp = ImplicitFTP_TLS(context=context(version), timeout=TIMEOUT)
    if name == NAME:
        ftp.connect(IPV4, daemon.ports.implicit)
        return ftp
    wrap = ftp.context.wrap_socket
    ftp.context.wrap_socket = lambda sock, server_hostname: wrap(sock, server_hostname=name)  # type: ignore[method-assign,misc,assignment]
    ftp.connect(IPV4, daemon.ports.implicit)
    return ftp


def say(daemon: Daemon, before: str, now: str) -> None:
    """Change the key and reload."""
    text = daemon.config_file.read_text()
    assert f"{KEY}: {before}" in text
    daemon.config_file.write_text(text.replace(f"{KEY}: {before}", f"{KEY}: {now}"))
    done = daemon.order("reload")
    assert done.returncode == 0, done.stdout + done.stderr


def replace(new: IssuedFiles, old: IssuedFiles) -> None:
    """Put *new* in the place of *old*, key and certificate."""
    os.replace(new.private_key, old.private_key)
    os.replace(new.certificate, old.certificate)


@pytest.mark.parametrize("processes", [1, 2])
def test_served_refused_and_renewed(tmp_path: Path, start_daemon: StartDaemon, processes: int) -> None:
    """What begun before goes on; a refused client reads why, and is not banned for it; a new pair ends it."""
    folder = tmp_path / "tls"
    folder.mkdir()
    files, other = issue(folder, NAME, days=(-9, -1)), issue(folder, HOST, days=(-9, 9))
    names = [{"names": [HOST], **other.section()}] if processes == 2 else []
    daemon = start_daemon(
        {
            "processes": processes,
            "tls": {**files.section(), "server_names": names},
            KEY: "serve",
            "penalties": {"exempt": [], "failures": 2},
        }
    )
    told = daemon.wait_for_event("certificate-out-of-date", result="served")
    assert told["reason"] == f"the certificate for {NAME} {told['reason'].partition(f'{NAME} ')[2]}"
    assert "it is served nevertheless" in daemon.stderr
    live = explicit(daemon)
    upload(live, "file", b"before")

    say(daemon, "serve", "refuse")
    daemon.wait_for_event("certificate-out-of-date", result="refused")
    upload(live, "file", b"after")
    assert download(live, "file") == b"after"
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with pytest.raises(ssl.SSLError, match=r"(?i)handshake[_ ]failure"):
            implicit(daemon, version)
    daemon.wait_for_event("tls-failed", reason="certificate-out-of-date")
    if names:
        # Somebody may ask for it behind AUTH, too.
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            implicit(daemon, version, HOST).close()
    else:
        for _ in range(3):
            with ftplib.FTP(timeout=TIMEOUT) as clear:
                clear.connect(IPV4, daemon.ports.explicit)
                with pytest.raises(ftplib.error_temp, match=r"^431 "):
                    clear.sendcmd("AUTH TLS")
                with pytest.raises(ftplib.error_perm, match=r"^530 "):
                    clear.sendcmd("USER u000")
    assert daemon.audit('"banned"') == []
    eventually(lambda: daemon.metrics()[IN_DATE] == 0, "the metric tells", PATIENCE)
    assert "certificates out of date" in daemon.order("status").stdout

    # A start would be refused, a reload that leaves the certificate is not.
    assert daemon.order("reload").returncode == 0
    checked = daemon.order("check", "--config", str(daemon.config_file))
    assert (checked.returncode, "expired on" in checked.stderr) == (2, True), checked.stderr

    (tmp_path / "new").mkdir()
    replace(issue(tmp_path / "new", NAME, days=(-1, 9)), files)
    daemon.wait_for_event("certificates-in-date")
    with explicit(daemon) as new:
        upload(new, "file", b"new")
    assert daemon.metrics()[IN_DATE] == 1
    live.close()


def test_a_name_that_has_expired_keeps_nobody_else_out(tmp_path: Path, start_daemon: StartDaemon) -> None:
    """The server starts, tells of it, and refuses those alone who ask for that name."""
    other = issue(tmp_path, HOST, days=(-9, -1))
    daemon = start_daemon({"tls": {"server_names": [{"names": [HOST], **other.section()}]}})
    assert daemon.wait_for_event("certificate-out-of-date")["names"] == HOST
    with explicit(daemon) as ftp:
        upload(ftp, "file", b"data")
    with pytest.raises(ssl.SSLError, match=r"(?i)handshake[_ ]failure"):
        implicit(daemon, ssl.TLSVersion.TLSv1_3, HOST)
    assert f"the certificate for {HOST} expired on" in daemon.stderr
    assert daemon.order("check", "--config", str(daemon.config_file)).returncode == 2
