"""`ftpsd top` on a terminal, at a real server: what is seen, and a session that a key ends."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

from tests.e2e.conftest import StartDaemon
from tests.e2e.operator.test_live_page import begin_upload
from tests.e2e.polling import eventually
from tests.tools import ROOT


def test_an_operator_watches_and_ends_a_transfer(start_daemon: StartDaemon) -> None:
    """The upload is there with its path, is selected, ended after a yes, and gone; the terminal is as it was."""
    daemon = start_daemon({"tls": {"require": "control"}})
    connection, data = begin_upload(daemon, "invoices.csv")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 140, 0, 0))
    before = termios.tcgetattr(theirs)
    command = [sys.executable, "-m", "ftpsd", "top", "--interval", "0.2", "--socket", str(daemon.control_socket)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True
    ) as it:
        seen = read_until(ours, "STOR /invoices.csv")
        assert "1000 B" in seen
        os.write(ours, b"\x1b[B")
        os.write(ours, b"k")
        read_until(ours, "and its transfer? y/n")
        os.write(ours, b"y")
        read_until(ours, "ended 1 session")
        assert connection.reply().startswith(("421", "426"))
        os.write(ours, b"q")
        os.set_blocking(ours, False)
        eventually(lambda: drained(ours) and it.poll() is not None, "its end", 30)
        assert it.returncode == 0
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)
    data.close()


def test_without_a_terminal(start_daemon: StartDaemon) -> None:
    """One picture, in lines."""
    daemon = start_daemon({"tls": {"require": "control"}})
    connection, data = begin_upload(daemon, "invoices.csv")
    done = daemon.order("top", "--interval", "0.2")
    assert done.returncode == 0, done.stderr
    first, head, row = done.stdout.splitlines()[:3]
    assert first.startswith("1 sessions   1 transfers   up ")
    assert head.split()[:2] == ["user", "address"]
    assert row.rstrip().endswith("↑ 1000 B   STOR /invoices.csv") or "STOR /invoices.csv" in row
    data.close()
    connection.close()


def read_until(terminal: int, words: str) -> str:
    """Read what is shown until *words* are among it."""
    seen = ""
    for _ in range(200):
        seen += os.read(terminal, 65536).decode(errors="replace")
        if words in seen:
            return seen
    raise AssertionError(f"{words} is not among what is shown: {seen[-2000:]}")


def drained(terminal: int) -> bool:
    """Take what is still shown, so that its writer is held up by nothing."""
    try:
        os.read(terminal, 65536)
    except OSError:
        pass
    return True
