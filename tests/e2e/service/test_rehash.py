"""Hashes of older kinds, made anew at a login in the real daemon, with one process and with two."""

from __future__ import annotations

from typing import Any

import pytest

from ftpsd.auth.hashing import passwords
from ftpsd.config.users import load_users
from tests.e2e.client import EXPLICIT, control, log_in
from tests.e2e.conftest import StartDaemon
from tests.e2e.polling import eventually
from tests.unit.auth.test_kinds import PUBLISHED

PASSWORD, OLD = PUBLISHED[0]


@pytest.mark.parametrize("processes", [1, 2])
def test_the_hash_is_made_anew_and_no_session_ends(start_daemon: StartDaemon, processes: int) -> None:
    """Sessions from before it go on, also behind a reload; the password logs in, and another does not."""
    daemon = start_daemon({"processes": processes})
    account = daemon.account()
    users: dict[str, Any] = daemon.users
    users[account.name]["password"] = OLD
    daemon.write_users(users)
    daemon.reload()
    account = type(account)(account.name, account.home, PASSWORD)
    sessions = [log_in(daemon, EXPLICIT, account) for _ in range(6)]

    def stored() -> str:
        return str(load_users(daemon.users_file).users[account.name].password)

    eventually(lambda: stored() != OLD, "another hash")
    new = stored()
    assert new.startswith("$argon2id$")
    assert passwords.verify(PASSWORD, new)
    daemon.reload()
    sessions.append(log_in(daemon, EXPLICIT, account))
    assert [session.voidcmd("NOOP")[:3] for session in sessions] == ["200"] * 7
    guess = control(daemon, EXPLICIT)
    guess.ask(f"USER {account.name}")
    assert guess.ask("PASS wrong").startswith("530")
    for session in sessions:
        session.close()
    assert stored() == new
    assert [
        event["reason"] for event in daemon.audit('"session-closed"') if event["reason"] == "password-changed"
    ] == []
