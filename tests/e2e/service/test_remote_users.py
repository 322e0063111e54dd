"""The daemon with a directory and an endpoint behind it: replies, the audit log, a reload, several processes."""

from __future__ import annotations

import ftplib
import json
import os
import ssl
import time
from collections.abc import Iterator
from copy import deepcopy
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from ftpsd.auth.codes import code_of, step_at
from ftpsd.demo.authority import Demonstration
from ftpsd.values.login.second_factor import spelt
from tests.e2e.client import ReusedFTP_TLS
from tests.e2e.daemon import PASSWORD, Daemon
from tests.e2e.polling import eventually
from tests.sources.making import ldap_section
from tests.sources.slapd import Slapd
from tests.state import begin_long_ago


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """A directory."""
    server = Slapd(tmp_path_factory.mktemp("slapd") / "directory")
    yield server
    server.stop()


def settings(folder: Path, slapd: Slapd, **more: Any) -> dict[str, Any]:
    """Return the configuration of a daemon with *slapd* behind its users file."""
    for name in ("alice", "bob"):
        (folder / "remote" / name).mkdir(parents=True, exist_ok=True)
    place = f"ldaps://localhost:{slapd.tls_port}"
    keys = {"homes": [str(folder / "remote")], "home": f"{folder}/remote/{{user}}", "timeout": "2s", "cache": 0}
    section = ldap_section(folder, place, authority=str(slapd.identity.authority), **keys)
    return {"accounts": ["file", "ldap"], "ldap": section, **more}


def with_roles(daemon: Daemon, **of_sources: dict[str, Any]) -> None:
    """Give the users file the role that groups have, and entries *of_sources*."""
    users = yaml.safe_load(daemon.users_file.read_text())
    users["roles"] = {"uploader": {"rules": [{"path": "/**", "allow": "all"}]}}
    users["users"].update(of_sources)
    daemon.users_file.write_text(json.dumps(users))


def log_in(daemon: Daemon, name: str, password: str, host: str | None = None) -> str:
    """Return the reply to a login, on the virtual host *host* if it is given."""
    context = ssl.create_default_context(cafile=str(daemon.tls.authority))
    client = ftplib.FTP_TLS(context=context, timeout=60)
    try:
        # To an address there is no name in the hello, which would go before that of HOST.
        client.connect("localhost" if host is None else "127.0.0.1", daemon.ports.explicit)
        client.auth()
        if host is not None:
            client.sendcmd(f"HOST {host}")
        return client.login(name, password)
    except ftplib.Error as error:
        return str(error)
    finally:
        client.close()


def reasons(daemon: Daemon) -> list[str]:
    """Return the reasons of refused logins."""
    lines = (daemon.folder / "audit.jsonl").read_text().splitlines()
    return [event["reason"] for event in map(json.loads, lines) if event["event"] == "login-refused"]


