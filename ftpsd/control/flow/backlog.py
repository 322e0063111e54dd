"""
The backlog of a client: command lines that wait their turn, in a bounded queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from ftpsd.wire.lines import CommandLine, LineBuffer, LineTooLong

# Commands a client may send ahead. Pipelining clients (lftp's mirror) stay below 20.
MAX_QUEUED = 100

TOO_LONG = CommandLine("", "")
"""Stands for a line that was too long."""


class Readable(Protocol):
    """A source of bytes; the names are Twisted's."""

    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...


class Backlog:
    """The commands that wait; while they are too many, *source* is not read."""

    def __init__(self, source: Readable) -> None:
        self.lines = LineBuffer()
        self._source = source
        self._waiting: deque[CommandLine] = deque()
        self._is_reading = True

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[CommandLine]:
        return iter(self._waiting)

    def feed(self, data: bytes, newest: Callable[[CommandLine], None]) -> None:
        """Queue the lines of *data*; *newest* is called with each when it is the last one that waits."""
        for line in self.lines.feed(data):
            if isinstance(line, LineTooLong):
                self._waiting.append(TOO_LONG)
            else:
                self._waiting.append(line)
                newest(line)
        if self._is_reading and len(self._waiting) > MAX_QUEUED:
            self._is_reading = False
            self._source.pauseProducing()

    def take(self) -> CommandLine:
        """Return the line whose turn it is."""
        return self._waiting.popleft()

    def take_newest(self) -> CommandLine:
        """Return the last line instead: it does not wait."""
        return self._waiting.pop()

    def advance(self, line: CommandLine) -> None:
        """Let *line* be the next."""
        self._waiting.appendleft(line)

    def read_on(self) -> None:
        """Read again, when few enough wait."""
        if not self._is_reading and len(self._waiting) <= MAX_QUEUED // 2:
            self._is_reading = True
            self._source.resumeProducing()

    def clear(self) -> None:
        """Forget everything: nothing of it may be run."""
        self.lines.clear()
        self._waiting.clear()
