"""
The lines of a chained log in the order of the chain, over all files, each with its place.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from ftpsd.audit.evidence.link import Head, Link, digest, link_of
from ftpsd.audit.evidence.log_segments import all_lines

# Lines at the beginning of a file that are looked at for its place among the others.
FIRST_LINES: Final = 1000
DAMAGE: Final = (EOFError, zlib.error, gzip.BadGzipFile)


@dataclass(frozen=True, slots=True)
class Line:
    """Line *number* of *file*, with *offset* bytes before it; *link* is its place in the chain, None for no part."""

    file: Path
    number: int
    offset: int
    text: bytes
    link: Link | None

    @property
    def is_torn(self) -> bool:
        """Whether its end is missing, so that it is the last of its file."""
        return not self.text.endswith(b"\n")

    @property
    def head(self) -> Head:
        """This line as the head of the chain."""
        assert self.link is not None
        return Head(self.link.seq, digest(self.text))

    def follows(self, head: Head) -> bool:
        """Return whether this is the line behind *head*."""
        return self.link is not None and self.link.follows(head)


def lines_of(files: Sequence[Path], behind: Line | None = None) -> Iterator[Line]:
    """
    Yield the lines of *files*, those *behind* a line of theirs.

    Raises: OSError, and DAMAGE where a compressed file is damaged.
    """
    for file in files if behind is None else files[files.index(behind.file) :]:
        offset = 0
        for number, text in enumerate(all_lines(file), 1):
            if behind is None or file != behind.file or number > behind.number:
                yield Line(file, number, offset, text, link_of(text))
            offset += len(text)


def in_order(files: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """
    Return the chained ones of *files* in the order of the chain, and those without a chained line.

    Raises: OSError.
    """
    found: list[tuple[int, Path]] = []
    others = []
    for file in files:
        number = _first_number(file)
        if number is None:
            others.append(file)
        else:
            found.append((number, file))
    return [file for _, file in sorted(found)], others


def _first_number(file: Path) -> int | None:
    """Return the number of the first line of *file* that another confirms, else of the first."""
    numbers: list[int] = []
    try:
        for text in islice(all_lines(file), FIRST_LINES):
            link = link_of(text)
            if link is None:
                continue
            if numbers and link.seq == numbers[-1] + 1:
                return numbers[-1]
            numbers.append(link.seq)
    except DAMAGE:
        pass  # said when all of it is read
    return numbers[0] if numbers else None
