"""SIGHUP: a good configuration is taken over, a bad one changes nothing."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from ftpsd.demo.authority import Demonstration, create
from tests.e2e.client import EXPLICIT, IPV4, begin, control, log_in, next_code, reply, tls_context
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Account, Daemon, password_hash
from tests.e2e.forked import ftpsd
from tests.e2e.polling import eventually

SUCCESSFUL = "ftpsd_config_last_reload_successful"


@pytest.fixture
def own(start_daemon: StartDaemon) -> Daemon:
    """A daemon whose files may be changed."""
    return start_daemon()


def test_a_new_user_can_log_in(own: Daemon) -> None:
    """After SIGHUP, and without it not."""
    home = own.folder / "new-home"
    home.mkdir()
    own.write_users({**own.users, "new": {"password": password_hash(), "home": str(home)}})
    own.reload()
    log_in(own, EXPLICIT, Account("new", home)).close()
    eventually(lambda: own.metrics()[SUCCESSFUL] == 1, "the metric tells the success")
    own.wait_for_event("reloaded")


def test_a_removed_user_can_not_log_in(own: Daemon) -> None:
    """Though the password was verified a moment ago."""
    account = own.account()
    log_in(own, EXPLICIT, account).close()
    own.write_users({name: user for name, user in own.users.items() if name != account.name})
    own.reload()
    connection = control(own, EXPLICIT)
    connection.ask(f"USER {account.name}")
    assert connection.ask(f"PASS {account.password}").startswith("530")


@pytest.mark.parametrize("change", [{"enabled": False}, {"password": None}, None], ids=str)
def test_a_session_ends_with_its_user(own: Daemon, change: dict[str, object] | None) -> None:
    """421 in mid-upload, which is not published; a session that had only connected logs in as little."""
    account, other = own.account(), own.account()
    waiting = control(own, EXPLICIT)
    waiting.ask(f"USER {account.name}")
    ftp, stays = log_in(own, EXPLICIT, account), log_in(own, EXPLICIT, other)
    connection, _ = begin(ftp, "STOR half")
    connection.sendall(b"half of it")
    users = own.users
    users[account.name] = {**users[account.name], **(change or {})}
    if change is None:
        del users[account.name]
    own.write_users(users)
    own.reload()
    assert next_code(ftp) == 421
    connection.close()
    assert waiting.ask(f"PASS {account.password}").startswith("530")
    assert reply(stays, "NOOP").startswith("200")
    reason = (
        {"enabled": "user-disabled", "password": "password-changed"}[next(iter(change))] if change else "user-removed"
    )
    own.wait_for_event("session-closed", user=account.name, reason=reason)
    assert own.wait_for_event("file-stored", user=account.name)["result"] == "aborted"
    assert not (account.home / "half").exists()
    for each in (ftp, waiting, stays):
        each.close()


def test_a_session_survives(own: Daemon) -> None:
    """A user who is logged in stays so, with their files."""
    account = own.account()
    ftp = log_in(own, EXPLICIT, account)
    own.reload()
    assert reply(ftp, "MKD still-here").startswith("257")
    ftp.close()


@pytest.mark.parametrize(
    "text", ["users: [", "users: {u000: {home: relative, pasword: x}}", ""], ids=["syntax", "keys", "empty"]
)
def test_a_broken_users_file_changes_nothing(own: Daemon, text: str) -> None:
    """The old users stay, the reason is logged with its place, and the metric says so until the file is good again."""
    if not text:
        own.users_file.unlink()
    else:
        own.users_file.write_text(text)
    own.signal(signal.SIGHUP)
    eventually(lambda: own.metrics()[SUCCESSFUL] == 0, "the metric tells the failure")
    reason = rf"reload failed.*{re.escape(str(own.users_file))}"
    eventually(lambda: re.search(reason, own.stderr), "the reason is told")
    assert str(own.users_file) in own.wait_for_event("reload-failed")["reason"]
    log_in(own, EXPLICIT, own.account()).close()
    own.write_users(own.users)
    own.reload()
    eventually(lambda: own.metrics()[SUCCESSFUL] == 1, "the metric tells the success")


def test_a_broken_configuration_changes_nothing(own: Daemon) -> None:
    """The same for ftpsd.yaml."""
    own.config_file.write_text(own.config_file.read_text() + "bannr: x\n")
    own.signal(signal.SIGHUP)
    own.wait_for_event("reload-failed")
    log_in(own, EXPLICIT, own.account()).close()


def asked_for(daemon: Daemon) -> subprocess.CompletedProcess[str]:
    """Run `ftpsd reload` as systemd does, and return how it ended."""
    assert daemon.process is not None
    environ = {**os.environ, "RUNTIME_DIRECTORY": str(daemon.folder), "MAINPID": str(daemon.process.pid)}
    return ftpsd("reload", environ=environ)


@pytest.mark.parametrize("processes", [1, 2])
def test_who_asks_for_a_reload_is_told_how_it_ends(tmp_path: Path, tls_files: Demonstration, processes: int) -> None:
    """0 when it is taken; 2 and the reason when it is refused; 1 when nobody answers."""
    folder = tmp_path / "own"
    environ = {"RUNTIME_DIRECTORY": str(folder)}
    daemon = Daemon(folder, tls_files, {"processes": processes}, users=1, environ=environ)
    try:
        daemon.start()
        good = daemon.users_file.read_text()
        assert asked_for(daemon).returncode == 0
        eventually(lambda: daemon.metrics()[SUCCESSFUL] == 1, "the metric tells the success")
        daemon.users_file.write_text("users: [")
        refused = asked_for(daemon)
        assert refused.returncode == 2
        assert f"the old configuration stays: {daemon.users_file}:" in refused.stderr
        daemon.users_file.write_text(good)
        taken = asked_for(daemon)
        assert (taken.returncode, taken.stderr) == (0, "")
        daemon.stop()
        assert asked_for(daemon).returncode == 1
    finally:
        daemon.kill()


def test_limits_and_banner_change(own: Daemon) -> None:
    """New sessions see the new configuration."""
    own.config_file.write_text(own.config_file.read_text() + "banner: Something new.\n")
    own.reload()
    ftp = log_in(own, EXPLICIT, own.account())
    assert ftp.getwelcome() == "220 Something new."
    ftp.close()


@pytest.mark.parametrize("processes", [1, 2])
def test_the_level_of_the_log_changes(start_daemon: StartDaemon, processes: int) -> None:
    """With the reload, in every process: from then on there is nothing below it."""
    own = start_daemon({"processes": processes})
    own.reload()
    eventually(lambda: own.stderr.count("info reloaded") == 1, "a reload is told")
    own.config_file.write_text(own.config_file.read_text() + "log: {level: warn}\n")
    own.reload()
    before = own.stderr
    own.reload()
    assert own.stderr == before
    assert "log has changed" not in before


def test_a_new_certificate_is_shown(own: Daemon, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The next session gets it; one that runs keeps resuming the session it has."""
    files = tmp_path_factory.mktemp("renewed")
    account = own.account()
    (account.home / "file").write_bytes(b"content")
    old = log_in(own, EXPLICIT, account)
    renewed = create(files)
    own.tls = renewed
    own.write_config()
    own.reload()
    log_in(own, EXPLICIT, own.account()).close()
    received: list[bytes] = []
    old.retrbinary("RETR file", received.append)
    assert b"".join(received) == b"content"
    old.close()


