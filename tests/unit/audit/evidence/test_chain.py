"""The chained log: links, checkpoints, rotation, torn lines, several writers."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from contextlib import nullcontext
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from ftpsd.audit.audit_log import AuditLog
from ftpsd.audit.evidence.hash_chain import Chain, checkpoint_file
from ftpsd.audit.evidence.link import NOTHING, is_signed_by, link_of
from ftpsd.audit.evidence.verify import Kind
from ftpsd.durable.byte_lock import ByteLock, nameless_file
from tests.unit.audit.evidence.logs import KEY, PATIENCE, chained, checked, put, settled, write


def events(path: Path) -> list[dict[str, Any]]:
    """Return the lines of *path*."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_each_line_has_its_number_and_the_hash_of_the_bytes_before(tmp_path: Path) -> None:
    """Anybody can check it with sha256sum: the hash is that of the line as it stands in the file, line end included."""
    log = tmp_path / "audit.jsonl"
    write(log, 1, 25)
    before = NOTHING.digest
    for number, line in enumerate(log.read_bytes().splitlines(keepends=True), 1):
        fields = json.loads(line)
        assert (fields["seq"], fields["prev"]) == (number, before)
        before = hashlib.sha256(line).hexdigest()
    assert events(log)[0]["event"] == "audit-segment"
    assert [fields["path"] for fields in events(log) if "path" in fields] == [f"/{number}" for number in range(1, 26)]
    report = checked(log)
    assert (report.broken, report.unsigned, report.first, report.last) == (None, 0, 1, number)


def test_checkpoints_are_signed_and_the_last_lies_beside_the_log(tmp_path: Path) -> None:
    """The end of the daemon is a checkpoint, too, so that nothing stays unsigned."""
    log = tmp_path / "audit.jsonl"
    write(log, 1, 25)
    lines = log.read_bytes().splitlines(keepends=True)
    signed = [line for line in lines if b'"event":"audit-checkpoint"' in line]
    assert all(is_signed_by(line, KEY.public_key()) for line in signed)
    assert json.loads(signed[-1])["reason"] == "stopped"
    assert checkpoint_file(log).read_bytes() == lines[-1] == signed[-1]


def test_a_quiet_log_is_signed_when_its_time_has_come(tmp_path: Path) -> None:
    """A line that no other follows does not wait for the thousandth."""
    path = tmp_path / "audit.jsonl"
    log = chained(path, lines=1000, seconds=0.01)
    log.start()
    put(log, 1, 1)
    idle = threading.Event()
    for _ in range(1000):
        if len(events(path)) >= 3:
            break
        idle.wait(0.01)
    try:
        assert [fields.get("reason") for fields in events(path)] == [None, None, "interval"]
    finally:
        assert log.stop(PATIENCE)
    # All is signed: the end adds nothing.
    assert len(events(path)) == 3


def test_a_restart_goes_on_with_the_chain(tmp_path: Path) -> None:
    """The head of the chain is the end of the file."""
    log = tmp_path / "audit.jsonl"
    write(log, 1, 5)
    write(log, 6, 9)
    report = checked(log)
    assert (report.broken, report.checkpoints) == (None, 2)
    assert sum(fields["event"] == "audit-segment" for fields in events(log)) == 1


@pytest.mark.parametrize("creates", [True, False], ids=["create", "nocreate"])
def test_a_rotated_file_is_closed_and_the_next_goes_on(tmp_path: Path, creates: bool) -> None:
    """Both ways of logrotate: the new file is there before the order to reopen, or is made by it."""
    path, old = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1"
    log = chained(path)
    log.start()
    put(log, 1, 5)
    settled(log)
    path.rename(old)
    if creates:
        path.touch(0o640)
    put(log, 6, 7)
    settled(log)
    log.reopen()
    put(log, 8, 9)
    assert log.stop(PATIENCE)
    assert events(old)[-1]["reason"] == "rotated"
    first = events(path)[0]
    assert (first["event"], first["offset"], first["seq"]) == ("audit-segment", 0, events(old)[-1]["seq"] + 1)
    report = checked(path, old)
    assert (report.broken, report.files) == (None, [old, path])


