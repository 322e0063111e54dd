"""Manipulations of a chained log, random ones too: each is found, by its kind, at its place."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftpsd.audit.evidence.hash_chain import checkpoint_file
from ftpsd.audit.evidence.link import Head, head_of, link, link_of, sign
from ftpsd.audit.evidence.verify import Kind, Report, verify
from tests.unit.audit.evidence.logs import KEY, PATIENCE, chained, put, settled

Lines = list[list[bytes]]
# Of a file and a line of it, from 0.
At = tuple[int, int]

EXAMPLES = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LINES = 20


class Original:
    """A log of three files, each line of them covered by a checkpoint."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "audit.jsonl"
        log = chained(self.path, lines=7)
        log.start()
        for number in (2, 1):
            put(log, number * 100, number * 100 + LINES - 1)
            settled(log)
            self.path.rename(f"{self.path}.{number}")
            log.reopen()
        put(log, 1, LINES)
        assert log.stop(PATIENCE)
        self.files = [Path(f"{self.path}.2"), Path(f"{self.path}.1"), self.path]
        self.lines: Lines = [file.read_bytes().splitlines(keepends=True) for file in self.files]
        self.all = [line for content in self.lines for line in content]
        self.kept = checkpoint_file(self.path).read_bytes()

    def check(self, lines: Lines, *, kept: bool = True, keys: bool = True) -> Report:
        """Check the log as if these were its lines; a file without any is gone."""
        for file, content in zip(self.files, lines, strict=True):
            file.write_bytes(b"".join(content)) if content else file.unlink(missing_ok=True)
        there = [file for file, content in zip(self.files, lines, strict=True) if content]
        return verify(there[::-1], [KEY.public_key()] if keys else [], self.kept if kept else None)

    def found(self, lines: Lines) -> tuple[Kind, At]:
        """Return what is found in *lines*."""
        broken = self.check(lines).broken
        assert broken is not None, "nothing was found"
        return broken.kind, (self.files.index(broken.place.file), broken.place.number - 1)

    def copy(self) -> Lines:
        """Return the lines, to be changed."""
        return [list(content) for content in self.lines]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    return Original(tmp_path_factory.mktemp("log"))


def places(original: Original) -> list[At]:
    """Return the place of each line."""
    return [(file, at) for file, content in enumerate(original.lines) for at in range(len(content))]


def test_the_log_is_good_as_it_was_written(original: Original) -> None:
    """In any order of the files, and signed to its end."""
    report = original.check(original.copy())
    assert (report.broken, report.unsigned, report.torn, report.before) == (None, 0, [], 0)
    assert report.files == original.files
    assert report.lines == len(original.all) == report.last


@EXAMPLES
@given(st.data())
def test_a_changed_line_is_found(original: Original, data: st.DataObject) -> None:
    """Any character of any line, that of the last one and of checkpoints too."""
    file, at = data.draw(st.sampled_from(places(original)))
    lines = original.copy()
    text = lines[file][at]
    column = data.draw(st.integers(0, len(text) - 2))
    letter = data.draw(st.integers(0x20, 0x7E).filter(lambda code: code != text[column]))
    lines[file][at] = text[:column] + bytes([letter]) + text[column + 1 :]
    assert original.found(lines) == (Kind.CHANGED, (file, at))


@EXAMPLES
@given(st.data())
def test_removed_lines_are_found(original: Original, data: st.DataObject) -> None:
    """One or several; at the end of a file that is a truncation, and a whole file is a gap between segments."""
    file, at = data.draw(st.sampled_from(places(original)))
    lines = original.copy()
    count = data.draw(st.integers(1, len(lines[file]) - at))
    reaches_end = at + count == len(lines[file])
    if at == 0 and reaches_end:
        # Older files than those that are there may have been deleted, as the rules of the house say.
        if file == 0:
            return
        expected = (Kind.GAP, (file + 1, 0)) if file == 1 else (Kind.TRUNCATED, (1, len(lines[1])))
    else:
        expected = (Kind.TRUNCATED if reaches_end else Kind.REMOVED, (file, at))
    del lines[file][at : at + count]
    assert original.found(lines) == expected


def junk(original: Original, before: Head | None, draw: Callable[[st.SearchStrategy[bytes]], bytes]) -> bytes:
    """Return a line to be inserted behind *before*: text, an event without a link, a copy, a forged link."""
    event = b'{"time":"2026-01-01T00:00:00.000000Z","event":"logged-in","user":"mallory"}\n'
    kinds = [st.just(b"junk\n"), st.just(b"\n"), st.just(event), st.sampled_from(original.all)]
    kinds.append(st.just(link(event, before or Head(0, "0" * 64))[0]))
    kinds.append(st.integers(1, 10**9).map(lambda seq: link(event, Head(seq, "a" * 64))[0]))
    return draw(st.one_of(kinds))


