"""
A program that is run for each event: its arguments from templates, the CloudEvent on its standard input, no shell.

Exit code 0 is taken, every other is not. Its environment is clean, its output is thrown away but for the beginning of
what it says on standard error, which is the reason of a failure. It is a session of its own, and what it has started
ends with it where it takes too long. Each call waits in a worker of the sink's own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from threading import Lock
from typing import Any, Final

from twisted.internet.defer import Deferred

from ftpsd.config.automation.event_sinks import FIELDS, EventSink
from ftpsd.events.cloud_event import cloud_event
from ftpsd.events.delivery import NotTaken
from ftpsd.events.record_tables import Record
from ftpsd.workers import WorkerPool

TIMEOUT: Final = 300.0
# Bytes of standard error that are looked at, and characters of the reason that is kept.
MOST_READ: Final = 64 * 1024
LONGEST_REASON: Final = 200
ENVIRONMENT: Final = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}


class Program:
    """The program of *settings*; *call_in_reactor* is the reactor's `callFromThread`."""

    most = 1

    def __init__(self, settings: EventSink, call_in_reactor: Any) -> None:
        assert settings.program is not None
        self._arguments = settings.program
        self._timeout = settings.timeout or TIMEOUT
        self._pool = WorkerPool(f"sink-{settings.name}", settings.at_once, settings.at_once, call_in_reactor)
        self._pool.start()
        self._running: set[int] = set()
        self._mutex = Lock()
        self._is_stopped = False

    def send(self, records: Sequence[Record]) -> Deferred[None]:
        """Run it for the one of *records*."""
        (record,) = records
        return self._pool.run(self._run, arguments(self._arguments, record), cloud_event(record, with_file=True))

    def stop(self) -> None:
        """End what runs, whose events come again at the next start."""
        with self._mutex:
            self._is_stopped = True
            for number in self._running:
                _end(number)
        self._pool.stop(0.0)

    def _run(self, arguments: list[bytes], body: bytes) -> None:
        try:
            child = subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd="/",
                env=ENVIRONMENT,
                start_new_session=True,
            )
        except OSError as error:
            raise NotTaken(f"it cannot be run: {error.strerror}") from None
        with self._mutex:
            self._running.add(child.pid)
            if self._is_stopped:
                _end(child.pid)
        try:
            said = _talk(child, body, self._timeout)
        except subprocess.TimeoutExpired:
            raise NotTaken(f"it has not ended within {self._timeout:g} s") from None
        finally:
            # End all it has started in its session, too; while it is not waited for, its number is nobody else's.
            _end(child.pid)
            with self._mutex:
                self._running.discard(child.pid)
            child.wait()
        if child.returncode:
            raise NotTaken(f"it ended with {child.returncode}{said}")


def arguments(templates: Sequence[str], record: Record) -> list[bytes]:
    """Return the arguments for *record*: each template is one, whatever is in the fields."""
    data: dict[str, Any] = json.loads(record.data)
    file = b"" if record.file is None else record.file
    fields = {
        "id": record.id,
        "event": record.event,
        "user": data.get("user") or "",
        "path": data.get("path") or data.get("new") or "",
        "file": os.fsdecode(file),
        "size": str(data.get("bytes", "")),
        "sha256": data.get("sha256") or "",
    }
    assert fields.keys() == FIELDS
    return [os.fsencode(template.format_map(fields)) for template in templates]


def _talk(child: subprocess.Popen[bytes], body: bytes, timeout: float) -> str:
    """Give *child* its input, wait for its end, and return what it has said. Raises: TimeoutExpired."""
    _, said = child.communicate(body, timeout)
    text = said[:MOST_READ].decode("utf-8", "replace").strip()
    line = "".join(character if character.isprintable() else " " for character in text)[:LONGEST_REASON]
    return f": {line}" if line else ""


def _end(number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(number, signal.SIGKILL)
