"""The orders of the operator and systemd to two processes: reload, stop, sockets, notifications, mistakes."""

from __future__ import annotations

import json
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ftpsd.demo.authority import Demonstration
from tests.e2e.client import EXPLICIT, IPV4, begin, content, finish, log_in, next_code, read_all
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Account, Daemon, password_hash
from tests.e2e.polling import eventually
from tests.e2e.processes.conftest import TWO
from tests.e2e.processes.pair import both_serve, one_in_each, pids
from tests.e2e.service.test_systemd import address, manager, wait_for
from tests.e2e.service.test_twistd import ForkedTwistd

__all__ = ["manager"]

BIG = 8 * 1024 * 1024
SUCCESSFUL = "ftpsd_config_last_reload_successful"


# --- reload


def test_a_reload_reaches_both(own: Daemon) -> None:
    """A new user can log in at either, and it is told once; what each has seen of a client is put together."""
    home = own.folder / "new-home"
    home.mkdir()
    own.write_users({**own.users, "new": {"password": password_hash(), "home": str(home), "preflight": True}})
    own.reload()
    for ftp in one_in_each(own, Account("new", home)):
        ftp.quit()
    seen = json.loads(own.order("preflight", "new", "--json").stdout)
    assert {each["session"] for each in seen} >= {each["session"] for each in own.audit('"logged-in"')}
    assert len(seen) >= 2
    own.wait_for_event("reloaded")
    assert len(own.audit('"reloaded"')) == 1
    eventually(lambda: own.metrics()[SUCCESSFUL] == 1, "the metric tells the success")


def test_sessions_of_a_disabled_user_end_in_both(own: Daemon) -> None:
    """421 from either process, and those of another user go on."""
    account, other = own.account(), own.account()
    sessions, others = one_in_each(own, account), one_in_each(own, other)
    own.write_users({**own.users, account.name: {**own.users[account.name], "enabled": False}})
    own.reload()
    assert [next_code(ftp) for ftp in sessions] == [421, 421]
    assert [ftp.sendcmd("NOOP")[:3] for ftp in others] == ["200", "200"]
    for ftp in (*sessions, *others):
        ftp.close()


def test_a_bad_configuration_reaches_none(own: Daemon) -> None:
    """The old users stay in both, the metric and the audit log say so once."""
    own.users_file.write_text("users: [")
    own.signal(signal.SIGHUP)
    own.wait_for_event("reload-failed")
    eventually(lambda: own.metrics()[SUCCESSFUL] == 0, "the metric tells the failure")
    for ftp in one_in_each(own, own.account()):
        ftp.quit()
    assert len(own.audit('"reload-failed"')) == 1


def test_another_number_of_processes_needs_a_restart(own: Daemon) -> None:
    """It is said, and changes nothing."""
    own.config_file.write_text(own.config_file.read_text().replace("processes: 2", "processes: 3"))
    own.reload()
    told = "processes has changed; that takes effect with a restart"
    eventually(lambda: told in own.stderr, "what is not taken over is told")
    assert own.metrics()["ftpsd_processes"] == 2


def test_the_audit_log_is_opened_anew_by_both(own: Daemon) -> None:
    """After logrotate has moved it away, both write into the new file."""
    account = own.account()
    sessions = one_in_each(own, account)
    log = own.folder / "audit.jsonl"
    log.rename(own.folder / "old.jsonl")
    own.reload()
    for number, ftp in enumerate(sessions):
        ftp.mkd(f"made-{number}")
        ftp.quit()
    for number in range(2):
        own.wait_for_event("directory-made", path=f"/made-{number}")


# --- stop


def test_no_transfer_is_lost_in_a_drain(own: Daemon) -> None:
    """Downloads and uploads in both processes: each comes to its end and its 226, then exit code 0."""
    account = own.account()
    (account.home / "big").write_bytes(content(BIG))
    sessions = [*one_in_each(own, account), *one_in_each(own, account)]
    transfers = [begin(ftp, "RETR big" if number < 2 else f"STOR up{number}") for number, ftp in enumerate(sessions)]
    own.signal(signal.SIGTERM)
    eventually(lambda: not own.is_ready, "it is not ready any more")

    def go_on(number: int) -> bool:
        connection, _ = transfers[number]
        if number < 2:
            return read_all(connection) == content(BIG) and next_code(sessions[number]) == 226
        connection.sendall(content(BIG))
        finish(connection)
        return next_code(sessions[number]) == 226 and (account.home / f"up{number}").read_bytes() == content(BIG)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(go_on, range(4))) == [True] * 4
    for ftp in sessions:
        ftp.close()
    assert own.ended() == 0
    assert "Traceback" not in own.stderr


