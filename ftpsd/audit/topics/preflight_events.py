"""
Audit events of preflight accounts. The rules of `events.py` hold.
"""

from __future__ import annotations

from dataclasses import dataclass

from ftpsd.audit.events import Event


@dataclass(frozen=True, slots=True)
class PreflightDone(Event):
    """
    A session of a preflight account has ended: *needs* are the keys of users.yaml that its client needs, "" for none.

    *changes* is the number of faults that are to be mended at the client; `ftpsd preflight` has all of it.
    """

    event = "preflight-done"
    needs: str
    changes: int
