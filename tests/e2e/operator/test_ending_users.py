"""`--now`: a user who is kept out from now on, and is there."""

from __future__ import annotations

import ftplib

import pytest

from tests.e2e.client import EXPLICIT, begin, log_in, next_code, upload
from tests.e2e.conftest import StartDaemon
from tests.e2e.polling import eventually


@pytest.mark.parametrize(("command", "processes"), [("remove", 1), ("disable", 2)])
def test_a_user_who_is_kept_out_now(start_daemon: StartDaemon, command: str, processes: int) -> None:
    """The sessions end with their transfers, the old file stays, the number is told, and nobody comes back."""
    daemon = start_daemon({"processes": processes})
    account, other = daemon.account(), daemon.account()
    busy, idle, stays = (log_in(daemon, EXPLICIT, each) for each in (account, account, other))
    upload(busy, "kept", b"old")
    storing, _ = begin(busy, "STOR kept")
    storing.sendall(b"x" * 100)
    eventually(lambda: "STOR" in daemon.order("who").stdout, "the upload is seen")
    done = daemon.order("user", command, account.name, "--now")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"ended 2 sessions of {account.name}\n")
    assert (next_code(busy), next_code(idle)) == (421, 421)
    storing.close()
    daemon.wait_for_event("file-stored", result="aborted")
    assert (account.home / "kept").read_bytes() == b"old"
    with pytest.raises(ftplib.error_perm, match="530"):
        log_in(daemon, EXPLICIT, account)
    assert stays.sendcmd("NOOP").startswith("200")
    stays.close()

    daemon.config_file.write_text(daemon.config_file.read_text() + "bannr: x\n")
    refused = daemon.order("user", "remove", "u002", "--now")
    assert refused.returncode == 2
    assert '"u002"' in daemon.users_file.read_text()  # a configuration that is wrong says nothing of its users
    daemon.write_config()
    daemon.stop()
    gone = daemon.order("user", "remove", "u002", "--now")
    assert gone.returncode == 1
    assert gone.stderr.startswith(
        "no session was ended, though the file is changed: ftpsd is not running, or control_socket is another: "
    )
    assert '"u002"' not in daemon.users_file.read_text()
    where = daemon.order("user", "remove", "u003", "--now", "--users", str(daemon.users_file))
    assert "--now goes with --config" in where.stderr
    assert '"u003"' in daemon.users_file.read_text()
