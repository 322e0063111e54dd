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
class UploadPublished(Event):
    """An upload that was hidden has been judged, *seconds* after it had come in, and is there as *path* from now on."""

    event = "upload-published"
    path: str
    incident: str
    bytes: int
    seconds: float
    sha256: str | None


@dataclass(frozen=True, slots=True)
class FileQuarantined(Event):
    """
    `ftpsd rescan` has found something in the stored file *path* of *owner*; the words are those of `UploadRefused`.

    With *kept* it has been taken into the quarantine; else it is where it was.
    """

    event = "file-quarantined"
    owner: str
    path: str
    incident: str
    verdict: str
    engine: str
    signatures: str
    found: str
    bytes: int
    sha256: str
    kept: bool


@dataclass(frozen=True, slots=True)
class Rescanned(Event):
    """
    `ftpsd rescan`, begun by the user *account* of this machine, has ended; *complete* says whether all was judged.

    Of *files*, *current* had been judged by the present signatures, *clean* were read and taken, in *found* was
    something, and *unjudged* had no verdict, for *reason* where the run has ended for that.
    """

    event = "rescanned"
    files: int
    current: int
    clean: int
    found: int
    unjudged: int
    complete: bool
    account: str
    reason: str


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


@dataclass(frozen=True, slots=True)
class HeldFileFound(Event):
    """
    A file of *bytes* in the quarantine, or hidden until its verdict, had lost its record; as *incident* it is in the
    quarantine now, with the verdict `no-record`.
    """

    event = "held-file-found"
    incident: str
    bytes: int
