"""The chained audit log of the real daemon: rotation, SIGKILL and several processes, checked by the command."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from ftpsd.audit.evidence.keys import make_key
from tests.e2e.client import EXPLICIT, Sessions, content, upload
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Daemon


def checked(daemon: Daemon, *, exit_code: int = 0) -> dict[str, Any]:
    """Return what `ftpsd audit verify` says of the log of *daemon*."""
    result = daemon.order("audit", "verify", "--json")
    assert result.returncode == exit_code, result.stdout + result.stderr
    told: dict[str, Any] = json.loads(result.stdout)
    return told


@pytest.mark.parametrize("processes", [1, 2])
def test_the_log_is_one_chain_over_rotation_and_crash(
    tmp_path: Path, start_daemon: StartDaemon, processes: int
) -> None:
    """Rotated as logrotate does it, killed, started again: one chain, every line vouched for, and found by search."""
    make_key(tmp_path / "audit.key", tmp_path / "audit.key.pub")
    chain = {"private_key": str(tmp_path / "audit.key"), "lines": 20}
    daemon = start_daemon({"processes": processes, "audit": {"log": "audit.jsonl", "chain": chain}})
    log = daemon.folder / "audit.jsonl"
    sessions = Sessions(daemon, EXPLICIT)
    clients = [sessions.log_in(daemon.account()) for _ in range(4)]
    for number, client in enumerate(clients):
        upload(client, f"before-{number}", content(100))
    log.rename(f"{log}.1")
    daemon.reload()
    for number, client in enumerate(clients):
        upload(client, f"after-{number}", content(100))
    daemon.wait_for_event("file-stored", path="/after-3")
    daemon.signal(signal.SIGKILL)
    daemon.ended()
    daemon.start()
    sessions.close()
    daemon.stop()
    told = checked(daemon)
    assert (told["broken"], told["lost"], told["behind_last_checkpoint"]) == (None, 0, 0)
    assert [Path(file).name for file in told["files"]] == ["audit.jsonl.1", "audit.jsonl"]
    found = daemon.order("audit", "search", "--event", "file-stored", "--json").stdout.splitlines()
    paths = [json.loads(line)["path"] for line in found]
    assert sorted(paths) == sorted(f"/{when}-{number}" for when in ("before", "after") for number in range(4))
    # The first change from behind is found.
    data = log.read_text()
    number = next(at for at, line in enumerate(data.splitlines(), 1) if "/after-2" in line)
    log.write_text(re.sub("/after-2", "/after-5", data, count=1))
    broken = checked(daemon, exit_code=1)["broken"]
    assert (broken["kind"], broken["file"], broken["line"]) == ("changed", str(log), number)
