"""A process that dies is replaced; the others, the limits and the counters do not notice."""

from __future__ import annotations

import os
import signal
from itertools import pairwise

from tests.e2e.client import (
    EXPLICIT,
    IPV4,
    ControlConnection,
    begin,
    content,
    download,
    finish,
    log_in,
    next_code,
    upload,
)
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Account, Daemon, password_hash
from tests.e2e.polling import eventually
from tests.e2e.processes.pair import REPLACED, both_serve, exists, has_ended, one_in_each, pids


def kill(daemon: Daemon, number: int) -> None:
    """Kill a process and wait for the one that replaces it."""
    before = pids(daemon)[number]
    os.kill(before, signal.SIGKILL)
    eventually(lambda: pids(daemon).get(number, before) != before, "another process serves")


def test_another_takes_its_place(own: Daemon) -> None:
    """The session in the other process transfers on; the dead one's is closed; both places serve again."""
    account = own.account()
    first, second = one_in_each(own, account)
    connection, _ = begin(second, "STOR file")
    connection.sendall(content(100_000))
    kill(own, 0)
    assert has_ended(first)
    connection.sendall(content(50_000))
    finish(connection)
    assert next_code(second) == 226
    assert (account.home / "file").read_bytes() == content(100_000) + content(50_000)
    for ftp in one_in_each(own, account):
        assert download(ftp, "file") == content(100_000) + content(50_000)
        ftp.close()
    eventually(lambda: own.metrics()[REPLACED] == 1, "the replacement is counted")


def test_no_counter_goes_backwards(own: Daemon) -> None:
    """Neither when it dies nor when the next one begins at zero."""
    account = own.account()
    for number, ftp in enumerate(one_in_each(own, account)):
        upload(ftp, f"file{number}", content(1000))
    history: list[dict[str, float]] = []
    uploaded = 'ftpsd_transfer_bytes_total{direction="upload"}'

    def has_been_told() -> bool:
        # The numbers that a process has counted since it was last asked die with it, and a round that was under way
        # during the upload, or a process that is late, has the numbers from before.
        history.append(own.metrics())
        return history[-1].get(uploaded) == 2000

    eventually(has_been_told, "both processes have been asked since the uploads")
    before = pids(own)[0]
    os.kill(before, signal.SIGKILL)

    def looked() -> bool:
        history.append(own.metrics())
        return pids(own).get(0, before) != before

    eventually(looked, "another process serves")
    upload(log_in(own, EXPLICIT, account), "more", content(500))

    def has_added_up() -> bool:
        # A caller that asks during a round gets its numbers, which may be from before the upload.
        history.append(own.metrics())
        return history[-1][uploaded] == 2500

    eventually(has_added_up, "what the dead process had counted is kept, and what is new added")
    backwards = {
        name
        for earlier, later in pairwise(history)
        for name, value in earlier.items()
        if "_total" in name or "_bucket" in name or "_count" in name
        if later.get(name, 0.0) < value
    }
    assert backwards == set()


def test_its_sessions_count_no_longer(start_daemon: StartDaemon) -> None:
    """With room for two and one in each process, exactly one more is welcome after one process has died."""
    own = start_daemon({"processes": 2, "limits": {"connections_per_address": 2}})
    kept = one_in_each(own, own.account())

    def greeting() -> str:
        connection = ControlConnection(IPV4, own.ports.explicit)
        kept_open.append(connection)
        return connection.reply()[:3]

    kept_open: list[ControlConnection] = []
    assert greeting() == "421"
    kill(own, 0)
    assert [greeting() for _ in range(3)] == ["220", "421", "421"]
    for ftp in kept:
        ftp.close()
    for connection in kept_open:
        connection.close()


def test_the_next_one_gets_the_configuration_that_was_taken(own: Daemon) -> None:
    """Not what somebody is writing into the files at that moment."""
    home = own.folder / "new-home"
    home.mkdir()
    own.write_users({**own.users, "new": {"password": password_hash(), "home": str(home)}})
    own.reload()
    own.users_file.write_text("[")
    own.config_file.write_text("bannr: x\n")
    kill(own, 0)
    kill(own, 1)
    for ftp in one_in_each(own, Account("new", home)):
        upload(ftp, "file", b"x")
        ftp.close()


def test_one_that_dies_again_and_again_ends_the_server(own: Daemon) -> None:
    """With exit code 3 and a sentence, for whoever starts it to begin anew."""
    for _ in range(4):
        kill(own, 1)
    os.kill(pids(own)[1], signal.SIGKILL)
    assert own.ended() == 3
    assert "dies again and again" in own.stderr
    assert own.wait_for_event("stopped")["reason"] == "processes-die"


def test_without_the_supervisor_they_end(own: Daemon) -> None:
    """Transfers finish, nobody new is served, and no process stays behind."""
    account = own.account()
    (ftp, other), servers = one_in_each(own, account), pids(own)
    connection, _ = begin(ftp, "STOR file")
    connection.sendall(content(1000))
    assert own.process is not None
    own.process.kill()
    own.ended()
    assert next_code(other) == 421
    finish(connection)
    assert next_code(ftp) == 226
    assert (account.home / "file").read_bytes() == content(1000)
    ftp.close()
    other.close()
    eventually(lambda: not any(map(exists, servers.values())), "both processes have ended")


def test_one_that_hangs_holds_up_nobody(own: Daemon) -> None:
    """Clients that come meanwhile are served by the other one."""
    both_serve(own)
    hanging = pids(own)[0]
    os.kill(hanging, signal.SIGSTOP)
    try:
        for _ in range(4):
            ftp = log_in(own, EXPLICIT, own.account())
            upload(ftp, "file", content(1000))
            ftp.quit()
    finally:
        os.kill(hanging, signal.SIGCONT)
