"""
Audit events of jobs. The rules of `events.py` hold; `job` and `partner` are configured names.
"""

from __future__ import annotations

from dataclasses import dataclass

from ftpsd.audit.events import Event


@dataclass(frozen=True, slots=True)
class JobStarted(Event):
    """A run of a job begins; *trigger* is `clock`, `missed`, `event`, `order` or `interrupted`."""

    event = "job-started"
    job: str
    run: str
    trigger: str


@dataclass(frozen=True, slots=True)
class JobEnded(Event):
    """A run of a job has ended. *reason* is free text; no metric carries it."""

    event = "job-ended"
    job: str
    run: str
    result: str
    files: int
    bytes: int
    seconds: float
    attempts: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class JobSkipped(Event):
    """A job was due, and did not run: so many moments were `missed`, or one came while it was `running`."""

    event = "job-skipped"
    job: str
    reason: str
    moments: int


@dataclass(frozen=True, slots=True)
class FilePulled(Event):
    """A file of a partner was stored as *path*; *source* is its path there."""

    event = "file-pulled"
    job: str
    partner: str
    source: str
    path: str
    bytes: int
    offset: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class FilePushed(Event):
    """The file *path* was stored at a partner as *target*."""

    event = "file-pushed"
    job: str
    partner: str
    path: str
    target: str
    bytes: int
    offset: int
    sha256: str | None


JobEvent = JobStarted | JobEnded | JobSkipped
