"""Several names and hosts on one daemon, with real clients: certificates by SNI, users by SNI and HOST."""

from __future__ import annotations

import ftplib
import json
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.e2e.client import (
    EXPLICIT,
    SECURE_WAYS,
    Way,
    control,
    download,
    next_code,
    reply,
    upload,
)
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import PASSWORD
from tests.e2e.hosted import ALSO, MAIN, OTHER, HostedDaemon
from tests.tools import require_tool

NOT_AFTER = "ftpsd_tls_certificate_not_after_timestamp_seconds"


@pytest.fixture
def hosted(tmp_path: Path, start_daemon: StartDaemon) -> HostedDaemon:
    """The daemon."""
    return HostedDaemon(tmp_path, start_daemon)


@pytest.mark.parametrize("data_name", ["same", None, "elsewhere.example.test"])
@pytest.mark.parametrize("name", [ALSO, "any.also.example.test", OTHER, MAIN])
def test_sni_chooses_certificate_and_users(hosted: HostedDaemon, name: str, data_name: str | None) -> None:
    """In every mode and version; data connections resume, whatever name they send, and session reuse is required."""
    account = hosted.daemon.account()
    for way in SECURE_WAYS:
        ftp = hosted.connect(way, name)
        home = hosted.homes.get(name, account.home)
        ftp.login(account.name if home is account.home else "carol", PASSWORD, secure=False)
        ftp.prot_p()
        ftp.data_name = name if data_name == "same" else data_name
        upload(ftp, "file", str(way).encode())
        assert (home / "file").read_bytes() == str(way).encode()
        assert download(ftp, "file") == str(way).encode()
        assert isinstance(ftp.sock, ssl.SSLSocket)
        shown = ftp.sock.getpeercert()
        assert shown is not None
        assert ("DNS", ALSO if name.endswith(ALSO) else name) in shown["subjectAltName"]
        ftp.close()


def test_users_stay_on_their_host(hosted: HostedDaemon) -> None:
    """Nobody exists on another host; the log has the host."""
    account = hosted.daemon.account()
    for name, user in ((OTHER, account.name), (MAIN, account.name), (ALSO, "carol")):
        ftp = hosted.connect(EXPLICIT, name)
        assert reply(ftp, f"USER {user}").startswith("331")
        assert reply(ftp, f"PASS {PASSWORD}").startswith("530")
        ftp.close()
    assert hosted.daemon.wait_for_event("login-refused", reason="unknown user", host=OTHER)
    assert "host" not in hosted.daemon.wait_for_event("login-refused", name="carol")


def test_host_before_auth(hosted: HostedDaemon) -> None:
    """HOST in clear chooses the certificate for a client that sends no name, and that client's host."""
    connection = control(hosted.daemon, Way("clear"))
    assert connection.ask(f"HOST {OTHER}") == f"220 This is {OTHER}."
    assert connection.ask("AUTH TLS").startswith("234")
    context = ssl.create_default_context(cafile=str(hosted.trust))
    context.check_hostname = False
    secure = context.wrap_socket(connection.sock)
    connection.sock = secure
    shown = secure.getpeercert()
    assert shown is not None
    assert shown["subjectAltName"] == (("DNS", OTHER),)
    assert connection.ask("USER carol").startswith("331")
    assert connection.ask(f"PASS {PASSWORD}").startswith("230")
    connection.close()


def test_host_under_tls(hosted: HostedDaemon) -> None:
    """Hosts of the certificate that was shown can be chosen, others not."""
    ftp = hosted.connect(EXPLICIT, "127.0.0.1")
    assert reply(ftp, f"HOST {OTHER}").startswith("504")
    assert reply(ftp, f"HOST {MAIN}") == f"220 This is {MAIN}."
    assert reply(ftp, "HOST [::1]").startswith("220 FTPS server ready")
    assert reply(ftp, f"HOST {MAIN}").startswith("220")
    ftp.login("carol", PASSWORD, secure=False)
    assert reply(ftp, f"HOST {MAIN}").startswith("503")
    ftp.close()


@pytest.mark.parametrize("scheme", ["ftp", "ftps"])
@pytest.mark.parametrize("name", [OTHER, ALSO])
def test_curl(hosted: HostedDaemon, tmp_path: Path, scheme: str, name: str) -> None:
    """curl sends its name on both connections."""
    program = require_tool("curl")
    account = hosted.daemon.account()
    user, home = ("carol", hosted.homes[OTHER]) if name == OTHER else (account.name, account.home)
    ports = hosted.daemon.ports
    port = ports.implicit if scheme == "ftps" else ports.explicit
    (home / "file").write_bytes(b"content")
    options = ["--silent", "--show-error", "--ssl-reqd", "--cacert", str(hosted.trust), "--max-time", "60"]
    options += ["--resolve", f"{name}:{port}:127.0.0.1", "--user", f"{user}:{PASSWORD}"]
    done = subprocess.run([program, *options, f"{scheme}://{name}:{port}/file"], capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"content"), done.stderr


def test_lftp_sends_host(hosted: HostedDaemon, tmp_path: Path) -> None:
    """lftp sees it in FEAT and sends the name it was given."""
    program = require_tool("lftp")
    (hosted.homes[MAIN] / "file").write_bytes(b"content")
    script = [
        "set cmd:fail-exit yes",
        "set net:max-retries 1",
        f"set ssl:ca-file {hosted.trust}",
        "set ftp:ssl-force yes",
        f"open -u carol,{PASSWORD} ftp://localhost:{hosted.daemon.ports.explicit}",
        "cat file",
    ]
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    done = subprocess.run([program, "--norc", "-c", ";".join(script)], env=environ, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"content"), done.stderr
    assert hosted.daemon.wait_for_event("command", command="HOST")["code"] == 220


def test_hosts_come_and_go_with_a_reload(hosted: HostedDaemon) -> None:
    """A session on a host that has gone ends; certificates are replaced together, and their expiry is told."""
    daemon = hosted.daemon
    assert {f'{NOT_AFTER}{{name="{name}"}}' for name in ("default", ALSO, OTHER)} <= set(daemon.metrics())
    ftp = hosted.connect(EXPLICIT, OTHER)
    ftp.login("carol", PASSWORD, secure=False)
    ftp.prot_p()
    third = "third.example.test"
    hosted.users(third).write_text(hosted.users(MAIN).read_text())
    hosted.users(third).chmod(0o600)
    settings = {**daemon.settings(), "virtual_hosts": [hosted.host(third, own=True)]}
    daemon.config_file.write_text(json.dumps(settings))
    daemon.reload()
    assert next_code(ftp) == 421
    daemon.wait_for_event("session-closed", host=OTHER, reason="host-removed")
    ftp.close()
    with pytest.raises(ssl.SSLCertVerificationError):
        hosted.connect(EXPLICIT, OTHER)
    new = hosted.connect(EXPLICIT, third)
    new.login("carol", PASSWORD, secure=False)
    new.close()
    assert f'{NOT_AFTER}{{name="{OTHER}"}}' not in daemon.metrics()
    assert f'{NOT_AFTER}{{name="{third}"}}' in daemon.metrics()


def test_a_wrong_host_name_is_no_way_in(hosted: HostedDaemon) -> None:
    """A client that checks names refuses the certificate of another host, with ftplib's own error."""
    with pytest.raises((ssl.SSLCertVerificationError, ftplib.Error)):
        hosted.connect(EXPLICIT, "elsewhere.example.test")
