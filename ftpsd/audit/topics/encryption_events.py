"""
Audit events of encryption at rest. The rules of `events.py` hold.
"""

from __future__ import annotations

from dataclasses import dataclass

from ftpsd.audit.events import Event


@dataclass(frozen=True, slots=True)
class FileDamaged(Event):
    """
    A file of an encrypted tree was asked for and could not be decrypted; no changed byte of it was given out.

    *reason* is a fixed word. *path* is that on this machine, *detail* more for the operator.
    """

    event = "file-damaged"
    reason: str
    path: str
    detail: str


@dataclass(frozen=True, slots=True)
class DataKeysDestroyed(Event):
    """`ftpsd shred`: the *keys* of *directory* that *account* of this machine has destroyed for the user *name*."""

    event = "data-keys-destroyed"
    name: str
    directory: str
    keys: int
    account: str


@dataclass(frozen=True, slots=True)
class Rekeyed(Event):
    """`ftpsd rekey` has come to its end: *files* were wrapped by the newest key, *failed* were not."""

    event = "rekeyed"
    files: int
    failed: int
    account: str
