"""A restart without an outage: a new process accepts, the old one ends behind its sessions, and no client sees it."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections import Counter
from pathlib import Path

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.client import EXPLICIT, begin, content, finish, log_in, next_code, reply, upload
from tests.e2e.daemon import SERVE, Daemon, Settings
from tests.e2e.polling import eventually
from tests.e2e.upgrades.generations import Busy, ForkedDaemon, Upgraded, is_there, upgradable

RECORDED = {"record": ["file-stored"], "sinks": [{"name": "all", "file": "events.jsonl"}]}


def daemon_with(
    folder: Path, tls: Demonstration, changes: Settings | None = None, kind: type[Daemon] = ForkedDaemon
) -> Daemon:
    """Return one whose sessions have as long as a slow machine needs."""
    return kind(folder, tls, {"drain_timeout": "5m", **(changes or {})}, users=4, command=SERVE)


@pytest.mark.parametrize("processes", [1, 2])
def test_no_client_sees_it(tmp_path: Path, tls_files: Demonstration, processes: int) -> None:
    """
    Two upgrades under load: no connection is refused, no transfer fails, and each upload is one event, delivered once.

    An upload from before goes on in its process to its end, and so do the commands behind it; operators see it all the
    time, and can end it.
    """
    changes = {"processes": processes, "events": RECORDED}
    # The one of one process is the installed program, and so is each that follows it.
    daemon = daemon_with(tmp_path / "daemon", tls_files, changes, Daemon if processes == 1 else ForkedDaemon)
    with upgradable(daemon) as server:
        account, other = daemon.account(), daemon.account()
        ftp = log_in(daemon, EXPLICIT, other)
        connection, _ = begin(ftp, "STOR long")
        connection.sendall(content(1000))
        doomed = log_in(daemon, EXPLICIT, daemon.account())
        busy = Busy(daemon, account)
        busy.more()
        server.upgrade()
        busy.more()
        sessions = json.loads(daemon.order("who", "--json").stdout)
        assert [each["path"] for each in sessions if each["user"] == other.name] == ["/long"]
        server.upgrade()
        busy.more()
        assert "ended 1 session of u002" in daemon.order("kick", "u002").stdout
        assert next_code(doomed) == 421
        busy.end()
        assert "1 sessions, 1 transfers" in daemon.order("status").stdout
        assert is_there(server.pids[0])
        connection.sendall(content(2000))
        finish(connection)
        assert next_code(ftp) == 226
        assert upload(ftp, "behind it", b"data").startswith("226")
        ftp.quit()
        for pid in server.pids[:-1]:
            server.gone(pid)
        assert (other.home / "long").read_bytes() == content(1000) + content(2000)
        stored = Counter({f"/{name}": 1 for name in [*busy.stored, "long", "behind it"]})

        def delivered() -> Counter[str]:
            lines = (daemon.folder / "events.jsonl").read_text().splitlines()
            return Counter(json.loads(line)["data"]["path"] for line in lines)

        eventually(lambda: not stored - delivered(), f"all events, {stored - delivered()}")
        assert delivered() == stored
        assert Counter(each["path"] for each in daemon.audit('"file-stored"')) == stored
        assert [each["reason"] for each in daemon.audit('"stopped"')] == ["upgraded"] * 2
    for thing in (account.home, other.home):
        assert not [name for name in os.listdir(thing) if name.startswith(".")]


def test_a_successor_that_fails_changes_nothing(tmp_path: Path, tls_files: Demonstration) -> None:
    """The old process serves on, and the operator reads why; as soon as the reason is mended, the upgrade goes."""
    daemon = daemon_with(tmp_path / "daemon", tls_files)
    with upgradable(daemon) as server:
        account, other = daemon.account(), daemon.account()
        ftp = log_in(daemon, EXPLICIT, account)
        good = daemon.config_file.read_text()

        def serves_on() -> None:
            assert upload(ftp, "file", b"data").startswith("226")
            log_in(daemon, EXPLICIT, account).quit()
            assert is_there(server.now)

        daemon.config_file.write_text(good + "no_such_key: 1\n")
        assert "no_such_key" in server.refused()
        serves_on()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            daemon.config_file.write_text(good.replace(f"port: {daemon.ports.metrics}", f"port: {port}"))
            assert f"metrics: port {port} on 127.0.0.1 is in use" in server.refused()
        serves_on()
        daemon.config_file.write_text(good)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(daemon, "_environ", {})
            assert _killed_in_mid_start(daemon, server)
        serves_on()
        disabled = log_in(daemon, EXPLICIT, other)
        users = daemon.users
        users[other.name]["enabled"] = False
        daemon.write_users(users)
        server.upgrade()
        # The process before has read the files, too.
        assert next_code(disabled) == 421
        assert reply(ftp, "NOOP").startswith("200")
        ftp.quit()
        log_in(daemon, EXPLICIT, account).quit()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_successor_that_fails_late_leaves_all_to_the_one_before(
    tmp_path: Path, tls_files: Demonstration, processes: int
) -> None:
    """Its state file cannot be used: the operator reads why, orders still reach the server, and the log has no end."""
    changes = {"processes": processes, "state": "state.db", "drain_timeout": "1s"}
    daemon = daemon_with(tmp_path / "daemon", tls_files, changes)
    with upgradable(daemon) as server:
        good = daemon.config_file.read_text()
        assert "state: state.db" in good
        daemon.config_file.write_text(good.replace("state: state.db", "state: missing/state.db"))
        for _ in range(2):
            assert "missing does not exist" in server.refused()
        daemon.config_file.write_text(good)
        assert daemon.order("status").returncode == 0
        assert not daemon.audit('"stopped"')
        server.upgrade()


def _killed_in_mid_start(daemon: Daemon, server: Upgraded) -> bool:
    """Kill a successor before it serves; return whether the operator is told so."""
    users = daemon.users_file.read_text()
    daemon.users_file.unlink()
    # It comes no further than to read the file.
    os.mkfifo(daemon.users_file)
    before = _children(server.now)
    order = daemon.start_order("upgrade")
    # It is watched by another child of the server's.
    born = lambda: [pid for child in _children(server.now) if child not in before for pid in _children(child)]  # noqa: E731
    os.kill(eventually(born, "a successor")[0], signal.SIGKILL)
    told = order.communicate(timeout=260)[1]
    daemon.users_file.unlink()
    daemon.users_file.write_text(users)
    daemon.users_file.chmod(0o600)
    return order.returncode == 2 and "was killed by signal 9 before it served" in told


def _children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def test_signals_of_both(tmp_path: Path, tls_files: Demonstration) -> None:
    """
    SIGTERM to the old process has its sessions end behind their transfers. SIGTERM to the new one is for both, and the
    new one ends behind the old one.
    """
    daemon = daemon_with(tmp_path / "daemon", tls_files)
    with upgradable(daemon) as server:
        # Without a session the old process ends at once, but behind its answer.
        server.upgrade()
        server.gone(server.pids[0])
        account = daemon.account()
        ftp = log_in(daemon, EXPLICIT, account)
        connection, _ = begin(ftp, "STOR first")
        server.upgrade()
        os.kill(server.pids[1], signal.SIGTERM)
        log_in(daemon, EXPLICIT, account).quit()
        finish(connection)
        assert next_code(ftp) == 226
        ftp.close()
        server.gone(server.pids[1])
        ftp = log_in(daemon, EXPLICIT, account)
        connection, _ = begin(ftp, "STOR second")
        server.upgrade()
        os.kill(server.now, signal.SIGTERM)
        eventually(lambda: not daemon.is_ready, "the end has begun")
        assert is_there(server.now)
        finish(connection)
        assert next_code(ftp) == 226
        ftp.close()
