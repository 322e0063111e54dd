"""
The reading of the log for a receiver: from a cursor on, over rotations, compressed files and restarts.

A file is known by the hash of its first line, so it may be renamed and compressed between two looks. The files of a log
follow each other by the number of their first line where they are chained, else by its time. Every call blocks.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final

from ftpsd.audit.evidence.link import digest, link_of, read_line
from ftpsd.audit.evidence.log_segments import MAX_LINE, files_of

# One batch: what is in memory for a receiver, beside the buffers of its connection.
MOST_LINES: Final = 500
MOST_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Cursor:
    """*offset* bytes of the file whose first line has the hash *first*; *order* is its place among the files."""

    first: str
    offset: int
    order: tuple[int, str]

    def to_text(self) -> str:
        """Return it as it is kept in the state file."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Cursor:
        """Return the cursor that was kept."""
        fields = json.loads(text)
        number, time = fields["order"]
        return cls(fields["first"], fields["offset"], (number, time))


@dataclass(frozen=True, slots=True)
class Batch:
    """Some *lines*, and the cursor *behind* them; None before the first line of all."""

    lines: list[bytes]
    behind: Cursor | None


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    first: str
    order: tuple[int, str]


class Tail:
    """The reader of *log*; `gone` counts the times that what was to be read next was not there any more."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._stream: IO[bytes] | None = None
        self._at: Cursor | None = None
        self.gone = 0

    def go_to(self, cursor: Cursor | None) -> None:
        """
        Go on behind *cursor*; None: at the beginning of the file that is written now. Raises: OSError.
        """
        self.close()
        self._at = cursor
        if cursor is None:
            return
        file = next((file for file in self._files() if file.first == cursor.first), None)
        if file is None:
            self.gone += 1
            return
        self._open(file, cursor.offset)

    def close(self) -> None:
        """Let the file go."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def read(self) -> Batch:
        """Return the next lines, none where there are none yet. Raises: OSError."""
        if self._stream is None and not self._go_on():
            return Batch([], self._at)
        lines = self._lines()
        # A file that was moved away may have got lines between our last look into it and that at its name.
        while not lines and self._is_left():
            lines = self._lines()
            if lines or not self._go_on():
                break
            lines = self._lines()
        return Batch(lines, self._at)

    def _lines(self) -> list[bytes]:
        assert self._stream is not None
        assert self._at is not None
        lines: list[bytes] = []
        size, offset = 0, self._at.offset
        while len(lines) < MOST_LINES and size < MOST_BYTES:
            try:
                line = self._stream.readline(MAX_LINE)
            except (EOFError, zlib.error, gzip.BadGzipFile):
                break  # it is being compressed, or damaged: the next one goes on
            if not line.endswith(b"\n"):
                if len(line) == MAX_LINE:
                    offset += len(line)  # none of ours
                    continue
                # It is being written, or torn.
                self._stream.seek(offset)
                break
            lines.append(line)
            size += len(line)
            offset += len(line)
        self._at = Cursor(self._at.first, offset, self._at.order)
        return lines

    def _is_left(self) -> bool:
        """Return whether the log is written to another file than this one."""
        assert self._stream is not None
        here = os.fstat(self._stream.fileno())
        try:
            there = os.stat(self._log)
        except OSError:
            return False
        return (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino)

    def _go_on(self) -> bool:
        """Go to the beginning of the next file; return whether there is one."""
        at = self._at
        if at is None:
            found = [file for file in self._files() if file.path == self._log]
        else:
            found = [file for file in self._files() if file.order > at.order]
        file = min(found, key=lambda each: each.order, default=None)
        if file is None:
            return False
        self.close()
        self._open(file, 0)
        return True

    def _open(self, file: _File, offset: int) -> None:
        opened: IO[bytes] = gzip.open(file.path) if file.path.suffix == ".gz" else open(file.path, "rb")  # type: ignore[assignment]  # noqa: SIM115
        self._stream = opened
        try:
            opened.seek(offset)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            pass  # what is not there is not read either
        self._at = Cursor(file.first, offset, file.order)

    def _files(self) -> Iterator[_File]:
        for path in files_of(self._log):
            try:
                with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as stream:
                    line = stream.readline(MAX_LINE)
            except (OSError, EOFError, zlib.error):
                continue  # it was deleted, or is being compressed
            if line.endswith(b"\n"):
                link, fields = link_of(line), read_line(line) or {}
                yield _File(path, digest(line), (0 if link is None else link.seq, str(fields.get("time", ""))))
