"""The search through the log: what is found, over renames and rotated files, in bounded memory."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from itertools import pairwise
from pathlib import Path

from ftpsd.audit.events import CommandDone, Event, Who
from ftpsd.audit.evidence.log_segments import files_of
from ftpsd.audit.evidence.search import Search, Wanted
from ftpsd.audit.jsonline import encode_event, format_time
from ftpsd.audit.topics.tree_events import FileDeleted, FileRenamed

ALICE, BOB = (Who(f"s-{name}", name, "192.0.2.7", "explicit:21") for name in ("alice", "bob"))


def made(path: Path, *parts: list[Event]) -> list[Path]:
    """Write a log: all *parts* but the last into rotated files, the oldest compressed; a second between events."""
    number = 0
    for age, part in enumerate(parts):
        data = b""
        for event in part:
            number += 1
            data += encode_event(event, number)
        back = len(parts) - 1 - age
        file = path if back == 0 else Path(f"{path}.{back}{'.gz' if back > 1 else ''}")
        file.write_bytes(gzip.compress(data) if back > 1 else data)
    return files_of(path)


def found(files: list[Path], wanted: Wanted) -> list[int]:
    """Return the seconds of the events that are found."""
    return [int(event["time"][17:19]) for event in Search(wanted).events(files)]


def test_each_condition_and_all_together(tmp_path: Path) -> None:
    """User, path, event, session and time, over plain and compressed files, in the order of time."""
    files = made(
        tmp_path / "audit.jsonl",
        [FileDeleted(ALICE, "/in/a.csv"), FileDeleted(BOB, "/in/b.csv")],
        [CommandDone(ALICE, "PWD", "", 257, 0.0), FileDeleted(ALICE, "/in/b.csv")],
        [FileDeleted(BOB, "/in/ü.csv"), FileDeleted(ALICE, "/out/c.csv")],
    )
    table = [
        (Wanted(), [1, 2, 3, 4, 5, 6]),
        (Wanted(user="alice"), [1, 3, 4, 6]),
        (Wanted(user="bob", event="file-deleted"), [2, 5]),
        (Wanted(path="/in/b.csv"), [2, 4]),
        (Wanted(path="/in/ü.csv"), [5]),
        (Wanted(path="/in/*"), [1, 2, 4, 5]),
        (Wanted(path="/*/?.csv", user="alice"), [1, 4, 6]),
        (Wanted(event="command"), [3]),
        (Wanted(session="s-bob"), [2, 5]),
        (Wanted(since=format_time(2), until=format_time(5)), [2, 3, 4]),
        (Wanted(user="alice", since=format_time(4.5)), [6]),
        (Wanted(user="mallory"), []),
    ]
    for wanted, expected in table:
        assert found(files, wanted) == expected, wanted


def test_a_path_is_followed_over_renames(tmp_path: Path) -> None:
    """Of the file and of a directory above it, by the user who sees it under that name; not backwards."""
    files = made(
        tmp_path / "audit.jsonl",
        [
            FileDeleted(ALICE, "/done/a.csv"),
            FileDeleted(ALICE, "/in/a.csv"),
            FileRenamed(ALICE, "/in/a.csv", "/work/a.csv"),
        ],
        [
            FileRenamed(BOB, "/work", "/bobs"),
            FileRenamed(ALICE, "/work", "/done"),
            FileDeleted(BOB, "/done/a.csv"),
            FileDeleted(ALICE, "/done/a.csv"),
            FileDeleted(ALICE, "/bobs/a.csv"),
        ],
    )
    assert found(files, Wanted(path="/in/a.csv")) == [2, 3, 5, 7]
    # A condition that the rename itself does not meet does not lose the track.
    assert found(files, Wanted(path="/in/a.csv", event="file-deleted")) == [2, 7]
    assert found(files, Wanted(path="/in/*.csv", since=format_time(6))) == [7]


def test_names_are_followed_up_to_a_bound(tmp_path: Path) -> None:
    """A client that renames one file for ever costs a bound of memory, and the search says what it left out."""
    names = [f"/{number}" for number in range(1_010)]
    files = made(tmp_path / "audit.jsonl", [FileRenamed(ALICE, old, new) for old, new in pairwise(names)])
    search = Search(Wanted(path="/0"))
    assert sum(1 for _ in search.events(files)) >= 1_000
    assert search.has_lost_track


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    """Lines are read and forgotten, compressed ones too."""
    line = encode_event(FileDeleted(ALICE, "/in/" + "x" * 200), 1.0)
    peaks = []
    for count in (1_000, 10_000):
        file = tmp_path / "audit.jsonl.1.gz"
        file.write_bytes(gzip.compress(line * count, 1))
        tracemalloc.start()
        assert sum(1 for _ in Search(Wanted(user="alice")).events([file])) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]


def test_lines_that_are_none_of_ours_are_passed_over(tmp_path: Path) -> None:
    """A torn line, junk and JSON that is no event cost themselves alone."""
    file = tmp_path / "audit.jsonl"
    good = encode_event(FileDeleted(ALICE, "/a"), 1.0)
    file.write_bytes(b'{"time":"2026' + b"\n" + good + b"[1]\n" + json.dumps({"time": 5}).encode() + b"\n" + good[:-1])
    assert found([file], Wanted()) == [1]
