"""Other users of the machine: what they may read of ftpsd's files, and whether they can become users of it."""

from __future__ import annotations

import json
import signal
import stat
import sys
from pathlib import Path

import pytest

from tests import confined
from tests.e2e.client import EXPLICIT, begin, control, finish, log_in, next_code, reply
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import SERVE, Daemon, password_hash
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


def test_shared_directories_under_a_unit_that_forbids_special_bits(start_daemon: StartDaemon) -> None:
    """With RestrictSUIDSGID=yes MKD hands group and bit down, uploads work, and what is refused leaves nothing."""
    if not confined.is_possible():
        pytest.skip("no seccomp filter for this machine")
    command = (sys.executable, "-m", "tests.confined", *SERVE)
    daemon = start_daemon({"uploads": {"umask": "027"}}, command=command)
    account = daemon.account()
    account.home.chmod(0o2770)
    with log_in(daemon, EXPLICIT, account) as ftp:
        assert reply(ftp, "MKD folder").startswith("257 ")
        assert reply(ftp, "MKD folder/inner").startswith("257 ")
        connection, _ = begin(ftp, "STOR folder/file")
        connection.sendall(b"x")
        finish(connection)
        assert next_code(ftp) == 226
        assert reply(ftp, "SITE CHMOD 700 folder").startswith("550 ")
        assert reply(ftp, "SIZE folder/file") == "213 1"
    folder = account.home / "folder"
    assert [folder.stat().st_mode & 0o7777, (folder / "inner").stat().st_mode & 0o7777] == [0o2750, 0o2750]


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
