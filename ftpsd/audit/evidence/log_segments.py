"""
The files of a log: the one that is written, and those that it was rotated into, plain or gzip; read line by line.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

# audit.jsonl.1, audit.jsonl.2.gz, and with dateext audit.jsonl-20270131.gz
_ROTATED: Final = re.compile(r"[.-][0-9]{1,14}(?:\.gz)?")
# Bytes. A line of ours has some thousands: every text in it is bounded.
MAX_LINE: Final = 1 << 20


def files_of(log: Path) -> list[Path]:
    """Return *log* and the files that it was rotated into, those that are there."""
    return sorted([*([log] if log.is_file() else []), *rotated_files(log)])


def rotated_files(log: Path) -> list[Path]:
    """Return the files that *log* was rotated into, in no order."""
    return [
        each
        for each in log.parent.iterdir()
        if each.name.startswith(log.name) and _ROTATED.fullmatch(each.name, len(log.name)) and each.is_file()
    ]


def whole_lines(file: Path) -> Iterator[bytes]:
    """Yield the lines of *file*; those that are too long to be ours, and a last one without its end, are left out."""
    try:
        yield from (line for line in all_lines(file) if line.endswith(b"\n"))
    except (EOFError, zlib.error, gzip.BadGzipFile):
        # Cut off, by a full disk or a rotation that goes on: the lines before it count.
        return


def all_lines(file: Path) -> Iterator[bytes]:
    """
    Yield the lines of *file*, plain or gzip; of one that is too long to be ours the end alone.

    Raises: OSError, and EOFError, zlib.error or gzip.BadGzipFile where a compressed one is damaged.
    """
    stream: IO[bytes]
    with gzip.open(file, "rb") if file.suffix == ".gz" else open(file, "rb") as stream:  # type: ignore[assignment]
        while line := stream.readline(MAX_LINE):
            is_long = False
            while len(line) == MAX_LINE and not line.endswith(b"\n"):
                line, is_long = stream.readline(MAX_LINE), True
            yield b"\n" if is_long else line
