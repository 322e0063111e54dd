"""Hours of the real daemon: a login outside of them is refused as a wrong password is."""

from __future__ import annotations

import ftplib
from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.client import EXPLICIT, log_in
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import PASSWORD


def test_a_login_outside_of_the_hours(start_daemon: StartDaemon) -> None:
    """Two spans of today: the one around now lets the user in, one of other days does not; the log says why."""
    daemon = start_daemon()
    inside, outside = daemon.account(), daemon.account()
    now = datetime.now(UTC)
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    near = {days[(now + timedelta(days=offset)).weekday()] for offset in (-1, 0, 1)}
    users = daemon.users
    users[inside.name]["hours"] = {"days": sorted(near)}
    users[outside.name]["hours"] = [{"days": [day for day in days if day not in near], "zone": "Europe/Berlin"}]
    daemon.write_users(users)
    daemon.reload()
    log_in(daemon, EXPLICIT, inside).close()
    with pytest.raises(ftplib.error_perm, match=r"^530 Login incorrect\.$"):
        log_in(daemon, EXPLICIT, outside)
    daemon.wait_for_event("login-refused", name=outside.name, reason="outside of hours")
    assert PASSWORD not in daemon.audit_text()