def test_an_order_without_a_rotation_changes_nothing(tmp_path: Path) -> None:
    """Every reload reopens the log."""
    path = tmp_path / "audit.jsonl"
    log = chained(path)
    log.start()
    put(log, 1, 2)
    log.reopen()
    put(log, 3, 4)
    assert log.stop(PATIENCE)
    assert [fields.get("reason") for fields in events(path)].count("rotated") == 0
    assert checked(path).broken is None


def test_a_file_that_was_rotated_while_no_daemon_ran_is_gone_on_with(tmp_path: Path) -> None:
    """Also after a crash, when the last checkpoint is older than the last line."""
    path, old = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1"
    log = chained(path, lines=3)
    log.start()
    put(log, 1, 5)
    settled(log)
    path.rename(old)
    # Nothing but the file is left of a process that was killed.
    os.close(log._fd)
    log._fd = os.open(os.devnull, os.O_RDWR)
    write(path, 6, 7)
    report = checked(path, old)
    assert (report.broken, report.files) == (None, [old, path])


def test_a_log_from_before_the_chain_is_told_and_not_covered(tmp_path: Path) -> None:
    """A chain may begin in the middle of a file; lines that are put in front of it later show."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b'{"time":"2026-01-01T00:00:00.000000Z","event":"started"}\n')
    write(path, 1, 3)
    report = checked(path)
    assert (report.broken, report.before) == (None, 1)
    path.write_bytes(b'{"event":"logged-in"}\n' + path.read_bytes())
    found = checked(path).broken
    assert found is not None
    assert (found.kind, found.place.number) == (Kind.INSERTED, 1)


def test_a_torn_line_is_told_as_such(tmp_path: Path) -> None:
    """The next line ends and tells what a crash leaves, wherever the line was cut; it is no manipulation."""
    path = tmp_path / "audit.jsonl"
    write(path, 1, 3)
    # It is written when the lines up to there are on the disk, so it is never that of a torn line.
    kept = checkpoint_file(path).read_bytes()
    write(path, 4, 6)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for cut in (1, 2, *range(3, len(lines[-1]), 19)):
        path.write_bytes(whole[:-cut])
        checkpoint_file(path).write_bytes(kept)
        report = checked(path)
        assert (report.broken, [place.number for place in report.torn]) == (None, [len(lines)])
        if cut < 100:
            write(path, 7, 8)
            report = checked(path)
            told = [
                fields for fields in map(_fields, path.read_bytes().splitlines()) if fields.get("event") == "audit-torn"
            ]
            # Where the line end alone was missing, the line is whole.
            torn = [] if cut == 1 else [len(lines)]
            assert (report.broken, [place.number for place in report.torn], len(told)) == (None, torn, len(torn))


def _fields(line: bytes) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = json.loads(line)
    except ValueError:
        return {}
    return fields


def test_a_full_disk_loses_lines_and_breaks_no_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line that was cut is told, the lost ones are admitted, and the numbers go on without a hole."""
    path = tmp_path / "audit.jsonl"
    log = chained(path, lines=1000)
    log.start()
    put(log, 1, 3)
    settled(log)
    room = path.stat().st_size + 500
    real = os.write

    def write_some(fd: int, data: Any) -> int:
        if fd != log._fd:
            return real(fd, data)
        left = room - os.fstat(fd).st_size
        if left <= 0:
            raise OSError(28, "No space left on device")
        return real(fd, bytes(data)[:left])

    monkeypatch.setattr(os, "write", write_some)
    put(log, 4, 50)
    settled(log)
    monkeypatch.undo()
    put(log, 51, 60)
    assert log.stop(PATIENCE)
    report = checked(path)
    written = [fields["path"] for fields in map(_fields, path.read_bytes().splitlines()) if "path" in fields]
    assert report.broken is None
    assert report.lost == log.lost > 0
    assert len(report.torn) == 1
    assert len(written) + report.lost == 60


