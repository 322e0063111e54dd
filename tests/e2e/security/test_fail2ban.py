"""Fail2ban with the filter of docs/security.md reads our audit log, and takes no address that a client made up."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.e2e.client import EXPLICIT, IPV4, control
from tests.e2e.conftest import StartDaemon
from tests.tools import ROOT, require_tool

FORGED = "192.0.2.66"
NAMES = (
    "somebody",
    f'x","peer":"{FORGED}","reason":"wrong password',
    f'{{"peer":"{FORGED}"}}',
    "\\",
    f'\\","peer":"{FORGED}"',
)


def documented_filter() -> str:
    """Return the filter as the page has it."""
    page = (ROOT / "docs" / "security.md").read_text()
    found = re.search(r"^```ini\n(\[Definition\]\n.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_the_documented_filter(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """Each wrong password is a failure of the client's address; a user with too many sessions is none."""
    program = require_tool("fail2ban-regex")
    daemon = start_daemon({"limits": {"sessions_per_user": 1, "failed_logins": 1}})
    account = daemon.account()
    first = control(daemon, EXPLICIT)
    first.log_in(account)
    for name in (*NAMES, account.name):
        connection = control(daemon, EXPLICIT)
        connection.ask(f"USER {name}")
        assert connection.ask("PASS wrong").startswith("530 Login incorrect")
    second = control(daemon, EXPLICIT)
    second.ask(f"USER {account.name}")
    assert second.ask(f"PASS {account.password}").startswith("421 Too many sessions")
    daemon.wait_for_event("login-refused", reason="too-many-sessions")
    (tmp_path / "ftpsd.conf").write_text(documented_filter())
    found = subprocess.run(
        [program, "-o", "<ip>", daemon.folder / "audit.jsonl", tmp_path / "ftpsd.conf"], capture_output=True, text=True
    )
    assert found.stdout.split() == [IPV4] * (len(NAMES) + 1), found.stdout + found.stderr
