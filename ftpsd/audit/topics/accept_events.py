"""
Audit events of the accept gate and of its quarantine. The rules of `events.py` hold.
"""

from __future__ import annotations

from dataclasses import dataclass

from ftpsd.audit.events import Event


@dataclass(frozen=True, slots=True)
class UploadRefused(Event):
    """
    The gate did not take an upload of *command* to *path*.

    *verdict* is a fixed word, *found* what was found, *engine* and *signatures* who found it and with which version.
    *kept* says whether the file is in the quarantine, under the number of the *incident*.
    """

    event = "upload-refused"
    command: str
    path: str | None
    incident: str
    verdict: str
    engine: str | None
    signatures: str | None
    found: str | None
    bytes: int
    sha256: str | None
    kept: bool


@dataclass(frozen=True, slots=True)
class QuarantineReleased(Event):
    """The user *account* of this machine has published the file of *incident* as *path*, for *reason*."""

    event = "quarantine-released"
    incident: str
    owner: str
    path: str
    sha256: str | None
    account: str
    reason: str
    forced: bool


@dataclass(frozen=True, slots=True)
class QuarantinePurged(Event):
    """The file of *incident* is gone: the user *account* of this machine has removed it, or "" for its age."""

    event = "quarantine-purged"
    incident: str
    owner: str
    path: str
    sha256: str | None
    account: str
