"""
A file with one CloudEvent a line, for programs of this machine that read along; it is on the disk when it is taken.

The file is opened for each call, so it may be moved away at any time (logrotate without copytruncate). A line that was
cut off by a crash is ended before the next one begins; its event comes again, whole.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred

from ftpsd.events.record_tables import Record
from ftpsd.events.sinks.cloud_event import cloud_event
from ftpsd.events.sinks.receiver import NotTaken
from ftpsd.storage.disk.syscalls import sync_directory
from ftpsd.workers import WorkerPool

# Events that share one fsync.
BATCH: Final = 200
MODE: Final = 0o640


class JSONLines:
    """The file at *path*; *call_in_reactor* is the reactor's `callFromThread`."""

    most = BATCH

    def __init__(self, name: str, path: Path, call_in_reactor: Any) -> None:
        self._path = path
        self._pool = WorkerPool(f"sink-{name}", 1, 1, call_in_reactor)
        self._pool.start()

    def send(self, records: Sequence[Record]) -> Deferred[None]:
        """Add *records* to the file."""
        lines = b"".join(cloud_event(record, with_file=True) + b"\n" for record in records)
        return self._pool.run(_append, self._path, lines)

    def stop(self) -> None:
        """Nothing is broken off: a write takes no time, or for ever."""
        self._pool.stop(0.0)


def _append(path: Path, lines: bytes) -> None:
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        is_new = not path.exists()
        fd = os.open(path, flags, MODE)
        try:
            size = os.fstat(fd).st_size
            if size and os.pread(fd, 1, size - 1) != b"\n":
                lines = b"\n" + lines
            view = memoryview(lines)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        if is_new:
            sync_directory(path.parent)
    except OSError as error:
        raise NotTaken(f"it cannot be written: {error.strerror}") from None
