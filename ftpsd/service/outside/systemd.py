"""
Messages between systemd and the daemon: sd_notify, the watchdog, the sockets it opened for us.

Importing `twisted.internet.endpoints` deletes LISTEN_FDS and LISTEN_PID, so the sockets are taken when this module is
imported, which imports nothing of Twisted itself. systemd passes sockets in any order: they go by the name that
FileDescriptorName= gave them, never by their index. Without systemd every function here does nothing and says so.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Collection, Mapping, MutableMapping

# sd_listen_fds(3): SD_LISTEN_FDS_START, right behind standard error.
FIRST_DESCRIPTOR = 3
# sd_listen_fds_with_names(3): the name of a socket without FileDescriptorName= when LISTEN_FDNAMES is missing.
NAMELESS = "unknown"


def notify(state: str, environ: Mapping[str, str] | None = None) -> bool:
    """
    Send *state* ("READY=1", several lines allowed) to the service manager; return whether it went out.

    It never waits and never raises: systemd's socket being full or gone must not stop a server that works.
    """
    address = (os.environ if environ is None else environ).get("NOTIFY_SOCKET", "")
    if address.startswith("@"):
        address = "\0" + address[1:]  # Linux's abstract namespace
    elif not address.startswith("/"):
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.setblocking(False)
            channel.sendto(state.encode("utf-8", "replace"), address)
    except OSError:
        return False
    return True


def notify_ready(status: str = "") -> bool:
    """Report that start-up or a reload is over, with a *status* line for `systemctl status`."""
    return notify(_lines("READY=1", _status(status) if status else ""))


def notify_reloading() -> bool:
    """Report that a reload has begun; `notify_ready` ends it."""
    # systemd compares the time with that of its own SIGHUP, so it must be CLOCK_MONOTONIC: on Linux time.monotonic is.
    return notify(_lines("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}"))


def notify_stopping(status: str = "") -> bool:
    """Report that the daemon is on its way out."""
    return notify(_lines("STOPPING=1", _status(status) if status else ""))


def hand_over(pid: int) -> None:
    """Report that process *pid* is the service's main one from now on, and nothing more from this one."""
    notify(f"MAINPID={pid}")
    os.environ.pop("NOTIFY_SOCKET", None)


def notify_status(status: str) -> bool:
    """Set *status* in `systemctl status`."""
    return notify(_status(status))


def add_to_status(text: str) -> None:
    """Put *text* behind the status in `systemctl status`, that of now and those to come; "": nothing any more."""
    _added[:] = [text] if text else []
    if _last:
        notify(_status(_last[0]))


def notify_watchdog() -> bool:
    """Report that the reactor still turns; due well within `watchdog_interval`."""
    return notify("WATCHDOG=1")


def extend_timeout(seconds: float) -> bool:
    """Ask for *seconds* more from now, during start, reload or stop: a drain that makes progress is not a hang."""
    return notify(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")


def watchdog_interval(environ: Mapping[str, str] | None = None) -> float | None:
    """Return how long systemd waits for `notify_watchdog`, in seconds (WatchdogSec=), or None without a watchdog."""
    variables = os.environ if environ is None else environ
    try:
        microseconds = int(variables["WATCHDOG_USEC"])
        watched = int(variables.get("WATCHDOG_PID") or os.getpid())
    except (KeyError, ValueError):
        return None
    if microseconds <= 0 or watched != os.getpid():
        return None
    return microseconds / 1_000_000


def take_named_sockets(environ: MutableMapping[str, str], first: int = FIRST_DESCRIPTOR) -> dict[str, list[int]]:
    """
    Take the sockets announced in *environ*, numbered from *first*, and remove the announcement.

    They become non-blocking and are not inherited by children. One name may stand for several sockets.
    """
    names = _announced(environ, first)
    for variable in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        environ.pop(variable, None)
    taken: dict[str, list[int]] = {}
    for descriptor, name in enumerate(names, start=first):
        os.set_inheritable(descriptor, False)
        os.set_blocking(descriptor, False)
        taken.setdefault(name, []).append(descriptor)
    return taken


def named_sockets() -> dict[str, list[int]]:
    """Return the descriptors systemd opened for this process, by name; empty without socket activation."""
    return {name: list(descriptors) for name, descriptors in _SOCKETS.items()}


def take_unused(used: Collection[str]) -> dict[str, list[int]]:
    """Return the descriptors of all sockets but those *used*, by name; they are the caller's from then on."""
    return {name: _SOCKETS.pop(name) for name in sorted(_SOCKETS.keys() - set(used))}


def _announced(environ: Mapping[str, str], first: int) -> list[str]:
    """Return the name of every socket passed to this process, in the order of the descriptors."""
    names = environ.get("LISTEN_FDNAMES", "").split(":") if environ.get("LISTEN_FDNAMES") else []
    if "LISTEN_PID" not in environ and "LISTEN_FDS" not in environ:
        # twistd imports the endpoints before any plugin. They drop the two variables for the right process only, and
        # leave the names, so as many sockets as there are names came to us; looked at, because nothing else vouches.
        come_late = "twisted.internet.endpoints" in sys.modules
        return names if come_late and all(_may_listen(first + index) for index in range(len(names))) else []
    try:
        for_us = int(environ["LISTEN_PID"]) == os.getpid()
        count = int(environ["LISTEN_FDS"])
    except (KeyError, ValueError):
        return []
    if not for_us:
        return []
    return names if len(names) == count else [NAMELESS] * count


def _may_listen(descriptor: int) -> bool:
    """Return whether *descriptor* is a socket that listens, or one that a server which did not use it has shut down."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as copy:
            if copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return True
            return copy.type == socket.SOCK_STREAM and not _has_peer(copy)
    except OSError:
        return False


def _has_peer(connection: socket.socket) -> bool:
    try:
        connection.getpeername()
    except OSError:
        return False
    return True


def _lines(*assignments: str) -> str:
    return "\n".join(assignment for assignment in assignments if assignment)


def _status(text: str) -> str:
    _last[:] = [text]
    text = "; ".join((text, *_added))
    # A line end inside the text would begin an assignment of its own.
    return "STATUS=" + "".join(letter if letter.isprintable() else " " for letter in text)


# The last status, and what is to stand behind it.
_last: list[str] = []
_added: list[str] = []

_SOCKETS = take_named_sockets(os.environ)
