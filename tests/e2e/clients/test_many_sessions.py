"""One client with many sessions at once, as lftp's `mirror -P 32`, rclone and FTPSync open them."""

from __future__ import annotations

import re
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.e2e.client import EXPLICIT, EXPLICIT_1_2, begin, content, finish, log_in, next_code, read_all, reply
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Account, Daemon
from tests.e2e.ports import PASSIVE_COUNT
from tests.e2e.programs.files import digests, make_tree
from tests.tools import require_tool

SESSIONS = 32
FILES, FEW = 300, 100
LFTP = (
    "set cmd:fail-exit yes",
    "set net:timeout 60",
    "set net:reconnect-interval-base 1",
    "set net:reconnect-interval-multiplier 1",
    "set net:max-retries 20",
    "set ftp:ssl-force yes",
    "set ftp:ssl-protect-data yes",
)


def lftp(daemon: Daemon, account: Account, folder: Path, *commands: str) -> None:
    """Run *commands* of lftp in *folder*, logged in under explicit TLS."""
    script = ";".join(
        [
            *LFTP,
            f"set ssl:ca-file {daemon.tls.authority}",
            f"open -u {account.name},{account.password} ftp://localhost:{daemon.ports.explicit}",
            *commands,
        ]
    )
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8"}
    done = subprocess.run(
        [require_tool("lftp"), "--norc", "-c", script],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def refusals(daemon: Daemon) -> set[str]:
    """Return why logins were refused, as the audit log has it."""
    return {event["reason"] for event in daemon.audit('"login-refused"')}


def sessions_of(daemon: Daemon) -> int:
    """Return how many sessions logged in."""
    return len({event["session"] for event in daemon.audit('"logged-in"')})


def test_thirty_two_data_connections_at_once(start_daemon: StartDaemon) -> None:
    """All 32 sessions of one user and address hold a data connection at the same moment, in 51 ports, up and down."""
    daemon = start_daemon({"limits": {"sessions_per_user": SESSIONS}})
    assert len(daemon.ports.passive) == PASSIVE_COUNT == 51
    account = daemon.account()
    all_are_there = threading.Barrier(SESSIONS, timeout=120)

    def work(number: int) -> bool:
        ftp = log_in(daemon, EXPLICIT if number % 2 else EXPLICIT_1_2, account)
        ftp.sendcmd("TYPE I")
        data = content(10_000 * number + 1)
        connection, _ = begin(ftp, f"STOR file{number}")
        all_are_there.wait()
        connection.sendall(data)
        finish(connection)
        assert next_code(ftp) == 226
        connection, _ = begin(ftp, f"RETR file{number}")
        all_are_there.wait()
        is_whole = read_all(connection) == data
        assert next_code(ftp) == 226
        ftp.quit()
        return is_whole

    with ThreadPoolExecutor(SESSIONS) as pool:
        assert list(pool.map(work, range(SESSIONS))) == [True] * SESSIONS
    assert daemon.metrics()["ftpsd_passive_exhausted_total"] == 0


def test_lftp_mirrors_with_thirty_two_sessions(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """`mirror -P 32` up and down; every file is whole, and no port or login was refused."""
    daemon = start_daemon({"limits": {"sessions_per_user": SESSIONS + 1}})
    account = daemon.account()
    tree = make_tree(tmp_path / "tree", FILES)
    lftp(daemon, account, tmp_path, f"mirror -R -P {SESSIONS} tree up", f"mirror -P {SESSIONS} up down")
    assert digests(account.home / "up") == digests(tmp_path / "down") == digests(tree)
    assert refusals(daemon) == set()
    assert sessions_of(daemon) >= SESSIONS
    assert daemon.metrics()["ftpsd_passive_exhausted_total"] == 0


def test_lftp_makes_do_with_the_sessions_it_gets(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """The eleventh of ten is answered 421 "Too many sessions": lftp waits, and the mirror becomes complete."""
    daemon = start_daemon({"limits": {"sessions_per_user": 10}})
    account = daemon.account()
    tree = make_tree(tmp_path / "tree", FEW)
    lftp(daemon, account, tmp_path, f"mirror -R -P {SESSIONS} tree up")
    assert digests(account.home / "up") == digests(tree)
    assert refusals(daemon) == {"too-many-sessions"}


def test_the_eleventh_session_is_told(start_daemon: StartDaemon) -> None:
    """421, in the words by which lftp and rclone know that it is about their number; the ten go on."""
    daemon = start_daemon({"limits": {"sessions_per_user": 10}})
    account = daemon.account()
    ten = [log_in(daemon, EXPLICIT, account) for _ in range(10)]
    eleventh = log_in(daemon, EXPLICIT, daemon.account())
    assert reply(eleventh, f"USER {account.name}").startswith("331")
    answer = reply(eleventh, f"PASS {account.password}")
    assert re.match(r"421 .*too many", answer, re.IGNORECASE)
    assert eleventh.file is not None
    assert eleventh.file.readline() == ""
    assert {reply(ftp, "NOOP")[:3] for ftp in ten} == {"200"}
    for ftp in [*ten, eleventh]:
        ftp.close()
