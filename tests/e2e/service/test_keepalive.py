"""TCP keepalive as the kernel has it: connections that are silent do not go stale on the way."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from tests.e2e.client import CLEAR, EXPLICIT, ControlConnection, control
from tests.e2e.daemon import Daemon
from tests.e2e.polling import eventually
from tests.tools import missing

KEEPALIVE = "02"
# Seconds; gateways forget after 240 and more.
SOON = 120


def seconds_to_keepalive(client: socket.socket) -> float | None:
    """Return when the server's kernel asks the *client* whether it is there; None: not at all."""
    _, port = client.getsockname()[:2]
    for line in Path("/proc/net/tcp6").read_text().splitlines() + Path("/proc/net/tcp").read_text().splitlines():
        fields = line.split()
        if fields[2].endswith(f":{port:04X}") and fields[5].startswith(KEEPALIVE + ":"):
            return int(fields[5].partition(":")[2], 16) / os.sysconf("SC_CLK_TCK")
    return None


def is_kept_alive(client: socket.socket) -> bool:
    """Whether it is asked in time."""
    seconds = seconds_to_keepalive(client)
    return seconds is not None and seconds <= SOON


def see_that_both_are_kept_alive(connection: ControlConnection) -> None:
    """Look at the control connection while an upload begins, and at its data connection."""
    if not Path("/proc/net/tcp").exists():
        missing("/proc/net/tcp")
    eventually(lambda: is_kept_alive(connection.sock), "a keepalive timer of the control connection")
    data = socket.create_connection(connection.passive(), 30)
    connection.send("STOR file")
    assert connection.reply().startswith("150")
    eventually(lambda: is_kept_alive(data), "a keepalive timer of the data connection")
    data.close()
    connection.close()


def test_in_clear(clear_daemon: Daemon) -> None:
    """Control and data connections."""
    connection = control(clear_daemon, CLEAR)
    connection.log_in(clear_daemon.account())
    see_that_both_are_kept_alive(connection)


def test_under_tls(tls_daemon: Daemon) -> None:
    """The same."""
    connection = control(tls_daemon, EXPLICIT)
    connection.log_in(tls_daemon.account())
    see_that_both_are_kept_alive(connection)