def refused(daemon: Daemon) -> bool:
    try:
        socket.create_connection((IPV4, daemon.ports.explicit), 5).close()
    except OSError:
        return True
    return False


def test_a_second_signal_cuts_both_off(own: Daemon) -> None:
    """An operator who asks twice does not wait, and an upload that was cut off is not published."""
    account = own.account()
    transfers = [begin(ftp, f"STOR file{number}") for number, ftp in enumerate(one_in_each(own, account))]
    for connection, _ in transfers:
        connection.sendall(content(1000))
    own.signal(signal.SIGTERM)
    eventually(lambda: refused(own), "new sessions are refused")
    own.signal(signal.SIGTERM)
    assert own.ended() == 0
    assert [name for name in os.listdir(account.home) if name.startswith("file")] == []


def test_who_is_late_to_stop_still_has_its_ports(own: Daemon) -> None:
    """The supervisor closes its end of a control port alone: who has not heard yet accepts, and nothing fails."""
    both_serve(own)
    stopped = list(pids(own).values())
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        own.signal(signal.SIGTERM)
        eventually(lambda: not own.is_ready, "the supervisor has closed its ports")
        waiting = socket.create_connection((IPV4, own.ports.explicit), 10)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    waiting.close()
    assert own.ended() == 0
    assert "Traceback" not in own.stderr


def test_a_signal_to_the_whole_group_is_one(own: Daemon) -> None:
    """Ctrl-C reaches every process of the foreground group: what runs may finish all the same."""
    account = own.account()
    ftp, other = one_in_each(own, account)
    connection, _ = begin(ftp, "STOR file")
    connection.sendall(content(1000))
    assert own.process is not None
    children = Path(f"/proc/{own.process.pid}/task/{own.process.pid}/children").read_text().split()
    for pid in (own.process.pid, *map(int, children)):
        os.kill(pid, signal.SIGINT)
    assert next_code(other) == 421
    finish(connection)
    assert next_code(ftp) == 226
    ftp.close()
    other.close()
    assert own.ended() == 0


# --- systemd


def test_systemd_is_told_by_the_supervisor(start_daemon: StartDaemon, manager: socket.socket) -> None:
    """READY=1 when both serve and around a reload, STOPPING=1, the watchdog in between."""
    daemon = start_daemon(TWO, environ={"NOTIFY_SOCKET": address(manager), "WATCHDOG_USEC": "1000000"})
    assert any("in 2 processes" in line for line in wait_for(manager, "READY=1"))
    for _ in range(3):
        wait_for(manager, "WATCHDOG=1")
    daemon.signal(signal.SIGHUP)
    wait_for(manager, "RELOADING=1")
    wait_for(manager, "READY=1")
    daemon.signal(signal.SIGTERM)
    wait_for(manager, "STOPPING=1")
    assert daemon.ended() == 0


# --- mistakes


def test_a_port_in_use_is_told_once(tmp_path: Path, tls_files: Demonstration) -> None:
    """By the supervisor, with exit code 2, before any process is started."""
    daemon = Daemon(tmp_path / "daemon", tls_files, TWO, users=1)
    try:
        with socket.create_server(("", daemon.ports.explicit)):
            daemon.spawn()
            assert daemon.ended() == 2
        (line,) = daemon.stderr.splitlines()
        assert f"port {daemon.ports.explicit} on :: is in use" in line
    finally:
        daemon.kill()


def test_twistd_refuses(tmp_path: Path, tls_files: Demonstration) -> None:
    """With the place of the key, and what to do instead."""
    daemon = ForkedTwistd(tmp_path / "daemon", tls_files, TWO, users=1)
    try:
        daemon.spawn()
        assert daemon.ended() == 2
        assert "processes: twistd runs one process; write processes: 1, or start the server with" in daemon.stderr
    finally:
        daemon.kill()


def test_one_process_has_no_supervisor(start_daemon: StartDaemon) -> None:
    """`processes: 1` is the daemon itself."""
    daemon = start_daemon({"processes": 1})
    assert daemon.process is not None
    assert Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children").read_text() == ""
    log_in(daemon, EXPLICIT, daemon.account()).close()
