"""
The control connection of the real daemon in every state, with dialogues and noise.

Never: a traceback, a 451 of an internal error, a command without its one final reply or out of turn, a touch outside
of the home, a session, port, descriptor or memory that stays.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from random import Random

import pytest

from ftpsd.values.login.second_factor import spelt
from tests.e2e.client import CLEAR, EXPLICIT, EXPLICIT_1_2, IPV4, TIMEOUT, ControlConnection, control, tls_context
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import PASSWORD, Account, Daemon
from tests.fuzz.dialogues import INTERRUPTS, check_replies, dialogue, noise
from tests.fuzz.mutations import cut
from tests.fuzz.seeds import replayable, rounds
from tests.fuzz.watching import Watch

BIG = 3_000_000
RESET = struct.pack("ii", 1, 0)
SETTINGS = {"limits": {"data_connect_timeout": "0.2s", "connections_per_address": 500, "login_timeout": "5m"}}


class Ground:
    """A daemon that allows clear text and TLS, a user, and a folder beside the home that nobody may touch."""

    def __init__(self, start: StartDaemon, require: str) -> None:
        self.daemon: Daemon = start({"tls": {"require": require}, **SETTINGS})
        self.account: Account = self.daemon.account()
        self.guarded: Account = self._guarded()
        self.canary = self.account.home.parent / "canary"
        self.canary.mkdir()
        (self.canary / "secret").write_text("secret")
        self.furnish()

    def _guarded(self) -> Account:
        """Return a user with a second factor, whose device nobody has."""
        account, users = self.daemon.account(), self.daemon.users
        users[account.name]["second_factor"] = {"totp": spelt(os.urandom(20))}
        self.daemon.write_users(users)
        self.daemon.reload()
        return account

    def furnish(self) -> None:
        """Put the files back that the dialogues are about."""
        home = self.account.home
        for path in home.iterdir():
            # The daemon may be at work on an unfinished upload.
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        (home / "dir").mkdir(exist_ok=True)
        for name, content in (("small", b"small"), ("big", bytes(BIG)), ("dir/inner", b"inner")):
            (home / name).write_bytes(content)
        (home / "link").symlink_to("../canary/secret")


# Brings a connection into a state; returns the lines it has sent and not read the replies of.
State = Callable[[Ground, ControlConnection], list[bytes]]


def silent(ground: Ground, connection: ControlConnection) -> list[bytes]:
    """Nothing has been said."""
    return []


def named(ground: Ground, connection: ControlConnection) -> list[bytes]:
    """A user has been named, and the password is due."""
    return [f"USER {ground.account.name}".encode()]


def half_proved(ground: Ground, connection: ControlConnection) -> list[bytes]:
    """The password was right, and the code of the second factor is due."""
    connection.ask(f"USER {ground.guarded.name}")
    assert connection.ask(f"PASS {PASSWORD}").startswith("332")
    return []


def guessing(ground: Ground, connection: ControlConnection) -> list[bytes]:
    """A wrong code is looked at."""
    half_proved(ground, connection)
    return [b"ACCT 000000"]


def logged_in(ground: Ground, connection: ControlConnection) -> list[bytes]:
    """A user has logged in."""
    connection.log_in(ground.account)
    return []


def renaming(ground: Ground, connection: ControlConnection) -> list[bytes]:
    """A file has been named that is to be renamed."""
    connection.log_in(ground.account)
    return [b"RNFR small"]


def restarting(ground: Ground, connection: ControlConnection) -> list[bytes]:
    """An offset waits for its transfer."""
    connection.log_in(ground.account)
    return [b"REST 2"]


def listening(ground: Ground, connection: ControlConnection) -> list[bytes]:
    """A data port waits for its client."""
    connection.log_in(ground.account)
    return [b"EPSV"]


STATES: tuple[State, ...] = (silent, named, half_proved, guessing, logged_in, renaming, restarting, listening)
WAYS = (CLEAR, EXPLICIT, EXPLICIT_1_2)


@pytest.fixture
def open_ground(start_daemon: StartDaemon) -> Ground:
    """A daemon that lets its clients choose."""
    return Ground(start_daemon, "none")


def send(chance: Random, connection: ControlConnection, data: bytes) -> None:
    """Send *data* whole or in pieces, a piece perhaps as urgent data; the server may have hung up."""
    with suppress(OSError):
        for piece in cut(chance, data) if chance.random() < 0.5 else [data]:
            if piece and chance.random() < 0.1 and not isinstance(connection.sock, ssl.SSLSocket):
                connection.sock.send(piece, socket.MSG_OOB)
            else:
                connection.sock.sendall(piece)


def final_replies(connection: ControlConnection, count: int) -> tuple[list[str], bool]:
    """Return the codes of up to *count* final replies, and whether the connection has ended before."""
    found: list[str] = []
    while len(found) < count:
        with suppress(ConnectionError, ssl.SSLError):
            reply = connection.reply()
            if reply:
                if not reply.startswith("1"):
                    found.append(reply[:3])
                continue
        return found, True
    return found, False


def speak(chance: Random, connection: ControlConnection, pending: list[bytes]) -> None:
    """Hold a dialogue, and check that every line of it and of *pending* is answered in turn."""
    lines = [*pending, *dialogue(chance)]
    is_in_order = True
    if chance.random() < 0.3:
        # These are answered while others wait.
        lines.insert(chance.randint(len(pending), len(lines)), chance.choice(INTERRUPTS).encode())
        is_in_order = False
    lines.append(b"NOOP")
    send(chance, connection, b"".join(line + b"\r\n" for line in lines))
    replies, has_ended = final_replies(connection, len(lines))
    check_replies(lines, replies, is_in_order=is_in_order, has_ended=has_ended)


def shout(chance: Random, connection: ControlConnection, pending: list[bytes]) -> None:
    """Make noise and go, properly or by a reset."""
    send(chance, connection, b"".join(line + b"\r\n" for line in pending) + noise(chance))
    if chance.random() < 0.5:
        with suppress(OSError):
            connection.sock.settimeout(0.05)
            connection.rest()
    if chance.random() < 0.3:
        with suppress(OSError):
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


@pytest.mark.slow
def test_every_state(open_ground: Ground) -> None:
    """In clear and under TLS: before the login, after it, between two commands that belong together."""
    watch = Watch(open_ground.daemon, open_ground.canary)
    for number, seed in enumerate(rounds(24)):
        with replayable(seed, "control") as chance:
            open_ground.furnish()
            connection = control(open_ground.daemon, chance.choice(WAYS))
            pending = chance.choice(STATES)(open_ground, connection)
            (speak if chance.random() < 0.6 else shout)(chance, connection, pending)
            connection.close()
            watch.check()
            if number % 500 == 499:
                watch.settle()
    watch.settle()
    users = {event["user"] for event in open_ground.daemon.audit('"logged-in"')}
    assert open_ground.guarded.name not in users


@pytest.mark.slow
def test_before_tls(start_daemon: StartDaemon) -> None:
    """Where TLS is required: whatever is said in clear, nobody logs in, and what stands behind AUTH is forgotten."""
    ground = Ground(start_daemon, "control-and-data")
    watch = Watch(ground.daemon, ground.canary)
    for seed in rounds(12):
        with replayable(seed, "before TLS") as chance:
            connection = ControlConnection(IPV4, ground.daemon.ports.explicit)
            assert connection.reply().startswith("220")
            if chance.random() < 0.5:
                speak(
                    chance,
                    connection,
                    [f"USER {ground.account.name}".encode(), f"PASS {ground.account.password}".encode()],
                )
            else:
                send(chance, connection, b"AUTH TLS\r\n" + noise(chance))
                if final_replies(connection, 1)[0] == ["234"]:
                    with suppress(OSError, ValueError):
                        connection.start_tls(tls_context(ground.daemon))
            connection.close()
            watch.check()
    assert ground.daemon.audit("logged-in") == []
    watch.settle()


def begin_transfer(ground: Ground, connection: ControlConnection, command: str) -> socket.socket:
    """Begin a transfer in clear that will not end by itself, and return the data connection."""
    data = socket.create_connection(connection.passive(), TIMEOUT)
    data.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.send(command)
    assert connection.reply().startswith("1")
    return data


@pytest.mark.slow
def test_a_transfer_under_way(open_ground: Ground) -> None:
    """Commands wait for its end, ABOR brings it, and every command has its reply."""
    watch = Watch(open_ground.daemon, open_ground.canary)
    for seed in rounds(12):
        with replayable(seed, "transfer") as chance:
            open_ground.furnish()
            connection = control(open_ground.daemon, CLEAR)
            connection.log_in(open_ground.account)
            command = chance.choice(("RETR big", "STOR new", "APPE small", "STOU"))
            data = begin_transfer(open_ground, connection, command)
            if chance.random() < 0.7:
                lines = [*dialogue(chance, 6), b"ABOR", *dialogue(chance, 3), b"NOOP"]
                send(chance, connection, b"".join(line + b"\r\n" for line in lines))
                replies, has_ended = final_replies(connection, len(lines) + 1)
                check_replies([command.encode(), *lines], replies, is_in_order=False, has_ended=has_ended)
            else:
                shout(chance, connection, [])
            if chance.random() < 0.5:
                data.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            data.close()
            connection.close()
            watch.check()
    watch.settle()


@pytest.mark.slow
def test_draining(start_daemon: StartDaemon) -> None:
    """A server that ends takes no harm from clients that go on: it ends well, behind their last transfer."""
    for seed in rounds(2):
        with replayable(seed, "draining") as chance:
            ground = Ground(start_daemon, "none")
            busy = [control(ground.daemon, CLEAR) for _ in range(3)]
            idle = [control(ground.daemon, chance.choice(WAYS)) for _ in range(3)]
            for connection in busy:
                connection.log_in(ground.account)
            transfers = [begin_transfer(ground, connection, "RETR big") for connection in busy]
            ground.daemon.signal(signal.SIGTERM)
            for connection in (*busy, *idle):
                send(chance, connection, b"".join(line + b"\r\n" for line in dialogue(chance)))
                send(chance, connection, noise(chance))
            for connection in idle:
                assert all(code.isdigit() for code in final_replies(connection, 99)[0])
                connection.close()
            for data in transfers:
                data.close()
            for connection in busy:
                connection.close()
            assert ground.daemon.ended() == 0
            assert "Traceback" not in ground.daemon.stderr, ground.daemon.stderr
            assert '"internal error"' not in ground.daemon.audit_text()
