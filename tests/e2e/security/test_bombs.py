"""A little that becomes much: a deflate stream that inflates a thousandfold, and logins by the hundred."""

from __future__ import annotations

import os
import select
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.e2e.client import (
    CLEAR,
    EXPLICIT,
    TIMEOUT,
    ControlConnection,
    begin,
    code,
    control,
    finish,
    log_in,
    next_code,
)
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Account, Daemon
from tests.e2e.polling import eventually

MIB = 1024 * 1024
QUOTA = 4 * MIB
# Inflated it is 1 GiB.
ZEROS = 1024 * MIB
# More than wait for their hash (auth/hashing/queue.py: LOGINS).
FLOOD = 240
# One Argon2id takes 64 MiB. They are computed one at a time, so a flood holds no more than one of them.
GROWTH = 160 * MIB


@pytest.fixture
def confined(start_daemon: StartDaemon) -> Daemon:
    """A daemon that allows MODE Z to users with a quota."""
    daemon = start_daemon({"mode_z": True})
    users = daemon.users
    for user in users.values():
        user["quota"] = {"bytes": QUOTA}
    daemon.write_users(users)
    daemon.reload()
    return daemon


def bomb() -> bytes:
    """Return a deflate stream of zeros, about a thousandth of their size."""
    stream = zlib.compressobj(9)
    return b"".join(stream.compress(bytes(MIB)) for _ in range(ZEROS // MIB)) + stream.flush()


def resident(daemon: Daemon) -> int:
    """Return the bytes of memory the daemon has now; its metrics may be some moments old."""
    assert daemon.process is not None
    pages = Path(f"/proc/{daemon.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def stored(account: Account) -> int:
    """Return how many bytes there are in the home, hidden files too."""
    return sum(file.stat().st_size for file in account.home.iterdir())


def test_a_deflated_bomb_meets_the_quota(confined: Daemon) -> None:
    """552 at the quota; nothing is published, nothing beyond the quota written, and memory does not hold what came."""
    account, other = confined.account(), confined.account()
    stream = bomb()
    before = resident(confined)
    with log_in(confined, EXPLICIT, account) as ftp:
        assert code(ftp, "MODE Z") == 200
        connection, _ = begin(ftp, "STOR bomb")
        with suppress(OSError):  # cut off at the quota
            connection.sendall(stream)
            finish(connection)
        assert next_code(ftp) == 552
        assert not (account.home / "bomb").exists()
        assert stored(account) <= QUOTA
        assert resident(confined) - before < 48 * MIB
        assert code(ftp, "NOOP") == 200
    with log_in(confined, EXPLICIT, other) as ftp:
        assert code(ftp, "NOOP") == 200
    assert confined.wait_for_event("file-stored", user=account.name)["bytes"] <= QUOTA


@pytest.fixture
def flooded(start_daemon: StartDaemon) -> Iterator[tuple[Daemon, Account, list[ControlConnection]]]:
    """A daemon, a user who has logged in a moment ago, and connections that have said USER."""
    daemon = start_daemon({"tls": {"require": "none"}, "workers": {"login": 1}})
    account = daemon.account()
    control(daemon, CLEAR).log_in(account)
    with ExitStack() as stack:
        connections = []
        for _ in range(FLOOD):
            connection = control(daemon, CLEAR)
            stack.callback(connection.close)
            assert connection.ask("USER nobody-here").startswith("331")
            connections.append(connection)
        yield daemon, account, connections


def test_a_flood_of_logins_is_bounded(flooded: tuple[Daemon, Account, list[ControlConnection]]) -> None:
    """
    A client that finds the queue of the hashes full gets 421 at once; the others wait, and memory does not grow with
    them. Clients that log in for every file are let in past the queue: their password was verified a moment ago.
    """
    daemon, account, connections = flooded
    before = resident(daemon)
    for connection in connections:
        connection.send("PASS x")
    refused = eventually(lambda: daemon.audit('"busy"'), "a login is refused because the queue is full")
    assert {event["event"] for event in refused} == {"login-refused"}
    regular = control(daemon, CLEAR)
    regular.log_in(account)
    assert resident(daemon) - before < GROWTH
    eventually(lambda: len(daemon.audit('"logged-in"')) == 2, "the second login in the log")
    names = [event["event"] for event in daemon.audit('"log')]
    assert names[1:].index("logged-in") < FLOOD, "the user had to wait for the flood's end"
    assert "421 Too many logins at once, try again later." in answers(connections)
    regular.close()


def answers(connections: list[ControlConnection]) -> set[str]:
    """Return what was said to those who have been answered."""
    poll = select.poll()
    by_descriptor = {connection.sock.fileno(): connection for connection in connections}
    for descriptor in by_descriptor:
        poll.register(descriptor, select.POLLIN)
    return {by_descriptor[descriptor].reply() for descriptor, _ in poll.poll(TIMEOUT * 1000)}
