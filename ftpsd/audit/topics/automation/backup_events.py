"""
Audit events of backups, written by the command that makes or restores one. The rules of `events.py` hold.
"""

from __future__ import annotations

from dataclasses import dataclass

from ftpsd.audit.events import Event


@dataclass(frozen=True, slots=True)
class BackupMade(Event):
    """The backup *backup* was made by *account*; *troubles* counts what could not be read."""

    event = "backup-made"
    backup: str
    place: str
    files: int
    bytes: int
    stored: int
    troubles: int
    account: str


@dataclass(frozen=True, slots=True)
class BackupRestored(Event):
    """Of the backup *backup* so many items were made and *replaced* by *account*; *troubles* counts the others."""

    event = "backup-restored"
    backup: str
    made: int
    replaced: int
    troubles: int
    account: str
