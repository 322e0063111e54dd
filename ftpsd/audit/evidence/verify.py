"""
The check of a chained log: the first line that is not as it was written, with its place and what was done to it.

    verify(files, keys, checkpoint)  ->  Report

Lines are read one after the other, so the size of a log costs time and no memory. The chain is broken at the first line
that does not follow the one before; the lines behind it are then read once more, to tell what has happened. Lines
behind the last checkpoint have no signature yet: whoever can write the log can change these.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NoReturn

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ftpsd.audit.evidence.line_walk import DAMAGE, Line, in_order, lines_of
from ftpsd.audit.evidence.link import (
    CHECKPOINT,
    LOST,
    NOTHING,
    ROTATED,
    SEGMENT,
    TORN,
    Head,
    Link,
    digest,
    head_of,
    is_signed_by,
    name_of,
    read_line,
)

# Lines that are remembered, to know where inserted ones begin.
REMEMBERED: Final = 10_000
# Places of torn lines in a report.
MOST_TOLD: Final = 100
_OURS: Final = b'"event":"audit-'


class Kind(StrEnum):
    """The manipulation or the damage found in a log."""

    CHANGED = "changed"
    REMOVED = "removed"
    INSERTED = "inserted"
    SWAPPED = "swapped"
    TRUNCATED = "truncated"
    GAP = "gap between segments"
    SIGNATURE = "bad signature"
    UNSIGNED = "no signature"
    DAMAGED = "damaged file"


@dataclass(frozen=True, slots=True)
class Place:
    """Line *number* of *file*, from 1."""

    file: Path
    number: int

    def __str__(self) -> str:
        return f"{self.file}:{self.number}"


@dataclass(frozen=True, slots=True)
class Break:
    """The first bad line; *text* says to people what was done."""

    kind: Kind
    place: Place
    text: str


@dataclass(slots=True)
class Report:
    """The findings: *lines* that are good, up to the first bad one where there is one."""

    files: list[Path]
    unchained: list[Path]
    lines: int = 0
    first: int | None = None
    last: int | None = None
    checkpoints: int = 0
    checked: bool = False
    vouched: Place | None = None
    """The last checkpoint: what stands before it is as it was written."""
    unsigned: int = 0
    """The lines behind it."""
    lost: int = 0
    """The lines that the log itself says were lost."""
    before: int = 0
    """The lines from before the chain began."""
    torn: list[Place] = field(default_factory=list)
    broken: Break | None = None


class _Broken(Exception):
    def __init__(self, kind: Kind, file: Path, number: int, text: str) -> None:
        super().__init__(text)
        self.found = Break(kind, Place(file, number), text)


def verify(files: Sequence[Path], keys: Sequence[Ed25519PublicKey], checkpoint: bytes | None = None) -> Report:
    """
    Check *files*, in any order, against *keys*; without any no signature is checked.

    *checkpoint* is the last one as it was kept elsewhere, read before the files. Raises: OSError.
    """
    chained, others = in_order(files)
    report = Report(chained, others, checked=bool(keys))
    walk = _Walk(report, {name_of(key): key for key in keys}, checkpoint)
    try:
        walk.run()
    except _Broken as broken:
        report.broken = broken.found
    return report


class _Walk:
    """One way through the lines of *report*'s files."""

    def __init__(self, report: Report, keys: dict[str, Ed25519PublicKey], checkpoint: bytes | None) -> None:
        self._report = report
        self._keys = keys
        self._kept = checkpoint
        self._kept_head = None if checkpoint is None else head_of(checkpoint)
        self._last: Line | None = None
        self._head: Head | None = None
        # Of each good line: its head, and the place of the line behind it.
        self._recent: deque[tuple[Head, Line]] = deque(maxlen=REMEMBERED)
        self._is_closed = False

    def run(self) -> None:
        """Fill the report. Raises: _Broken."""
        self._check_kept()
        ahead: Line | None = None
        for line in self._lines():
            if ahead is not None:
                self._take(ahead, line)
            ahead = line
        if ahead is not None:
            self._take(ahead, None)
        self._check_end()

    def _lines(self) -> Iterator[Line]:
        line: Line | None = None
        try:
            for line in lines_of(self._report.files):
                yield line
        except DAMAGE as error:
            file, number = (line.file, line.number + 1) if line is not None else (self._report.files[0], 1)
            raise _Broken(Kind.DAMAGED, file, number, f"the compressed file is cut off or damaged: {error}") from None

    # --- one line

    def _take(self, line: Line, following: Line | None) -> None:
        report, link = self._report, line.link
        if line.is_torn:
            self._note_torn(line)
            return
        if self._head is None:
            if link is None:
                report.before += 1
                return
            self._begin(line, following)
        elif link is None and _is_told_as_torn(line, following, self._head):
            self._note_torn(line)
            return
        elif not line.follows(self._head):
            self._explain(line, following)
        self._accept(line, following)

    def _accept(self, line: Line, following: Line | None) -> None:
        report = self._report
        fields = _own_fields(line)
        event = fields.get("event")
        self._is_closed = event == CHECKPOINT and fields.get("reason") == ROTATED
        head = line.head
        if self._kept_head is not None and head.seq == self._kept_head.seq and head != self._kept_head:
            is_next = following is not None and following.link is not None and following.head == self._kept_head
            text = "it is another line than the checkpoint that was kept beside the log"
            self._fail(Kind.INSERTED if is_next else Kind.CHANGED, line, text)
        if event == CHECKPOINT:
            self._check_signature(line, following, str(fields.get("key")))
            report.checkpoints += 1
            report.vouched, report.unsigned = Place(line.file, line.number), 0
        else:
            report.unsigned += 1
        if event == LOST and isinstance(fields.get("lost"), int):
            report.lost += fields["lost"]
        report.lines += 1
        report.first = head.seq if report.first is None else report.first
        report.last = head.seq
        self._head, self._last = head, line
        self._recent.append((head, line))

    def _begin(self, line: Line, following: Line | None) -> None:
        """Take the first line of all. Raises: _Broken."""
        assert line.link is not None
        first, after = line.link, None if following is None else following.link
        if (first.seq == 1) != (first.prev == NOTHING.digest):
            self._fail(Kind.CHANGED, line, f"the chain begins with {NOTHING.digest[:8]}…, and nothing else does")
        if following is not None and after is not None and not following.follows(line.head):
            self._doubt_first(line, following, after)
        fields = _own_fields(line)
        if fields.get("event") != SEGMENT:
            self._explain_beginning(line)
        offset = fields.get("offset")
        if offset != line.offset:
            is_more = isinstance(offset, int) and line.offset > offset
            text = f"in front of the chain's beginning are {line.offset} bytes and not {offset}"
            self._fail(Kind.INSERTED if is_more else Kind.REMOVED, Place(line.file, 1), text)

    def _doubt_first(self, line: Line, following: Line, after: Link) -> None:
        """Look whether the first *line* of all is the bad one, since that *following* it does not. Raises: _Broken."""
        files = self._report.files
        assert line.link is not None
        if after.seq <= line.link.seq:
            for each in lines_of(files, line):
                if each.link is not None and each.link.seq == after.seq - 1 and digest(each.text) == after.prev:
                    text = f"line {each.link.seq} belongs here, which is at {Place(each.file, each.number)}"
                    self._fail(Kind.SWAPPED, line, text)
        if after.seq != line.link.seq + 1 or _Behind(files, line, line.head).continuation is not None:
            return
        if _Behind(files, following, following.head).continuation is not None:
            self._fail(Kind.CHANGED, line, "the line behind it has the hash of another")

    def _explain_beginning(self, line: Line) -> NoReturn:
        """Raises: _Broken for a chained *line* that stands where a chain begins, and is no beginning."""
        for each in lines_of([line.file], line):
            fields = _own_fields(each)
            offset = fields.get("offset")
            if each.link is not None and fields["event"] == SEGMENT and isinstance(offset, int):
                behind = _Behind(self._report.files, line, Head(each.link.seq - 1, each.link.prev))
                kind = Kind.SWAPPED if behind.is_moved else Kind.INSERTED
                self._fail(kind, line, f"the beginning of this file is at {Place(each.file, each.number)}")
        if line.number > 1:
            self._fail(Kind.CHANGED, Place(line.file, 1), "the chain has no beginning in this file")
        self._fail(Kind.REMOVED, line, "the beginning of this file is missing")

    def _check_signature(self, line: Line, following: Line | None, name: str) -> None:
        if not self._keys:
            return
        key = self._keys.get(name)
        if key is not None and is_signed_by(line.text, key):
            return
        if following is not None and following.link is not None and not following.follows(line.head):
            self._fail(Kind.CHANGED, line, "this checkpoint is not as it was written")
        why = "its signature is wrong" if key is not None else f"it is signed by {name}, which is none of the keys"
        self._fail(Kind.SIGNATURE, line, why)

    def _note_torn(self, line: Line) -> None:
        if len(self._report.torn) < MOST_TOLD:
            self._report.torn.append(Place(line.file, line.number))

    # --- what has happened

    def _explain(self, line: Line, following: Line | None) -> NoReturn:
        """Raises: _Broken, always."""
        assert self._head is not None
        assert self._last is not None
        link, head, last = line.link, self._head, self._last
        wanted = head.seq + 1
        if link is not None and link.prev == head.digest:
            self._fail(Kind.CHANGED, line, f"its number is {link.seq} in place of {wanted}")
        behind = _Behind(self._report.files, line, head)
        if link is None:
            if behind.continuation is not None:
                self._fail(Kind.INSERTED, line, "it is no line of the chain, which goes on behind it")
            if self._is_closed and line.file == last.file:
                self._fail(Kind.INSERTED, line, "nothing is written to a file behind its last checkpoint")
            self._fail(Kind.CHANGED, line, "it is no line of the chain any more")
        elif behind.continuation is not None:
            found = behind.continuation
            kind = Kind.SWAPPED if link.seq > wanted and behind.is_moved else Kind.INSERTED
            self._fail(kind, line, f"line {wanted} belongs here, which is at {Place(found.file, found.number)}")
        elif link.seq == wanted:
            is_good = following is not None and following.follows(line.head)
            if is_good or self._is_signed(line):
                self._fail(Kind.CHANGED, last, "the line behind it has the hash of another")
            self._fail(Kind.CHANGED, line, "it has the hash of another line than the one before")
        elif link.seq < wanted:
            at = next((at for at, (known, _) in enumerate(self._recent) if link.follows(known)), None)
            if at is not None:
                first = self._recent[at + 1][1]
                text = f"the chain goes on at {line.file}:{line.number} as if this were not there"
                self._fail(Kind.INSERTED, first, text)
            self._fail(Kind.INSERTED, line, f"line {wanted} belongs here, this is number {link.seq}")
        missing = _numbers(wanted, link.seq - 1)
        if line.file != last.file and _own_fields(line)["event"] == SEGMENT:
            if self._is_closed:
                self._fail(Kind.GAP, line, f"{missing} are in none of these files")
            place = Place(last.file, last.number + 1)
            self._fail(Kind.TRUNCATED, place, f"the end of this file, {missing}, is cut off")
        self._fail(Kind.REMOVED, line, f"{missing} are missing before it")

    def _is_signed(self, line: Line) -> bool:
        return any(is_signed_by(line.text, key) for key in self._keys.values())

    def _fail(self, kind: Kind, place: Line | Place, text: str) -> NoReturn:
        raise _Broken(kind, place.file, place.number, text)

    # --- beginning and end

    def _check_kept(self) -> None:
        if self._kept is None or not self._report.files:
            return
        if self._kept_head is None or (self._keys and not self._is_kept_signed()):
            last = self._report.files[-1]
            raise _Broken(Kind.SIGNATURE, last, 0, "the checkpoint that is kept beside the log is not signed by a key")

    def _is_kept_signed(self) -> bool:
        return any(is_signed_by(self._kept or b"", key) for key in self._keys.values())

    def _check_end(self) -> None:
        report, last = self._report, self._last
        if last is None:
            return
        if self._kept_head is not None and self._kept_head.seq > last.head.seq:
            missing = _numbers(last.head.seq + 1, self._kept_head.seq)
            self._fail(Kind.TRUNCATED, Place(last.file, last.number + 1), f"{missing} and all behind are cut off")
        if self._keys and not report.checkpoints:
            self._fail(Kind.UNSIGNED, last, "no checkpoint vouches for any of these lines")


