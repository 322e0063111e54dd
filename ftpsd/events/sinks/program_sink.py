"""
A program that is run for each event: its arguments from templates, the CloudEvent on its standard input, no shell.

Exit code 0 is taken, every other is not. Its environment is clean, its output is thrown away but for the beginning of
what it says on standard error, which is the reason of a failure. It is a session of its own, and what it has started
ends with it where it takes too long. Each call waits in a worker of the sink's own.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Lock
from typing import IO, Any, Final

from twisted.internet.defer import Deferred

from ftpsd.config.automation.event_sinks import FIELDS, EventSink
from ftpsd.events.record_tables import Record
from ftpsd.events.sinks.cloud_event import cloud_event
from ftpsd.events.sinks.receiver import NotTaken
from ftpsd.workers import WorkerPool

TIMEOUT: Final = 300.0
# Bytes of standard error that are looked at, and characters of the reason that is kept.
MOST_READ: Final = 64 * 1024
LONGEST_REASON: Final = 200
# Seconds between two looks whether it has ended, where the system does not tell of it.
LOOK: Final = 0.1
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
    """
    Give *child* its input, wait for its end, and return what it has said. Raises: TimeoutExpired.

    It is its own end that counts: what it has left behind may hold standard error open.
    """
    assert child.stdin is not None
    assert child.stderr is not None
    deadline, left, said = time.monotonic() + timeout, memoryview(body), bytearray()
    with child.stdin, child.stderr, selectors.DefaultSelector() as selector, _told_of_end(child.pid, selector):
        for stream, event in ((child.stdin, selectors.EVENT_WRITE), (child.stderr, selectors.EVENT_READ)):
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, event)
        while not _has_ended(child.pid):
            if (remaining := deadline - time.monotonic()) <= 0:
                raise subprocess.TimeoutExpired(child.args, timeout)
            for key, _ in selector.select(min(remaining, LOOK)):
                if key.fileobj is child.stdin:
                    left = _given(child.stdin, left)
                    if not left:
                        selector.unregister(child.stdin)
                        child.stdin.close()
                elif key.fileobj is child.stderr and not _heard(child.stderr, said):
                    selector.unregister(child.stderr)
        while len(said) < MOST_READ and _heard(child.stderr, said):
            pass
    text = said.decode("utf-8", "replace").strip()
    line = "".join(character if character.isprintable() else " " for character in text)[:LONGEST_REASON]
    return f": {line}" if line else ""


def _given(stream: IO[bytes], data: memoryview) -> memoryview:
    """Write what *stream* takes of *data*, and return what is left: nothing, where it takes no more."""
    try:
        return data[os.write(stream.fileno(), data) :]
    except BlockingIOError:
        return data
    except OSError:  # it does not want it
        return data[:0]


def _heard(stream: IO[bytes], said: bytearray) -> bool:
    """Read what has come, and keep the beginning of it; False at the end, or where there is nothing now."""
    try:
        data = os.read(stream.fileno(), MOST_READ)
    except OSError:
        return False
    said += data[: MOST_READ - len(said)]
    return bool(data)


def _has_ended(number: int) -> bool:
    """Return whether the child has ended; it is not waited for, so that its number stays its own."""
    return os.waitid(os.P_PID, number, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


@contextmanager
def _told_of_end(number: int, selector: selectors.BaseSelector) -> Iterator[None]:
    """Have *selector* wake at the end of the child, where the system can tell of it."""
    try:
        fd = os.pidfd_open(number)
    except (AttributeError, OSError):
        yield  # it is looked at now and then
        return
    try:
        selector.register(fd, selectors.EVENT_READ)
        yield
    finally:
        os.close(fd)


def _end(number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(number, signal.SIGKILL)
