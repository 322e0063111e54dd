"""`ftpsd who`, `kick`, `status`, `reload` and `drain` against real daemons: one process, and two."""

from __future__ import annotations

import json
import signal
import ssl
import stat
from typing import Any

import pytest

from ftpsd.cli.asking import Server
from tests.e2e.client import EXPLICIT, begin, finish, log_in, next_code, upload
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Daemon
from tests.e2e.polling import eventually
from tests.e2e.processes.pair import one_in_each


def sessions(daemon: Daemon) -> list[dict[str, Any]]:
    """Return the sessions of now; a process for each question would cost a second."""
    seen: list[dict[str, Any]] = Server(None, daemon.control_socket).ask("who")["sessions"]
    return seen


@pytest.mark.parametrize("processes", [1, 2])
def test_the_life_of_a_server_by_its_control_socket(start_daemon: StartDaemon, processes: int) -> None:
    """Sessions are seen and ended in every process, files are read anew, and the end is told as it comes."""
    daemon = start_daemon({"processes": processes})
    account, other = daemon.account(), daemon.account()
    assert stat.filemode(daemon.control_socket.stat().st_mode) == "srw-------"
    none = daemon.order("who")
    assert (none.returncode, none.stdout, none.stderr) == (0, "", "no sessions\n")

    own = one_in_each(daemon, account) if processes == 2 else [log_in(daemon, EXPLICIT, account)]
    first = own[0]
    third = log_in(daemon, EXPLICIT, other)
    upload(first, "kept", b"old")
    storing, _ = begin(first, "STOR kept")
    storing.sendall(b"x" * 100_000)
    eventually(lambda: any(each["moved"] == 100_000 for each in sessions(daemon)), "100,000 bytes are seen")
    seen = {(each["user"], each["command"], each["path"]) for each in sessions(daemon)}
    assert seen == {(account.name, "STOR", "/kept"), (other.name, None, None)} | (
        {(account.name, None, None)} if processes == 2 else set()
    )
    (busy,) = (each for each in sessions(daemon) if each["command"])
    assert isinstance(first.sock, ssl.SSLSocket)
    listener = f"explicit:{daemon.ports.explicit}"
    assert (busy["peer"], busy["tls"], busy["listener"]) == ("127.0.0.1", first.sock.version(), listener)
    assert json.loads(daemon.order("who", "--json").stdout)[0].keys() == busy.keys()

    ended = daemon.order("kick", account.name)
    assert ended.returncode == 0
    assert ended.stdout == f"ended {processes} session{'s'[: processes - 1]} of {account.name}\n"
    assert next_code(first) == 421
    storing.close()
    daemon.wait_for_event("file-stored", result="aborted", reason="an operator has ended the session")
    daemon.wait_for_event("ordered", order="kick", argument=f"user={account.name}", uid=0, account="root")
    assert (account.home / "kept").read_bytes() == b"old"
    (left,) = sessions(daemon)
    assert daemon.order("kick", left["session"]).stdout == f"ended session {left['session']}\n"
    assert next_code(third) == 421
    again = daemon.order("kick", left["session"])
    assert (again.returncode, again.stderr) == (
        1,
        f"there is no session {left['session']}, and no session of a user of that name\n",
    )

    assert daemon.order("reload").returncode == 0
    good = daemon.users_file.read_text()
    daemon.users_file.write_text("users: [")
    refused = daemon.order("reload")
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"reload failed, the old configuration stays: {daemon.users_file}:2:")
    daemon.config_file.write_text(daemon.config_file.read_text() + "bannr: x\n")
    assert "bannr" in daemon.order("reload").stderr
    daemon.users_file.write_text(good)
    told = daemon.order("status").stdout
    assert "refused: " in told
    assert "bannr" in told

    daemon.write_config()
    last = log_in(daemon, EXPLICIT, account)
    storing, _ = begin(last, "STOR last")
    storing.sendall(b"y" * 10)
    eventually(lambda: any(each["moved"] == 10 for each in sessions(daemon)), "10 bytes are seen")
    draining = daemon.start_order("drain")
    assert draining.stdout is not None
    assert draining.stdout.readline() == "draining: 1 session, 1 transfer\n"
    daemon.signal(signal.SIGTERM)  # as `systemctl stop` would: the first signal cuts nothing off
    assert [each["path"] for each in sessions(daemon)] == ["/last"]
    finish(storing)
    assert draining.communicate(timeout=60)[0].endswith("the server has ended\n")
    assert draining.returncode == 0
    assert (account.home / "last").read_bytes() == b"y" * 10
    assert daemon.ended() == 0
    assert not daemon.control_socket.exists()
    gone = daemon.order("who")
    assert (gone.returncode, gone.stderr) == (
        1,
        f"ftpsd is not running, or control_socket is another: nobody answers at {daemon.control_socket}\n",
    )
