"""Other users of the machine: what they may read of ftpsd's files, and whether they can become users of it."""

from __future__ import annotations

import json
import signal
import stat
from pathlib import Path

import pytest

from tests.e2e.client import EXPLICIT, begin, control, finish, log_in, next_code, reply
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Daemon, password_hash
from tests.e2e.polling import eventually

SUCCESSFUL = "ftpsd_config_last_reload_successful"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def write_intruder(daemon: Daemon) -> None:
    """Add a user who may read everything, as whoever can write the file would."""
    intruder = {"password": password_hash(), "home": "/"}
    daemon.users_file.write_text(json.dumps({"users": {**daemon.users, "intruder": intruder}}))


@pytest.mark.parametrize("bits", [0o666, 0o660])
def test_a_users_file_that_others_can_write_is_not_believed(start_daemon: StartDaemon, bits: int) -> None:
    """Nobody gets in who was written into it: the reload is refused and the users stay those of before."""
    daemon = start_daemon()
    account = daemon.account()
    daemon.users_file.chmod(bits)
    write_intruder(daemon)
    daemon.signal(signal.SIGHUP)
    eventually(lambda: daemon.metrics()[SUCCESSFUL] == 0, "the reload is refused")
    assert "can be changed by" in daemon.stderr
    connection = control(daemon, EXPLICIT)
    connection.ask("USER intruder")
    assert connection.ask(f"PASS {account.password}").startswith("530")
    connection.log_in(account)
    connection.close()


def test_nobody_else_reads_what_is_stored(start_daemon: StartDaemon) -> None:
    """Files, directories and an upload that is under way are their owner's alone; the log at most its group's."""
    daemon = start_daemon()
    account = daemon.account()
    with log_in(daemon, EXPLICIT, account) as ftp:
        reply(ftp, "MKD folder")
        connection, _ = begin(ftp, "STOR file")
        connection.sendall(b"x" * 100_000)
        (partial,) = eventually(lambda: list(account.home.glob(".ftpsd-*")), "the hidden partial")
        assert mode(partial) == 0o600
        finish(connection)
        assert next_code(ftp) == 226
    assert (mode(account.home / "file"), mode(account.home / "folder")) == (0o600, 0o700)
    assert mode(daemon.folder / "audit.jsonl") & ~0o640 == 0