class _Behind:
    """The clues that the lines behind *line*, which does not follow *head*, give about it."""

    def __init__(self, files: Sequence[Path], line: Line, head: Head) -> None:
        self.continuation: Line | None = None
        """The line that should stand in its place."""
        link = line.link
        is_there_again, is_followed, highest = False, False, 0
        last: Line | None = None
        try:
            for each in lines_of(files, line):
                if each.link is None:
                    continue
                if self.continuation is None and each.follows(head):
                    self.continuation = each
                highest, last = max(highest, each.link.seq), each
                if link is not None:
                    is_there_again |= each.link.seq == link.seq
                    is_followed |= each.link.seq == link.seq + 1 and each.link.prev == digest(line.text)
        except DAMAGE:
            pass  # what can be read tells enough
        # The last line of all is followed by none; where it was swapped, the other one is the last now.
        is_last = link is not None and link.seq == highest + 1 and last is self.continuation
        is_of_chain = is_followed or is_last
        self.is_moved = is_of_chain and not is_there_again


def _own_fields(line: Line) -> dict[str, Any]:
    """Return the fields of a line about the log itself."""
    fields = read_line(line.text) if _OURS in line.text[:100] else None
    return fields or {"event": None}


def _is_told_as_torn(line: Line, following: Line | None, head: Head) -> bool:
    """Return whether the line *following* tells that *line* was torn by a crash."""
    if following is None or not following.follows(head):
        return False
    fields, rest = _own_fields(following), line.text[:-1]
    told = fields.get("event"), fields.get("bytes"), fields.get("sha256")
    return told == (TORN, len(rest), digest(rest))


def _numbers(first: int, last: int) -> str:
    return f"the line with the number {first}" if first == last else f"the lines {first} to {last}"