@EXAMPLES
@given(st.data())
def test_inserted_lines_are_found(original: Original, data: st.DataObject) -> None:
    """Wherever a checkpoint comes behind them: junk, copies of other lines, lines that were made to fit."""
    file, at = data.draw(st.sampled_from(places(original)))
    lines = original.copy()
    everything = original.all
    number = everything.index(lines[file][at])
    line = junk(original, head_of(everything[number - 1]) if number else None, data.draw)
    lines[file].insert(at, line)
    kind, place = original.found(lines)
    assert kind is Kind.INSERTED
    # Of two equal lines either is the one too many, and of two that begin a file, where nothing stands before them.
    is_either = line == original.lines[file][at] or (not number and b'"audit-segment"' in line)
    assert place in ([(file, at), (file, at + 1)] if is_either else [(file, at)])


@EXAMPLES
@given(st.data())
def test_swapped_lines_are_found(original: Original, data: st.DataObject) -> None:
    """Two lines of one file or of two, near or far, are found at the first."""
    first, second = sorted(data.draw(st.lists(st.sampled_from(places(original)), min_size=2, max_size=2, unique=True)))
    lines = original.copy()
    (file, at), (other, there) = first, second
    lines[file][at], lines[other][there] = lines[other][there], lines[file][at]
    assert original.found(lines) == (Kind.SWAPPED, first)


@EXAMPLES
@given(st.data())
def test_a_truncated_log_is_found(original: Original, data: st.DataObject) -> None:
    """Cut off anywhere, also within a line, and with all files behind: the checkpoint beside the log knows its end."""
    file, at = data.draw(st.sampled_from(places(original)[1:]))
    lines = original.copy()
    rest = lines[file][at][: data.draw(st.integers(0, len(lines[file][at]) - 1))]
    lines[file][at:] = [rest] if rest else []
    lines[file + 1 :] = [[] for _ in lines[file + 1 :]]
    expected = (file, at) if at else (file - 1, len(lines[file - 1]))
    assert original.found(lines) == (Kind.TRUNCATED, expected)


def forged(original: Original, key: Ed25519PrivateKey) -> Lines:
    """Return the log with one event changed, and all links behind it made anew, signed with *key*."""
    lines, head = original.copy(), None
    for content in lines:
        for at, line in enumerate(content):
            line = line.replace(b'"/205"', b'"/666"')
            found = link_of(line)
            assert found is not None
            if head is not None:
                bare = line[: line.rindex(b',"seq":')] + b"}\n"
                line, head = link(bare, head)
                if found.signature is not None:
                    line = sign(line, key)
            head = head_of(line)
            content[at] = line
    return lines


def test_a_chain_that_was_made_anew_has_a_bad_signature(original: Original) -> None:
    """A forger without the key cannot sign; another key has another name."""
    lines = forged(original, Ed25519PrivateKey.generate())
    kind, (file, at) = original.found(lines)
    assert (kind, file) == (Kind.SIGNATURE, 0)
    assert b"audit-checkpoint" in lines[file][at]
    assert original.check(lines, kept=False, keys=False).broken is None


def test_a_chain_without_a_signature_vouches_for_nothing(original: Original) -> None:
    """Checkpoints that are left out of a chain made anew do not make it a good one."""
    lines, head = [[], [], []], Head(0, "0" * 64)  # type: Lines, Head
    for content, kept in zip(original.lines, lines, strict=True):
        for line in content:
            if b"audit-checkpoint" not in line:
                following, head = link(line[: line.rindex(b',"seq":')] + b"}\n", head)
                kept.append(following)
    broken = original.check(lines, kept=False).broken
    assert broken is not None
    assert broken.kind is Kind.UNSIGNED


def test_a_compressed_file_is_checked_and_its_damage_found(original: Original, tmp_path: Path) -> None:
    """Rotated files are compressed; one that is cut off is no end of the log."""
    files = []
    for number, content in enumerate(original.lines):
        files.append(tmp_path / (f"audit.jsonl.{2 - number}.gz" if number < 2 else "audit.jsonl"))
        data = b"".join(content)
        files[-1].write_bytes(gzip.compress(data) if number < 2 else data)
    assert verify(files, [KEY.public_key()], original.kept).broken is None
    files[1].write_bytes(files[1].read_bytes()[:-20])
    broken = verify(files, [KEY.public_key()], original.kept).broken
    assert broken is not None
    assert (broken.kind, broken.place.file) == (Kind.DAMAGED, files[1])


def test_lost_lines_are_counted(tmp_path: Path) -> None:
    """The losses that the log admits are part of the report."""
    path = tmp_path / "audit.jsonl"
    log = chained(path)
    log._limit = 2
    put(log, 1, 5)
    log.start()
    assert log.stop(PATIENCE)
    report = verify([path], [KEY.public_key()])
    assert (report.broken, report.lost) == (None, 3)
    assert json.loads(path.read_bytes().splitlines()[1])["event"] == "audit-lost"
