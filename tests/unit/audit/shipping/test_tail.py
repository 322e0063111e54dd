"""The reading of the log for a receiver: batches, cursors, rotations."""

from __future__ import annotations

import gzip
from pathlib import Path

from ftpsd.audit.jsonline import encode_event
from ftpsd.audit.shipping.tail import MOST_BYTES, MOST_LINES, Cursor, Tail
from ftpsd.audit.topics.tree_events import FileDeleted
from tests.unit.audit.samples import WHO


def lines(first: int, last: int) -> list[bytes]:
    return [encode_event(FileDeleted(WHO, f"/{number}"), number) for number in range(first, last + 1)]


def all_of(tail: Tail) -> list[bytes]:
    """Read until there is nothing."""
    found: list[bytes] = []
    while batch := tail.read().lines:
        found += batch
    return found


def append(path: Path, more: list[bytes]) -> None:
    with open(path, "ab") as stream:
        stream.write(b"".join(more))


def test_batches_are_bounded(tmp_path: Path) -> None:
    """By lines and by bytes, whatever waits."""
    log = tmp_path / "audit.jsonl"
    append(log, lines(1, 2 * MOST_LINES))
    tail = Tail(log)
    assert len(tail.read().lines) == MOST_LINES
    log.write_bytes(b"".join(b'{"time":"x","text":"%b"}\n' % (b"x" * 60_000) for _ in range(100)))
    tail.go_to(None)
    assert sum(map(len, tail.read().lines)) < MOST_BYTES + 70_000


def test_a_line_that_is_being_written_waits(tmp_path: Path) -> None:
    """Half a line is none, and comes whole later."""
    log, (first, second) = tmp_path / "audit.jsonl", lines(1, 2)
    append(log, [first, second[:20]])
    tail = Tail(log)
    assert tail.read().lines == [first]
    assert tail.read().lines == []
    append(log, [second[20:]])
    assert tail.read().lines == [second]


def test_rotations_are_followed_and_nothing_is_read_twice(tmp_path: Path) -> None:
    """With lines that are written to the old file behind its rotation, several files at once, and an empty new one."""
    log = tmp_path / "audit.jsonl"
    append(log, lines(1, 3))
    tail = Tail(log)
    assert tail.read().lines == lines(1, 3)
    log.rename(f"{log}.2")
    append(Path(f"{log}.2"), lines(4, 4))
    append(log, lines(5, 6))
    log.rename(f"{log}.1")
    Path(f"{log}.1.gz").write_bytes(gzip.compress(Path(f"{log}.1").read_bytes()))
    log.touch()
    assert all_of(tail) == lines(4, 6)
    append(log, lines(7, 8))
    assert all_of(tail) == lines(7, 8)


def test_a_cursor_is_good_for_a_file_that_was_renamed_and_compressed(tmp_path: Path) -> None:
    """It knows the file by its first line, so a restart goes on at the very line."""
    log = tmp_path / "audit.jsonl"
    append(log, lines(1, 3))
    first = Tail(log)
    behind = first.read().behind
    assert behind is not None
    append(log, lines(4, 5))
    Path(f"{log}.1.gz").write_bytes(gzip.compress(log.read_bytes()))
    log.write_bytes(b"".join(lines(6, 6)))
    later = Tail(log)
    later.go_to(Cursor.from_text(behind.to_text()))
    assert (all_of(later), later.gone) == (lines(4, 6), 0)


def test_a_file_that_was_deleted_unread_is_counted(tmp_path: Path) -> None:
    """The lines that are left are read, and the loss is known."""
    log = tmp_path / "audit.jsonl"
    append(log, lines(1, 3))
    behind = Tail(log)
    cursor = behind.read().behind
    log.write_bytes(b"".join(lines(9, 9)))
    later = Tail(log)
    later.go_to(cursor)
    assert (all_of(later), later.gone) == (lines(9, 9), 1)


def test_there_may_be_no_log_yet(tmp_path: Path) -> None:
    """It is read when it comes."""
    tail = Tail(tmp_path / "audit.jsonl")
    assert tail.read().lines == []
    append(tmp_path / "audit.jsonl", lines(1, 1))
    assert tail.read().lines == lines(1, 1)
