"""A daemon of two processes: which of them is which, and who serves whom."""

from __future__ import annotations

import ftplib
import os
import re
import socket
from pathlib import Path

from tests.e2e.client import EXPLICIT, TIMEOUT, Way, log_in
from tests.e2e.daemon import Account, Daemon
from tests.e2e.polling import eventually

REPLACED = "ftpsd_processes_replaced_total"
ALIVE = "ftpsd_processes"


def pids(daemon: Daemon) -> dict[int, int]:
    """Return the process ids of those that serve, by number from 0, as the status page has them."""
    page = daemon.get("/")[1]
    return {int(number) - 1: int(pid) for number, pid in re.findall(r"process (\d+)</th><td[^>]*>pid (\d+)", page)}


def exists(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def passive_port(ftp: ftplib.FTP) -> int:
    """Return the port of an EPSV."""
    return int(ftp.sendcmd("EPSV").split("|")[3])


def server_of(daemon: Daemon, ftp: ftplib.FTP) -> int:
    """Return the number of the process that serves *ftp*: the passive ports are divided."""
    ports = daemon.ports.passive
    return int(passive_port(ftp) >= ports[0] + len(ports) // 2)


def has_ended(ftp: ftplib.FTP) -> bool:
    """
    Wait until the server has closed the session's connection, without TLS.

    A write that fails leaves EPIPE in OpenSSL's queue of the thread, and Python 3.13 takes it for the failure of the
    next call on any other connection.
    """
    assert ftp.sock is not None
    with socket.socket(fileno=os.dup(ftp.sock.fileno())) as plain:
        plain.settimeout(TIMEOUT)
        try:
            while plain.recv(4096):
                pass
        except ConnectionError:
            pass
    return True


def one_in_each(daemon: Daemon, account: Account, way: Way = EXPLICIT) -> list[ftplib.FTP]:
    """Return two sessions, the first served by process 0, the second by process 1; no other one stays."""
    found: dict[int, ftplib.FTP] = {}
    for _ in range(100):
        try:
            ftp = log_in(daemon, way, account)
        except ftplib.error_temp:
            continue  # the last one that was one too many is still counted
        number = server_of(daemon, ftp)
        if number in found:
            ftp.quit()
            ftp.close()
        found.setdefault(number, ftp)
        if len(found) == 2:
            return [found[0], found[1]]
    raise AssertionError("one process got all of 100 sessions")


def both_serve(daemon: Daemon) -> None:
    """Wait until both processes accept connections."""
    eventually(lambda: daemon.is_ready and len(pids(daemon)) == 2, "both processes serve")
