"""
ftpsd-pam: answers the daemon's questions about the accounts of this machine, as root (systemd/ftpsd-pam.service).

* It listens at a Unix socket, passed by systemd or made at `--socket`, and answers one user only, whose number the
  kernel tells (SO_PEERCRED), and root.
* Each question has a child of its own: PAM blocks, and its modules may do to the process what they like. So many
  children at a time are allowed; further questions wait in the socket's backlog. A child ends after `--limit` seconds.
* A question decides neither which PAM service is used nor who may be asked about: that is on the command line.
"""

from __future__ import annotations

import argparse
import grp
import json
import os
import pwd
import select
import signal
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from ftpsd.pam import libpam
from ftpsd.pam.protocol import MOST_ANSWERED, MOST_ASKED, Answer

# The first socket that systemd passes (sd_listen_fds(3)).
_LISTEN_FDS_START: Final = 3
_CREDENTIALS: Final = struct.Struct("3i")
# Seconds for a question to come: the daemon writes it as soon as it is connected.
PATIENCE: Final = 5


@dataclass(frozen=True, slots=True)
class Settings:
    """The command line: whom to answer, by which PAM *service*, and who may be asked about."""

    user: int
    service: str
    minimum_uid: int
    any_name: bool
    children: int
    limit: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="ftpsd-pam", description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--user", default="ftpsd", help="the user the daemon runs as, a name or a number (%(default)s)")
    parser.add_argument("--service", default="ftpsd", help="the PAM service: a file in /etc/pam.d (%(default)s)")
    parser.add_argument("--socket", type=Path, help="make this socket; without it systemd passes one")
    parser.add_argument("--minimum-uid", type=int, default=1000, help="users below are none (%(default)s)")
    parser.add_argument("--any-name", action="store_true", help="also names that are no users of the system")
    parser.add_argument("--children", type=int, default=32, help="questions at a time (%(default)s)")
    parser.add_argument("--limit", type=int, default=30, help="seconds for a question (%(default)s)")
    given = parser.parse_args(arguments)
    try:
        user = int(given.user) if given.user.isdecimal() else pwd.getpwnam(given.user).pw_uid
        listener = _passed() if given.socket is None else _made(given.socket)
    except (KeyError, OSError) as error:
        sys.exit(f"ftpsd-pam: {error}")
    children, limit = max(1, given.children), max(1, given.limit)
    serve(listener, Settings(user, given.service, given.minimum_uid, given.any_name, children, limit))


def serve(listener: socket.socket, settings: Settings) -> NoReturn:
    """Accept connections, and have each answered by a child."""
    # Python calls no handler of its own here; the byte ends the wait below, so that no ended child is left.
    wake_up, woken = socket.socketpair()
    for end in (wake_up, woken, listener):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    running: set[int] = set()
    print("ftpsd-pam: ready", flush=True)
    while True:
        waited_for = [wake_up, listener] if len(running) < settings.children else [wake_up]
        ready, _, _ = select.select(waited_for, [], [])
        if wake_up in ready:
            with suppress(BlockingIOError):
                wake_up.recv(4096)
            running -= _ended(running)
        if listener in ready:
            try:
                connection, _ = listener.accept()
            except OSError:
                continue  # gone already, or no descriptor is left for the moment
            with connection:
                if _is_answered(connection, settings):
                    running.add(_spawn(connection, settings))


def _ended(running: set[int]) -> set[int]:
    return {child for child in running if os.waitpid(child, os.WNOHANG)[0] == child}


def _is_answered(connection: socket.socket, settings: Settings) -> bool:
    """Return whether the other end is the daemon's user, or root."""
    _, user, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    if user in (0, settings.user):
        return True
    print(f"ftpsd-pam: user id {user} is not answered", flush=True)
    return False


def _spawn(connection: socket.socket, settings: Settings) -> int:
    child = os.fork()
    if child:
        return child
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # A module that hangs, or a client that says nothing, ends with the child.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(settings.limit)
        connection.settimeout(PATIENCE)
        question = _read(connection)
        if question is not None:
            line = json.dumps(answer(question, settings)).encode() + b"\n"
            connection.sendall(line if len(line) <= MOST_ANSWERED else json.dumps(_only(Answer.UNAVAILABLE)).encode())
    except BaseException as error:
        # No traceback, which could hold a password.
        print(f"ftpsd-pam: {type(error).__name__}", flush=True)
    finally:
        os._exit(0)


def _read(connection: socket.socket) -> dict[str, Any] | None:
    """Return the question; None where it is none."""
    data = b""
    while not data.endswith(b"\n"):
        part = connection.recv(MOST_ASKED + 1 - len(data))
        data += part
        if not part or len(data) > MOST_ASKED:
            return None
    try:
        question = json.loads(data)
    except ValueError:
        return None
    return question if isinstance(question, dict) else None


def answer(question: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Return the answer to *question*. Blocks."""
    kind, user, password = question.get("ask"), question.get("user"), question.get("password")
    address = question.get("address", "")
    if kind not in ("account", "password") or not isinstance(user, str) or not user or not isinstance(address, str):
        return _only(Answer.UNAVAILABLE)
    if kind == "password" and (not isinstance(password, str) or not password):
        return _only(Answer.WRONG)
    if not settings.any_name and not _is_somebody(user, settings.minimum_uid):
        return _only(Answer.UNKNOWN)
    try:
        said = libpam.ask(settings.service, user, password if kind == "password" else None, address)
    except ValueError:
        return _only(Answer.UNKNOWN)
    except OSError:
        print("ftpsd-pam: libpam.so.0 is not installed", flush=True)
        return _only(Answer.UNAVAILABLE)
    return {"answer": said.value, "groups": _groups(user) if said is Answer.YES else []}


def _only(said: Answer) -> dict[str, Any]:
    return {"answer": said.value, "groups": []}


def _is_somebody(name: str, minimum_uid: int) -> bool:
    """Return whether *name* is exactly that of a user of the system, and not of one of its services."""
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError):
        return False
    return entry.pw_name == name and entry.pw_uid >= minimum_uid


def _groups(name: str) -> list[str]:
    try:
        entry = pwd.getpwnam(name)
        numbers = os.getgrouplist(name, entry.pw_gid)
    except (KeyError, ValueError, OSError):
        return []
    found = []
    for number in numbers:
        with suppress(KeyError):
            found.append(grp.getgrgid(number).gr_name)
    return found


def _passed() -> socket.socket:
    """Return the socket that systemd has passed."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        raise OSError("systemd has passed no socket; name one with --socket")
    return socket.socket(fileno=_LISTEN_FDS_START)


def _made(path: Path) -> socket.socket:
    """Return a socket at *path* that its owner and group alone can open."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(64)
    return listener
