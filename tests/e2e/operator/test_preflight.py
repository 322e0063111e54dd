"""
The preflight of partners' clients: what curl, lftp, Python's ftplib and a client with every fault are told, and what
the operator is told of them.
"""

from __future__ import annotations

import ftplib
import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from ftpsd.control.preflight.report import LENGTH
from ftpsd.demo.authority import Demonstration
from tests.e2e.daemon import PASSWORD, Daemon
from tests.tools import require_tool

CLIENTS = ("curl", "lftp", "ftplib", "poor")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, tls_files: Demonstration) -> Iterator[Daemon]:
    """A server with an account for trying for each client, and a user of the ordinary kind."""
    made = Daemon(tmp_path_factory.mktemp("preflight"), tls_files, {}, users=len(CLIENTS) + 1)
    users = list(made.users.values())
    tried = {name: {**user, "preflight": True} for name, user in zip(CLIENTS, users, strict=False)}
    made.write_users({**tried, "usual": users[-1]})
    with made.running():
        yield made


def operator(daemon: Daemon, *arguments: str) -> str:
    done = daemon.order("preflight", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def exceptions(daemon: Daemon, user: str) -> dict[str, Any]:
    """Return what the operator is told to write into users.yaml for *user*, as YAML reads it."""
    text = operator(daemon, user, "--for", "acme")
    if "# users.yaml" not in text:
        return {}
    found = yaml.safe_load(text.split("# users.yaml\n")[1].split("# ftpsd.yaml")[0].split("# or:")[0])
    return dict(found["users"]["acme"])


def sighting(daemon: Daemon, user: str) -> dict[str, Any]:
    """Return the only sighting of *user*."""
    (found,) = json.loads(operator(daemon, user, "--json"))
    return dict(found)


def fact(report: str, name: str) -> str:
    """Return what the report says of *name*."""
    lines = (line.removeprefix("200-").lstrip() for line in report.splitlines())
    return next(line.partition(". ")[2] for line in lines if line.startswith(f"{name} ."))


def explicit(daemon: Daemon, user: str) -> ftplib.FTP_TLS:
    """Log in as ftplib does, which resumes no TLS session."""
    ftp = ftplib.FTP_TLS(context=ssl.create_default_context(cafile=str(daemon.tls.authority)), timeout=30)
    ftp.connect("localhost", daemon.ports.explicit)
    ftp.login(user, PASSWORD)
    ftp.prot_p()
    return ftp


def test_curl_needs_nothing(daemon: Daemon, tmp_path: Path) -> None:
    """It resumes, ends uploads by close_notify and speaks UTF-8: no exception; the report comes as a file."""
    (tmp_path / "ä").write_bytes(b"x" * 100_000)
    base = [require_tool("curl"), "-sS", "--ssl-reqd", "--cacert", str(daemon.tls.authority), "-u", f"curl:{PASSWORD}"]
    base += ["--max-time", "60", "--tls-max", "1.2"]
    url = f"ftp://127.0.0.1:{daemon.ports.explicit}/"
    subprocess.run([*base, "-T", tmp_path / "ä", url], check=True, timeout=70)
    done = subprocess.run([*base, f"{url}%C3%A4", f"{url}REPORT.txt"], capture_output=True, check=True, timeout=70)
    report = done.stdout[100_000:].decode()
    assert len(report) == LENGTH
    assert fact(report, "control connection").startswith("TLSv1.2, ECDHE")
    assert fact(report, "TLS session resumed").startswith("yes, all ")
    assert fact(report, "upload ends by close_notify") == "yes, all 1"
    assert fact(report, "passive mode") == "works, EPSV"
    assert fact(report, "names beyond ASCII").startswith("in UTF-8")
    assert "for this client, beside the rules for all:\r\n  nothing" in report
    assert exceptions(daemon, "curl") == {}
    assert daemon.wait_for_event("preflight-done", user="curl")["needs"] == ""


def test_lftp_resumes_and_lists(daemon: Daemon, tmp_path: Path) -> None:
    """Active mode, a download that goes on, a listing with the report in it, the reply of SITE PREFLIGHT."""
    program = require_tool("lftp")
    (tmp_path / "part").write_bytes(b"y" * 10_000)
    (daemon.folder / "homes" / "u001" / "part").write_bytes(b"y" * 50_000)
    commands = (
        f"set ssl:ca-file {daemon.tls.authority}; set ftp:ssl-force true; set ftp:ssl-protect-data true; "
        f"set net:timeout 30; set net:max-retries 2; open -u lftp,{PASSWORD} localhost:{daemon.ports.explicit}; "
        "get -c part; set ftp:passive-mode false; ls; quote SITE PREFLIGHT"
    )
    environ = {"HOME": str(tmp_path), "LFTP_HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [program, "--norc", "-c", commands], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "REPORT.txt" in done.stdout
    assert fact(done.stdout, "download resumed") == "works, 1"
    seen = [each for each in json.loads(operator(daemon, "lftp", "--json")) if each["resumed"]]
    assert sum(each["active"] for each in seen) >= 1
    assert sum(each["not_resumed"] for each in seen) == 0
    assert "active: {enabled: true}" in operator(daemon, "lftp")


def test_ftplib_needs_one_exception(daemon: Daemon) -> None:
    """It resumes nothing, and the line that the operator is told is the one that lets it in elsewhere."""
    with explicit(daemon, "ftplib") as ftp:
        names = [name for name, _ in ftp.mlsd()]
        assert names[0] == "REPORT.txt"
        line: list[str] = []
        ftp.retrlines("LIST REPORT.txt", line.append)
        assert [each.split()[-1] for each in line] == ["REPORT.txt"]
        ftp.voidcmd("TYPE I")
        assert ftp.size("REPORT.txt") == LENGTH
        got = bytearray()
        ftp.retrbinary("RETR REPORT.txt", got.extend, rest=100)
        assert len(got) == LENGTH - 100
        with pytest.raises(ftplib.error_perm):
            ftp.rename("REPORT.txt", "other")
        for forbidden in ("DELE REPORT.txt", "MKD REPORT.txt", "MFMT 20200101000000 REPORT.txt"):
            with pytest.raises(ftplib.error_perm):
                ftp.sendcmd(forbidden)
        for command in ("PORT 192,0,2,7,200,1", "PROT C"):
            with pytest.raises(ftplib.error_perm):
                ftp.sendcmd(command)
        said = ftp.sendcmd("SITE PREFLIGHT")
    assert "data_session_reuse: offered (3 of 3 data connections did not resume TLS)" in said
    assert "PORT named an address that is not the one the client comes from" in said
    assert "have the client encrypt data connections (PROT P)" in said
    needed = exceptions(daemon, "ftplib")
    assert needed == {"data_session_reuse": "offered"}
    users = yaml.safe_load(daemon.users_file.read_text())["users"]
    assert run_as_usual(daemon) == 522
    daemon.write_users({**users, "usual": {**users["usual"], **needed}})
    daemon.reload()
    assert run_as_usual(daemon) == 226


def run_as_usual(daemon: Daemon) -> int:
    """List as the ordinary user with the same client; return the last code."""
    with explicit(daemon, "usual") as ftp:
        try:
            ftp.retrlines("NLST", lambda _: None)
        except ftplib.Error as error:
            return int(str(error)[:3])
        return 226


@contextmanager
def poor_transfer(ftp: ftplib.FTP_TLS, command: bytes) -> Iterator[ssl.SSLSocket]:
    """A data connection that resumes nothing and ends without close_notify."""
    port = ftplib.parse227(ftp.sendcmd("PASV"))[1]
    raw = socket.create_connection(("localhost", port), 30)
    assert ftp.sock is not None
    ftp.sock.sendall(command + b"\r\n")
    assert ftp.getresp().startswith("150")
    secured = ftp.context.wrap_socket(raw, server_hostname="localhost")
    yield secured
    socket.socket(fileno=secured.detach()).close()
    assert ftp.getresp().startswith("226")


def test_a_client_with_every_fault(daemon: Daemon) -> None:
    """No close_notify, no resumption, names in Latin-1: each is an exception of its own, none keeps it from trying."""
    with explicit(daemon, "poor") as ftp:
        with poor_transfer(ftp, b"STOR caf\xe9") as data:
            data.sendall(b"z" * 1000)
        said = ftp.sendcmd("SITE PREFLIGHT")
    assert fact(said, "TLS session resumed") == "NO, 0 of 1"
    assert fact(said, "upload ends by close_notify") == "NO, 0 of 1"
    assert fact(said, "names beyond ASCII") == "NOT in UTF-8, 1"
    assert exceptions(daemon, "poor") == {"data_session_reuse": "offered", "upload_end": "fin", "encoding": "cp1252"}
    told = operator(daemon, "poor", "--for", "acme")
    assert "ftpsd user set acme data_session_reuse=offered upload_end=fin encoding=cp1252" in told
    ended = daemon.wait_for_event("preflight-done", user="poor")
    assert ended["needs"] == "data_session_reuse: offered, upload_end: fin, encoding: cp1252"
    assert daemon.wait_for_event("file-stored", user="poor")["without_close_notify"] is True
    assert PASSWORD not in json.dumps(sighting(daemon, "poor"))


def test_others_have_none_of_it(daemon: Daemon) -> None:
    """An ordinary account has no report, no SITE PREFLIGHT, and nothing of it is kept."""
    with explicit(daemon, "usual") as ftp:
        with pytest.raises(ftplib.error_perm, match="502"):
            ftp.sendcmd("SITE PREFLIGHT")
        with pytest.raises(ftplib.error_perm, match="550"):
            ftp.sendcmd("SIZE REPORT.txt")
    assert daemon.order("preflight", "usual").returncode == 1
