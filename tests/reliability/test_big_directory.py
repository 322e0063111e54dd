"""A directory with very many names: listed in bounded memory, while others are served."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.client import EXPLICIT, begin, finish, log_in, next_code
from tests.e2e.daemon import Account
from tests.reliability.conftest import Mount, StartMortal
from tests.reliability.mortal import MortalDaemon
from tests.reliability.scale import scaled
from tests.tools import missing

ENTRIES = scaled(100_000, 1_000_000)
NOOPS = 100
MIB = 1 << 20
# The most that three listings may cost; measured: 10 MiB, for the names of 100,000 entries as for those of a million.
MOST = 24 * MIB


@pytest.fixture
def crowded(start_mortal: StartMortal, mount: Mount) -> tuple[MortalDaemon, Account]:
    """A daemon without faults, and a user with very many files."""
    daemon = start_mortal(has_faults=False)
    account = daemon.account()
    mount(account.home, "2g")
    directory = os.open(account.home, os.O_RDONLY)
    for number in range(ENTRIES):
        os.mknod(f"file-{number:07}.dat", 0o600, dir_fd=directory)
    os.close(directory)
    return daemon, account


def memory(daemon: MortalDaemon) -> int:
    """Return the most resident memory the daemon has ever had, in bytes."""
    assert daemon.process is not None
    status = Path(f"/proc/{daemon.process.pid}/status")
    if not status.exists():
        missing("/proc/<pid>/status is Linux's")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def test_very_many_names(crowded: tuple[MortalDaemon, Account]) -> None:
    """MLSD, LIST and NLST tell every name once; meanwhile another session is answered, and memory stays bounded."""
    daemon, account = crowded
    lister, asker = log_in(daemon, EXPLICIT, account), log_in(daemon, EXPLICIT, daemon.account())
    before = memory(daemon)
    for verb in ("MLSD", "LIST", "NLST"):
        lister.sendcmd("TYPE I")
        connection, _ = begin(lister, verb)
        pieces = [connection.recv(65536)]
        # The listing has begun and cannot end before we read on: the kernel's buffers are smaller than it is.
        for _ in range(NOOPS):
            assert asker.sendcmd("NOOP").startswith("200")
        is_over = threading.Event()

        def ask(is_over: threading.Event = is_over) -> None:
            while not is_over.is_set():
                assert asker.sendcmd("NOOP").startswith("200")

        thread = threading.Thread(target=ask)
        thread.start()
        while piece := connection.recv(MIB):
            pieces.append(piece)
        is_over.set()
        thread.join(30)
        assert not thread.is_alive()
        with suppress(OSError):
            finish(connection)
        assert next_code(lister) == 226
        names = {line.rpartition(b" ")[2] for line in b"".join(pieces).splitlines()}
        assert len(names) == b"".join(pieces).count(b"\n") == ENTRIES
    grown = memory(daemon) - before
    print(f"{ENTRIES} entries, {grown / MIB:.1f} MiB more")
    assert grown < MOST
    lister.close()
    asker.close()
