"""Chained logs for tests: written by the real writer, in as many files as asked for."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ftpsd.audit.audit_log import AuditLog
from ftpsd.audit.evidence.hash_chain import Chain, checkpoint_file
from ftpsd.audit.evidence.verify import Report, verify
from ftpsd.audit.topics.tree_events import FileDeleted
from tests.unit.audit.samples import WHO

KEY = Ed25519PrivateKey.generate()
PATIENCE = 10.0


def chained(
    path: Path, *, lines: int = 10, seconds: float = 3600.0, turn: AbstractContextManager[object] | None = None
) -> AuditLog:
    """Return a log at *path* that is signed after so many *lines*."""
    return AuditLog(path, turn=turn, chain=Chain(path, KEY, lines, seconds))


def put(log: AuditLog, first: int, last: int) -> None:
    """Log the events with the numbers *first* to *last*."""
    for number in range(first, last + 1):
        log.put(FileDeleted(WHO, f"/{number}"), 0.0)


def write(path: Path, first: int, last: int, *, lines: int = 10) -> None:
    """Log events into *path*, from start to stop."""
    log = chained(path, lines=lines)
    log.start()
    put(log, first, last)
    assert log.stop(PATIENCE)


def settled(log: AuditLog) -> None:
    """Wait until *log* has written what is queued, and its writer rests."""
    idle = threading.Event()
    for _ in range(2000):
        if not log.queued:
            idle.wait(0.03)
            return
        idle.wait(0.005)
    raise AssertionError("the log does not get on")


def checked(*files: Path) -> Report:
    """Check *files*, with the checkpoint that was kept beside the first."""
    kept = checkpoint_file(files[0])
    return verify(files, [KEY.public_key()], kept.read_bytes() if kept.exists() else None)
