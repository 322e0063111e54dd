"""The control socket and the users of the machine: programs of other users, with and without a group of theirs."""

from __future__ import annotations

import grp
import os
import pwd
import re
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.client import EXPLICIT, log_in
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import SERVE, Daemon
from tests.e2e.polling import eventually
from tests.tools import missing, require_tool

NOBODY = "nobody"
# Debian's users, each with a main group of its own that no other of them is in.
VIEWER, OPERATOR = "games", "news"


@pytest.fixture
def setpriv() -> str:
    """The program that becomes another user; only root can."""
    if os.geteuid() != 0:
        missing("root, who alone becomes another user")
    return require_tool("setpriv")


def as_user(setpriv: str, name: str) -> list[str]:
    """Return what runs a program as *name*, with the groups that the machine gives it."""
    account = pwd.getpwnam(name)
    return [setpriv, f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--init-groups"]


def asked(daemon: Daemon, setpriv: str, user: str, line: str) -> str:
    """
    Return what the socket answers to *line* of *user*.

    With a Python that every user may start; the tests' own may lie in root's home.
    """
    program = (
        "import socket,sys\n"
        "s=socket.socket(socket.AF_UNIX)\n"
        "try: s.connect(sys.argv[1])\n"
        "except OSError as e: print(type(e).__name__); sys.exit()\n"
        "s.sendall(sys.argv[2].encode()+b'\\n'); print(s.makefile().readline())\n"
    )
    command = [*as_user(setpriv, user), require_tool("python3"), "-I", "-c", program, str(daemon.control_socket), line]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


LOOK, KICK = '{"ask": "who", "with": {}, "id": 1}', '{"ask": "kick", "with": {"user": "u000"}, "id": 1}'


def test_other_users_cannot_connect(start_daemon: StartDaemon, setpriv: str) -> None:
    """Without control_groups, also where they may enter the directory."""
    daemon = start_daemon()
    daemon.control_socket.parent.chmod(0o755)
    assert asked(daemon, setpriv, NOBODY, LOOK) == "PermissionError"


@pytest.mark.parametrize("processes", [1, 2])
def test_groups_admit_others(start_daemon: StartDaemon, setpriv: str, processes: int) -> None:
    """Viewers look, operators give orders too, and others are told which group they need; the log has who it was."""
    groups = {"viewer": grp.getgrgid(pwd.getpwnam(VIEWER).pw_gid).gr_name, "operator": OPERATOR}
    daemon = start_daemon({"control_groups": groups, "processes": processes})
    daemon.control_socket.parent.chmod(0o755)
    assert stat.S_IMODE(daemon.control_socket.stat().st_mode) == 0o666
    ftp = log_in(daemon, EXPLICIT, daemon.account())
    assert '"user":"u000"' in asked(daemon, setpriv, VIEWER, LOOK)
    refused = asked(daemon, setpriv, VIEWER, KICK)
    assert f"`ftpsd kick` is for root and the user root, and for the group {OPERATOR}" in refused
    assert f"in which {VIEWER} is not" in refused
    assert f"and for the group {groups['viewer']} (control_groups)" in asked(daemon, setpriv, NOBODY, LOOK)
    daemon.wait_for_event("ordered", order="kick", account=VIEWER, result="refused")
    daemon.wait_for_event("ordered", order="who", account=NOBODY, result="refused")
    assert '"user":"u000"' in asked(daemon, setpriv, OPERATOR, LOOK)
    assert '"ended":1' in asked(daemon, setpriv, OPERATOR, KICK)
    uid = pwd.getpwnam(OPERATOR).pw_uid
    daemon.wait_for_event("ordered", order="kick", account=OPERATOR, uid=uid, result="accepted", argument="user=u000")
    ftp.close()


@pytest.fixture
def hostile(start_daemon: StartDaemon) -> Iterator[tuple[Daemon, ExitStack]]:
    """A daemon, and what closes the connections of a test."""
    with ExitStack() as stack:
        yield start_daemon(), stack


def test_a_hostile_program_harms_nobody(hostile: tuple[Daemon, ExitStack]) -> None:
    """Half lines, floods, answers that are not read, more connections than there are: the next user is answered."""
    daemon, stack = hostile

    def connect() -> socket.socket:
        peer = stack.enter_context(socket.socket(socket.AF_UNIX))
        peer.settimeout(30)
        peer.connect(str(daemon.control_socket))
        return peer

    half = connect()
    half.sendall(b'{"ask": "wh')
    endless = connect()
    endless.sendall(b"x" * 70_000)
    assert b"a line has at most 65536 bytes" in endless.recv(1000)
    deaf = connect()
    deaf.setblocking(False)
    sent = 0
    # Until neither the kernel nor the daemon takes more: a bound, where there would be none.
    for _ in range(20_000):
        try:
            sent += deaf.send(b'{"ask": "status", "id": 1}\n' * 100)
        except BlockingIOError:
            break
    else:
        raise AssertionError(f"{sent} bytes were taken, and no answer was read")
    half.sendall(b'o", "id": 7}\n')
    assert half.makefile().readline().startswith('{"answer":{"sessions":[]')
    crowd = [connect() for _ in range(20)]
    assert b"too many connections" in crowd[-1].recv(1000)
    stack.close()
    eventually(lambda: daemon.order("who").returncode == 0, "it answers when they have gone")
    log_in(daemon, EXPLICIT, daemon.account()).quit()


def test_the_socket_of_a_living_server_stays_its_own(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """A second server with the same path is told where that is written; a dead one's socket is replaced."""
    daemon = start_daemon()
    second = Daemon(tmp_path / "second", daemon.tls, {"control_socket": str(daemon.control_socket)}, users=1)
    try:
        second.spawn()
        assert second.ended() == 2
        (line,) = (line for line in second.stderr.splitlines() if "control_socket" in line)
        assert re.match(re.escape(str(second.config_file)) + r":\d+:\d+: control_socket: another server answers", line)
        assert daemon.order("who").returncode == 0
        assert daemon.process is not None
        daemon.process.kill()
        daemon.process.wait(30)
        assert daemon.control_socket.exists()
        second.start()
        assert second.order("who").returncode == 0
        second.stop()
    finally:
        second.kill()


def test_a_user_namespace_is_told(start_daemon: StartDaemon, setpriv: str) -> None:
    """Under PrivateUsers= users cannot be told apart: a warning, and a refusal with the remedy; root has its rights."""
    alone = [require_tool("unshare"), "-U", "-r", "--"]
    if subprocess.run([*alone, "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        missing("a user namespace, which a process in a chroot may not make,")
    daemon = start_daemon({"control_groups": {"viewer": VIEWER}}, command=[*alone, *SERVE])
    daemon.control_socket.parent.chmod(0o755)
    assert "control_groups: this process cannot see who others are" in daemon.stderr
    assert "PrivateUsers=no into a drop-in" in asked(daemon, setpriv, VIEWER, LOOK)
    assert daemon.order("who").returncode == 0
