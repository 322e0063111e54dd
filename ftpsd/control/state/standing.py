"""
Whether a session may go on after a reload: its user is asked of the configuration of now, as at a login.
"""

from __future__ import annotations

from typing import Final

from ftpsd.auth.checker import Refusal, why_kept_out
from ftpsd.config.users import UserRecord
from ftpsd.control.state.hosts import Host
from ftpsd.control.state.runtime import Runtime

# The reason for closing a session, in the words of the audit log.
ENDINGS: Final = {
    Refusal.DISABLED: "user-disabled",
    Refusal.EXPIRED: "user-expired",
    Refusal.NETWORK: "address-not-allowed",
}


def why_not(runtime: Runtime, host: Host, user: UserRecord | None, peer: str) -> str | None:
    """
    Return why a session of *user*, who logged in on *host* from *peer*, may not go on with *runtime*.

    Existing rights of *user* are not compared: files, rules and rates stay as they were at the login.
    """
    now = runtime.hosts.now(host)
    if now is None:
        return "host-removed"
    if user is None:
        return None
    record = now.users.get(user.name)
    if record is None:
        return "user-removed"
    refusal = why_kept_out(record, peer, runtime.shared.clock.seconds())
    if refusal is not None:
        return ENDINGS[refusal]
    return "password-changed" if record.password != user.password else None
