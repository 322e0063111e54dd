"""The state file of a running server: made, shared by processes, missing, and mended without a restart."""

from __future__ import annotations

import stat

import pytest

from tests.e2e.client import EXPLICIT, log_in
from tests.e2e.conftest import StartDaemon

USABLE, BROKEN = 'ftpsd_state_file{state="usable"}', 'ftpsd_state_file{state="broken"}'


@pytest.mark.parametrize("processes", [1, 2])
def test_a_server_makes_its_file(start_daemon: StartDaemon, processes: int) -> None:
    """Closed to others, whichever process comes first; nothing is said about it."""
    daemon = start_daemon({"processes": processes})
    metrics = daemon.metrics()
    assert (metrics[USABLE], metrics[BROKEN]) == (processes, 0)
    state = daemon.folder / "state.db"
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    assert "state" not in daemon.stderr
    daemon.stop()
    # The last to close it tidies up; where two close it in the same moment, neither is the last.
    assert processes > 1 or not state.with_name("state.db-wal").exists()


def test_a_server_without_its_file_serves_and_says_so(start_daemon: StartDaemon) -> None:
    """A login by password needs no state; the reason and the remedy are in the log and in the audit log."""
    daemon = start_daemon({"state": "missing/state.db"})
    event = daemon.wait_for_event("state-failed")
    assert "install -d" in event["reason"]
    assert "warning: state: " in daemon.stderr
    assert "missing/state.db cannot be used: the directory " in daemon.stderr
    assert daemon.metrics()[BROKEN] == 1
    log_in(daemon, EXPLICIT, daemon.account()).quit()
    (daemon.folder / "missing").mkdir()
    daemon.wait_for_event("state-restored")
    assert daemon.metrics()[BROKEN] == 0
