"""Bandwidth limits, as a client sees them: never more bytes than the limit gives in the time it has measured."""

from __future__ import annotations

import threading
import time

import pytest

from tests.e2e.client import EXPLICIT, begin, content, log_in, next_code, upload
from tests.e2e.conftest import StartDaemon

# Bytes per second: little for any machine, and more than what a quantum and the buffers of both kernels hold.
RATE = 2 << 20
SIZE = 6 << 20
# The tenth of a second that may be made up for, a quantum of as long, and five percent.
AHEAD, TOLERANCE = 0.2 * RATE, 1.05


def allowed(seconds: float) -> float:
    """Return how many bytes may have come in so many seconds, at the most."""
    return (RATE * seconds + AHEAD) * TOLERANCE


@pytest.mark.parametrize("whose", ["session", "user"])
def test_downloads_keep_to_the_limit(start_daemon: StartDaemon, whose: str) -> None:
    """At each moment of a download; with a limit of the user three sessions together."""
    daemon = start_daemon({"limits": {"download_rate": RATE}} if whose == "session" else {})
    account = daemon.account()
    if whose == "user":
        users = daemon.users
        users[account.name]["download_rate"] = RATE
        daemon.write_users(users)
        daemon.reload()
    count = 3 if whose == "user" else 1
    size = SIZE // count
    (account.home / "file").write_bytes(content(size))
    sessions = [log_in(daemon, EXPLICIT, account) for _ in range(count)]
    lock, taken, excess = threading.Lock(), 0, 0.0
    for ftp in sessions:
        ftp.sendcmd("TYPE I")
    started = time.monotonic()
    connections = [begin(ftp, "RETR file")[0] for ftp in sessions]

    def read(number: int) -> None:
        nonlocal taken, excess
        while piece := connections[number].recv(65536):
            with lock:
                taken += len(piece)
                excess = max(excess, taken - allowed(time.monotonic() - started))

    threads = [threading.Thread(target=read, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert taken == size * count
    assert excess <= 0
    assert [next_code(ftp) for ftp in sessions] == [226] * count
    for ftp in sessions:
        ftp.close()


def test_uploads_keep_to_the_limit(start_daemon: StartDaemon) -> None:
    """The reply comes when the limit has given the time for all of it, what the kernel took in included."""
    daemon = start_daemon({"limits": {"upload_rate": RATE}})
    account = daemon.account()
    ftp = log_in(daemon, EXPLICIT, account)
    started = time.monotonic()
    assert upload(ftp, "file", content(SIZE)).startswith("226")
    assert allowed(time.monotonic() - started) >= SIZE
    assert (account.home / "file").read_bytes() == content(SIZE)
    ftp.close()
