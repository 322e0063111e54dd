"""What holds for a server and its successor together, while sessions from before go on."""

from __future__ import annotations

import ftplib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.client import EXPLICIT, begin, code, connect, content, download, log_in, next_code, reply, upload
from tests.e2e.daemon import Daemon
from tests.e2e.haproxy import ProxiedDaemon
from tests.e2e.polling import eventually
from tests.e2e.security.test_proxy import CLIENT, FORGER, HEADER, all_that_comes, arrive
from tests.e2e.storage.ground import told, used
from tests.e2e.upgrades.generations import ForkedDaemon, Upgraded, upgradable
from tests.e2e.upgrades.test_upgrade import daemon_with

BEFORE = "ftpsd_sessions_before_upgrade"
FAILURES = 3


def fail(daemon: Daemon, times: int) -> None:
    """Try that many wrong passwords in one session."""
    ftp = connect(daemon, EXPLICIT)
    for _ in range(times):
        assert code(ftp, "USER u003") == 331
        assert code(ftp, "PASS wrong") in (421, 530)
    ftp.close()


def _leave_when_told(ftp: ftplib.FTP) -> int:
    """Wait for the next reply, close the session, and return the code."""
    said = next_code(ftp)
    ftp.close()
    return said


@pytest.mark.parametrize("processes", [1, 2])
def test_failures_bans_and_the_end_are_those_of_both(tmp_path: Path, tls_files: Demonstration, processes: int) -> None:
    """
    The failures of before count behind the upgrade; a ban ends sessions without a user in both, until it is lifted.

    A drain counts the sessions of both, and names no process that has ended with them.
    """
    # A login that takes too long is a failure, too.
    changes = {
        "processes": processes,
        "penalties": {"exempt": [], "failures": FAILURES},
        "limits": {"login_timeout": "10m", "idle_timeout": "10m"},
    }
    daemon = daemon_with(tmp_path / "daemon", tls_files, changes)
    daemon.start()
    server = Upgraded(daemon)
    try:
        stranger = connect(daemon, EXPLICIT)
        fail(daemon, FAILURES - 1)
        server.upgrade()
        eventually(lambda: daemon.metrics()[BEFORE] == 1, "the session from before is counted", 60)
        fail(daemon, 1)
        daemon.wait_for_event("banned", reason="wrong-password")
        assert next_code(stranger) == 421
        with pytest.raises((ftplib.error_temp, EOFError, OSError)):
            connect(daemon, EXPLICIT)
        stranger.close()
        server.gone(server.pids[0])
        assert daemon.order("unban", "127.0.0.1").returncode == 0
        ftp = log_in(daemon, EXPLICIT, daemon.account())
        if processes > 1:
            server.upgrade()
        with ThreadPoolExecutor(1) as beside:
            told = beside.submit(_leave_when_told, ftp)
            done = daemon.order("drain")
            assert told.result() == 421
        assert done.returncode == 0, done.stderr
        assert "draining: 1 session," in done.stdout
        assert "does not answer" not in done.stdout + done.stderr + daemon.stderr
        for pid in server.pids:
            server.gone(pid)
        assert "Traceback" not in daemon.stderr, daemon.stderr
    finally:
        server.kill()


def test_a_transfer_has_as_long_as_the_handover(tmp_path: Path, tls_files: Demonstration) -> None:
    """Behind handover_timeout it is cut off and not published; what has come can be resumed with the new process."""
    changes = {"drain_timeout": "0s", "handover_timeout": "2s"}
    daemon = daemon_with(tmp_path / "daemon", tls_files, changes)
    with upgradable(daemon) as server:
        account = daemon.account()
        ftp = log_in(daemon, EXPLICIT, account)
        connection, _ = begin(ftp, "STOR long")
        data = content(2000)
        connection.sendall(data[:1000])
        server.upgrade()
        server.gone(server.pids[0])
        assert "1 sessions were cut off" in daemon.stderr
        assert not (account.home / "long").exists()
        connection.close()
        ftp.close()
        ftp = log_in(daemon, EXPLICIT, account)
        size = int(reply(ftp, "SIZE long").removeprefix("213 "))
        assert upload(ftp, "long", data[size:], rest=size).startswith("226")
        assert download(ftp, "long") == data
        ftp.quit()


def test_a_quota_is_exact_again_behind_the_old_process(tmp_path: Path, tls_files: Demonstration) -> None:
    """What it has stored meanwhile counts, once it has ended: not more than one quota for each process gets past."""
    daemon = daemon_with(tmp_path / "daemon", tls_files)
    users = daemon.users
    users["u000"]["quota"] = {"bytes": 10_000}
    daemon.write_users(users)
    with upgradable(daemon) as server:
        account = daemon.account()
        old = log_in(daemon, EXPLICIT, account)
        assert upload(old, "first", content(4000)).startswith("226")
        server.upgrade()
        new = log_in(daemon, EXPLICIT, account)
        assert upload(old, "second", content(5000)).startswith("226")
        old.quit()
        server.gone(server.pids[0])
        eventually(lambda: told(new) == used(account.home), "what the old process has stored counts")
        with pytest.raises(ftplib.error_perm, match=r"^552"):
            upload(new, "third", content(2000))
        assert upload(new, "fourth", content(900)).startswith("226")
        new.quit()


def test_clients_of_a_proxy_cross_an_upgrade(tmp_path: Path, tls_files: Demonstration) -> None:
    """Listeners and passive ports that expect PROXY headers do so in both, and both know whose connection it is."""

    class Proxied(ForkedDaemon, ProxiedDaemon):
        pass

    daemon = Proxied(tmp_path / "proxied", tls_files, {"tls": {"require": "none"}, "drain_timeout": "5m"})
    with upgradable(daemon) as server:
        account = daemon.account()
        old = arrive(daemon, HEADER)
        assert old.reply().startswith("220")
        old.log_in(account)
        server.upgrade()
        new = arrive(daemon, HEADER)
        assert new.reply().startswith("220")
        new.log_in(account)
        for number, control in enumerate((old, new)):
            port = control.passive()[1]
            control.send(f"STOR {number}")
            data = arrive(daemon, HEADER, port=port)
            data.sock.sendall(content(1000))
            data.close()
            assert control.reply().startswith("150")
            assert control.reply().startswith("226")
            assert (account.home / str(number)).read_bytes() == content(1000)
        # Neither believes somebody else.
        assert all_that_comes(arrive(daemon, HEADER, FORGER)) == b""
        sessions = json.loads(daemon.order("who", "--json").stdout)
        assert [each["peer"] for each in sessions] == [CLIENT] * 2
        old.close()
        new.close()
