"""
The audit log: a line for each event, on standard output or in a file, in one of the forms of `line_form.py`.

The reactor only puts events into a bounded queue; one thread of the log's own turns them into lines and writes them.
A slow disk or a full pipe therefore costs lines, never the reactor: what finds the queue full, and what could not be
written, is counted and announced by an `audit-lost` line as soon as one gets through. Nothing here raises into the
publisher. Commands are lost first: a part of the queue is for all other events, so that a flood of commands pushes no
login and no transfer out.

A chained log (`evidence/chain.py`) has its lines numbered, linked and signed as they are written.

`put` (the sink) and `reopen` belong to the reactor thread, `start` and `stop` to the owner of the log. Everything else
runs in the writer thread.
"""

from __future__ import annotations

import math
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Literal

from twisted.logger import Logger

from ftpsd.audit.events import CommandDone, Event
from ftpsd.audit.evidence.hash_chain import Chain, Framed, open_log
from ftpsd.audit.journal import ERROR, leads_to_journal, priority_of
from ftpsd.audit.line_form import JSON_LINES, LineForm

Target = Path | Literal["stdout"]

STANDARD_OUTPUT = 1
QUEUE_LIMIT = 10_000
# The part of the queue that commands may fill.
PART_OF_COMMANDS = 0.5
# Lines per write: large enough that a busy second is a few system calls, small enough that a failure loses little.
LINES_PER_WRITE = 256
# While lines are coming the writer looks only this often, so most events find it awake and cost the reactor no thread
# switch.
SECONDS_BETWEEN_LOOKS = 0.01
# Seconds between two looks at whether a full pipe has been waited for long enough, and the part of the seconds for the
# end of the log that it is waited for.
SECONDS_FOR_PIPE = 0.25
PART_OF_PATIENCE = 0.8
SECONDS_BETWEEN_COMPLAINTS = 60.0
# The group may read (log shippers), others may not; the process's umask may narrow it further.
FILE_MODE = 0o640

# Orders to the writer travel in the queue with the events, so that they take effect in their place.
_Order = Literal["reopen", "look", "stop"]