def test_a_certificate_with_a_foreign_key_is_refused(own: Daemon, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The old pair stays: clients that trust it go on to do so."""
    other = create(tmp_path_factory.mktemp("other"))
    mixed = own.folder / "mixed.pem"
    shutil.copy(other.certificate, mixed)
    before = own.config_file.read_text()
    own.config_file.write_text(before.replace(str(own.tls.certificate), str(mixed)))
    own.signal(signal.SIGHUP)
    own.wait_for_event("reload-failed")
    connection = control(own, EXPLICIT)
    assert isinstance(connection.sock, ssl.SSLSocket)
    assert connection.sock.getpeercert()
    connection.close()


def test_a_changed_listener_is_told_to_need_a_restart(own: Daemon) -> None:
    """It is not silently ignored."""
    own.config_file.write_text(
        own.config_file.read_text().replace(f"port: {own.ports.implicit}", f"port: {own.ports.spare}")
    )
    own.reload()
    eventually(lambda: "listeners has changed" in own.stderr or _answers(own), "it says so, or listens there")


def _answers(daemon: Daemon) -> bool:
    try:
        with socket.create_connection((IPV4, daemon.ports.spare), 5) as plain:
            tls_context(daemon).wrap_socket(plain, server_hostname=IPV4).close()
    except OSError:
        return False
    return True