@pytest.mark.parametrize("processes", [1, 2])
def test_logins(tmp_path: Path, slapd: Slapd, tls_files: Demonstration, processes: int) -> None:
    """Users of the file and of the directory; 530 for a no, 421 for no answer; the doctor says why."""
    host = {"names": ["ftp.example.com"], "users": "users.yaml", "accounts": ["ldap"]}
    more = {"processes": processes, "virtual_hosts": [host]}
    daemon = Daemon(tmp_path, tls_files, settings(tmp_path, slapd, **more), users=1)
    secret = os.urandom(20)
    with_roles(daemon, bob={"source": "ldap", "second_factor": {"totp": spelt(secret)}})
    begin_long_ago(tmp_path / "state.db")
    try:
        daemon.start()
        assert log_in(daemon, "u000", PASSWORD)[:3] == "230"
        assert log_in(daemon, "alice", "alice's")[:3] == "230"
        assert log_in(daemon, "alice", "x") == "530 Login incorrect."
        assert log_in(daemon, "alice", "") == "530 Login incorrect."
        # A virtual host has an order of its own.
        assert log_in(daemon, "alice", "alice's", "ftp.example.com")[:3] == "230"
        assert log_in(daemon, "u000", PASSWORD, "ftp.example.com") == "530 Login incorrect."
        asked = daemon.order("doctor")
        assert "ok: the source ldap answers" in asked.stdout, asked.stdout + asked.stderr
        # The file adds a second factor to the user of the directory, who is asked for it once.
        assert log_in(daemon, "bob", f"bob's{code_of(secret, step_at(time.time()) - 9)}") == "530 Login incorrect."
        assert log_in(daemon, "bob", f"bob's{code_of(secret, step_at(time.time()))}")[:3] == "230"
        assert log_in(daemon, "bob", "bob's")[:3] == "230"
        assert log_in(daemon, "bob", "x") == "530 Login incorrect."
        # The directory moves away, and the daemon takes that over.
        changed = deepcopy(daemon.settings())
        changed["ldap"]["servers"] = [f"ldaps://localhost:{daemon.ports.spare}"]
        daemon.config_file.write_text(yaml.safe_dump(changed))
        daemon.reload()
        assert log_in(daemon, "alice", "alice's") == "421 Logins cannot be checked now, try again later."
        assert log_in(daemon, "u000", PASSWORD)[:3] == "230"
        expected = ["wrong password", "wrong password", "unknown user", "second factor code of another time"]
        expected += ["wrong password", "directory unavailable"]
        eventually(lambda: len(reasons(daemon)) == len(expected), "logged")
        assert reasons(daemon) == expected
        asked = daemon.order("doctor")
        assert "problem: the source ldap does not answer" in asked.stdout, asked.stdout + asked.stderr
        written = daemon.stderr + (tmp_path / "audit.jsonl").read_text() + asked.stdout + asked.stderr
        assert "alice's" not in written
        assert "the service's" not in written
        daemon.stop()
    finally:
        daemon.kill()


def test_a_reload_asks_the_directory(tmp_path: Path, slapd: Slapd, tls_files: Demonstration) -> None:
    """A user who is disabled there is logged out; while it does not answer, sessions go on."""
    daemon = Daemon(tmp_path, tls_files, settings(tmp_path, slapd), users=1)
    with_roles(daemon)
    context = ssl.create_default_context(cafile=str(tls_files.authority))
    client = ftplib.FTP_TLS(context=context, timeout=60)
    try:
        daemon.start()
        client.connect("localhost", daemon.ports.explicit)
        client.login("bob", "bob's")
        changed = deepcopy(daemon.settings())
        changed["ldap"]["servers"] = [f"ldaps://localhost:{daemon.ports.spare}"]
        daemon.config_file.write_text(yaml.safe_dump(changed))
        daemon.reload()
        eventually(lambda: "bob may still log in cannot be asked" in daemon.stderr, "asked")
        assert client.voidcmd("NOOP")[:3] == "200"
        changed = deepcopy(daemon.settings())
        changed["ldap"]["disabled_groups"] = ["cn=uploaders,ou=groups,dc=example,dc=com"]
        daemon.config_file.write_text(yaml.safe_dump(changed))
        daemon.reload()
        assert client.getline()[:3] == "421"
        daemon.stop()
    finally:
        client.close()
        daemon.kill()


def test_hidden_uploads_of_a_user_of_the_directory(tmp_path: Path, slapd: Slapd, tls_files: Demonstration) -> None:
    """They are published by the rules of the user, whom only the directory knows."""
    rules = [{"paths": ["/**"], "program": ["/bin/true"], "accept": "hidden"}]
    more = {"accept": rules, "quarantine": {"directory": str(tmp_path / "held")}}
    daemon = Daemon(tmp_path, tls_files, settings(tmp_path, slapd, **more), users=1)
    with_roles(daemon)
    try:
        daemon.start()
        with ReusedFTP_TLS(context=ssl.create_default_context(cafile=str(daemon.tls.authority)), timeout=60) as ftp:
            ftp.connect("localhost", daemon.ports.explicit)
            ftp.login("alice", "alice's")
            ftp.prot_p()
            assert ftp.storbinary("STOR file", BytesIO(b"data")).startswith("226")
            daemon.wait_for_event("upload-published", path="/file", user="alice")
            assert (tmp_path / "remote" / "alice" / "file").read_bytes() == b"data"
    finally:
        daemon.stop()
