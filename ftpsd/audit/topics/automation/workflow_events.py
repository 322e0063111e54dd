"""
Audit events of workflows. The rules of `events.py` hold. `workflow` is a configured name, `id` that of the event, the
user that of the event, too.
"""

from __future__ import annotations

from dataclasses import dataclass

from ftpsd.audit.events import Event


@dataclass(frozen=True, slots=True)
class WorkflowStepDone(Event):
    """A step is finished; the file was at *path* before it, and is at *target*."""

    event = "workflow-step"
    workflow: str
    id: str
    step: int
    action: str
    path: str
    target: str


@dataclass(frozen=True, slots=True)
class WorkflowFailed(Event):
    """A step has failed for the last time, *attempts* in all; *reason* is free text; no metric carries it."""

    event = "workflow-failed"
    workflow: str
    id: str
    step: int
    action: str
    path: str
    attempts: int
    reason: str


@dataclass(frozen=True, slots=True)
class WorkflowFinished(Event):
    """A run is over: "done", "failed", or "superseded" by a newer file; the file is at *path*."""

    event = "workflow-finished"
    workflow: str
    id: str
    result: str
    path: str