def test_a_file_that_is_cut_off_under_the_writer_shows(tmp_path: Path) -> None:
    """The writer knows its number better than the file."""
    path = tmp_path / "audit.jsonl"
    log = chained(path)
    log.start()
    put(log, 1, 5)
    settled(log)
    lines = path.read_bytes().splitlines(keepends=True)
    os.truncate(path, len(b"".join(lines[:3])))
    put(log, 6, 7)
    assert log.stop(PATIENCE)
    found = checked(path).broken
    assert found is not None
    assert (found.kind, found.place.number) == (Kind.REMOVED, 4)


def test_several_processes_write_one_chain(tmp_path: Path) -> None:
    """Their lines are one sequence, also over a rotation that each of them learns of by itself."""
    path, old = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1"
    table, context = nameless_file(16), get_context("fork")
    rotated = context.Event()
    halfway = context.Semaphore(0)

    def write_part(number: int) -> None:
        log = chained(path, lines=17, turn=ByteLock(table, 3))
        log.start()
        put(log, number * 1000, number * 1000 + 199)
        settled(log)
        halfway.release()
        rotated.wait(PATIENCE)
        if number != 2:
            log.reopen()
        put(log, number * 1000 + 200, number * 1000 + 399)
        os._exit(0 if log.stop(PATIENCE) else 1)

    writers = [context.Process(target=write_part, args=(number,)) for number in range(3)]
    for writer in writers:
        writer.start()
    for _ in writers:
        assert halfway.acquire(timeout=PATIENCE)
    path.rename(old)
    rotated.set()
    for writer in writers:
        writer.join(PATIENCE)
        assert writer.exitcode == 0
    report = checked(path, old)
    assert (report.broken, report.files, report.lost) == (None, [old, path], 0)
    written = [fields["path"] for file in report.files for fields in events(file) if "path" in fields]
    assert len(written) == len(set(written)) == 1200


def test_writers_without_a_common_turn_write_one_chain(tmp_path: Path) -> None:
    """A process that a killed server left may still write while the next one begins."""
    path, context = tmp_path / "audit.jsonl", get_context("fork")

    def write_some(number: int) -> None:
        for round_ in range(5):
            write(path, number * 1000 + round_ * 100, number * 1000 + round_ * 100 + 99)
        os._exit(0)

    writers = [context.Process(target=write_some, args=(number,)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
        assert writer.exitcode == 0
    assert checked(path).broken is None
    assert sum("path" in fields for fields in events(path)) == 1500


def test_a_pipe_cannot_be_chained(tmp_path: Path) -> None:
    """The head of the chain is in the file, so it must be one; said at the start, and no descriptor stays open."""
    os.mkfifo(tmp_path / "fifo")
    log = AuditLog(tmp_path / "fifo", turn=nullcontext(), chain=Chain(tmp_path / "fifo", KEY, 10, 10.0))
    with pytest.raises(OSError, match="plain file"):
        log.start()


def test_no_chain_goes_through_a_link(tmp_path: Path) -> None:
    """Neither at the start, nor when one has come in the place of the file: that is written to further."""
    path, old, other = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1", tmp_path / "other"
    other.touch()
    path.symlink_to(other)
    with pytest.raises(OSError, match="symbolic links"):
        chained(path).start()
    path.unlink()
    log = chained(path)
    log.start()
    put(log, 1, 2)
    settled(log)
    path.rename(old)
    path.symlink_to(other)
    put(log, 3, 4)
    log.reopen()
    settled(log)
    assert log.stop(PATIENCE)
    assert other.read_bytes() == b""
    assert [each["path"] for each in events(old) if each["event"] == "file-deleted"] == ["/1", "/2", "/3", "/4"]
    assert checked(old).broken is None


def test_text_of_a_client_is_no_link() -> None:
    """Quotes in a value are escaped, so a file name cannot pass for the end of a line."""
    forged = json.dumps({"path": '","seq":5,"prev":"' + "0" * 64}).encode() + b"\n"
    assert link_of(forged) is None