class AuditLog:
    """
    A writer of events to *target*; `put` is the sink to subscribe.

    *failed* is called with the number of lines just lost, from either thread. *turn* is held around every write, where
    several processes write to the same target. *chain* makes evidence of a log in a file, of JSON lines. *wants* are
    the names of the events that are written, None for all that are logged.
    """

    _log = Logger()

    def __init__(
        self,
        target: Target,
        *,
        queue_limit: int = QUEUE_LIMIT,
        failed: Callable[[int], None] = lambda _count: None,
        turn: AbstractContextManager[object] | None = None,
        chain: Chain | None = None,
        form: LineForm = JSON_LINES,
        wants: frozenset[str] | None = None,
    ) -> None:
        self._target = target
        self._form = form
        self._wants = wants
        self._chain = chain
        self._turn = nullcontext() if turn is None else turn
        self._limit = queue_limit
        self._limit_of_commands = int(queue_limit * PART_OF_COMMANDS)
        self._failed = failed
        self._queue: SimpleQueue[tuple[Event, float] | _Order] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._patience_ends = math.inf
        self._accepting = True
        self._fd = -1
        self._is_journal = False
        # Three counters with one writer each, so that no lock is needed: the reactor thread counts the first, the
        # writer the others.
        self._overflowed = 0
        self._unwritten = 0
        self._announced = 0
        self._torn = False
        self._complained_at: float | None = None

    @property
    def queued(self) -> int:
        """Return how many events wait to be written."""
        return self._queue.qsize()

    @property
    def lost(self) -> int:
        """Return how many events never became a line."""
        return self._overflowed + self._unwritten

    def start(self) -> None:
        """
        Open the target and begin to write.

        Raises: OSError when the file cannot be opened.
        """
        self._fd = self._open()
        if self._chain is not None:
            try:
                self._chain.check(self._fd)
            except OSError:
                self._close()
                raise
        self._is_journal = leads_to_journal(self._fd)
        self._thread = threading.Thread(target=self._write_until_stopped, name="ftpsd-audit-log", daemon=True)
        self._thread.start()

    def put(self, event: Event, seconds: float) -> None:
        """Queue *event*, which happened at the Unix time *seconds*, if it is one that is logged and there is room."""
        if not event.logged or (self._wants is not None and event.event not in self._wants):
            return
        limit = self._limit_of_commands if isinstance(event, CommandDone) else self._limit
        if self._accepting and self._queue.qsize() < limit:
            self._queue.put((event, seconds))
        else:
            self._overflowed += 1
            self._failed(1)

    def reopen(self) -> None:
        """Continue in a new file of the same name, after what is queued now: logrotate has moved the old one away."""
        if self._target != "stdout":
            self._queue.put("reopen")

    def stop(self, seconds: float = 5.0) -> bool:
        """
        Write what is queued and close, within *seconds*; return False when the target was too slow for that.

        Blocks the caller: call it last, or from a thread.
        """
        self._accepting = False
        thread, self._thread = self._thread, None
        if thread is None:
            return True
        # A reader that stands still for a moment costs no line; the writer gives up in time to count what it does cost.
        self._patience_ends = time.monotonic() + PART_OF_PATIENCE * seconds
        self._queue.put("stop")
        self._stopping.set()
        thread.join(seconds)
        if not thread.is_alive():
            return True
        # The writer is stuck in the kernel and dies with the process; its descriptor, closed here, could by then be the
        # number of another file.
        left = self.queued
        self._failed(left)
        self._log.error("The audit log could not be written in time; about {count} lines are lost.", count=left)
        return False

    # In the writer thread

    def _write_until_stopped(self) -> None:
        lines: list[bytes] = []
        for item in self._items():
            if isinstance(item, tuple):
                try:
                    line = self._form.line(*item)
                    if line is not None:
                        lines.append(self._mark(priority_of(item[0])) + line)
                except Exception:
                    # A field that a line cannot hold is a bug of ours; it costs its own line, not the log.
                    self._lose(1, f"the event {item[0].event} does not fit a line")
                if len(lines) < LINES_PER_WRITE and not self._queue.empty():
                    continue
            self._write(lines)
            lines = []
            if item == "reopen":
                self._reopen()
        self._write(lines, is_last=True)
        self._close()

    def _items(self) -> Iterator[tuple[Event, float] | _Order]:
        """Yield what is queued, in order, resting between busy moments, until the order to stop."""
        while True:
            try:
                item = self._queue.get_nowait()
            except Empty:
                self._stopping.wait(SECONDS_BETWEEN_LOOKS)
                try:
                    item = self._queue.get(timeout=self._chain.patience if self._chain is not None else None)
                except Empty:
                    item = "look"
            if item == "stop":
                return
            yield item

    def _write(self, events: list[bytes], *, is_last: bool = False) -> None:
        """Write the lines *events*, behind the admission of earlier losses if there is one to make."""
        unannounced = self.lost - self._announced
        lost = self._form.lost(unannounced, time.time()) if unannounced else b""
        admission = [self._mark(ERROR) + lost] if lost else []
        lines = admission + events
        with self._turn, self._alone():
            framed = self._framed(lines, is_last)
            data = b"".join((framed.before, *framed.lines, framed.behind))
            written, error = self._write_all(memoryview(data))
            if self._chain is not None:
                self._chain.written(self._fd, error is None)
        if written:
            self._torn = data[written - 1 : written] != b"\n"
        whole_lines = data.count(b"\n", 0, written) - framed.before.count(b"\n", 0, written)
        if written and self._torn and data[written : written + 1] == b"\n":
            # Only its line end is missing, and mending writes that.
            whole_lines += 1
        # Behind them a checkpoint may stand.
        whole_lines = min(max(whole_lines, 0), len(lines))
        if whole_lines >= len(admission):
            self._announced += unannounced
            whole_lines -= len(admission)
        if error is not None:
            self._lose(len(events) - whole_lines, error.strerror or type(error).__name__)

    def _alone(self) -> AbstractContextManager[object]:
        return nullcontext() if self._chain is None else self._chain.alone(lambda: self._fd)

    def _framed(self, lines: list[bytes], is_last: bool) -> Framed:
        """Return what is to be written for *lines*."""
        if self._chain is None:
            # A line that was cut in the middle must not swallow the next one.
            return Framed(b"\n" if self._torn else b"", lines, b"")
        self._follow(is_ordered=False)
        return self._chain.frame(self._fd, lines, is_last=is_last)

    def _mark(self, priority: int) -> bytes:
        return b"<%d>" % priority if self._is_journal else b""

    def _write_all(self, data: memoryview) -> tuple[int, OSError | None]:
        """Return how many bytes were written, and the error that kept the rest out."""
        written = 0
        try:
            while written < len(data):
                written += self._write_some(data[written:])
        except OSError as error:
            return written, error
        return written, None

    def _write_some(self, data: memoryview) -> int:
        while True:
            try:
                return os.write(self._fd, data)
            except BlockingIOError:
                # Standard output may be a pipe or terminal that someone made non-blocking.
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                if not poll.poll(SECONDS_FOR_PIPE * 1000) and time.monotonic() >= self._patience_ends:
                    raise

    def _lose(self, count: int, reason: str) -> None:
        self._unwritten += count
        self._failed(count)
        now = time.monotonic()
        if self._complained_at is None or now - self._complained_at >= SECONDS_BETWEEN_COMPLAINTS:
            self._complained_at = now
            self._log.error("Audit lines are lost: {reason}; {count} so far.", reason=reason, count=self.lost)

    def _open(self) -> int:
        if self._target == "stdout":
            return STANDARD_OUTPUT
        if self._chain is not None:
            return open_log(self._target)
        return os.open(self._target, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY, FILE_MODE)

    def _follow(self, *, is_ordered: bool) -> None:
        """Go over to the file that stands at the place of a chained log now."""
        assert self._chain is not None
        try:
            fresh = self._chain.follow(self._fd, is_ordered=is_ordered)
        except OSError as error:
            self._log.error("The audit log stays in its old file: {reason}.", reason=error.strerror)
            return
        if fresh is not None:
            self._close()
            self._fd = fresh

    def _reopen(self) -> None:
        if self._chain is not None:
            with self._turn, self._alone():
                self._follow(is_ordered=True)
            self._write([])
            return
        try:
            fresh = self._open()
        except OSError as error:
            # The old file still takes lines, even without a name; losing them would be worse.
            self._log.error("The audit log stays in its old file: {reason}.", reason=error.strerror)
            return
        self._close()
        self._fd, self._torn = fresh, False

    def _close(self) -> None:
        if self._target == "stdout":
            return
        try:
            os.close(self._fd)
        except OSError as error:
            # A network file system reports late here what an earlier write could not do; the lines of that write are
            # not known.
            self._log.error("The audit log was not closed cleanly: {reason}.", reason=error.strerror)
