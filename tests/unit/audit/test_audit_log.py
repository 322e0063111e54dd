"""The audit log's thread and queue: order, bounds, losses that are told, rotation."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from ftpsd.audit.audit_log import AuditLog
from ftpsd.audit.events import DAEMON, CommandDone, Event, Started, TransferStarted
from ftpsd.audit.topics.tree_events import FileDeleted
from ftpsd.values.direction import Direction
from tests.unit.audit.samples import WHO

PATIENCE = 10.0


def deleted(number: int) -> FileDeleted:
    """Return an event that can be told from others."""
    return FileDeleted(WHO, f"/{number}")


def lines_in(path: Path) -> list[dict[str, Any]]:
    """Return the lines of the log at *path*, each of which must be JSON."""
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


def log_into(path: Path, *events: Event) -> None:
    """Log *events* into *path*, from start to stop."""
    log = AuditLog(path)
    log.start()
    for event in events:
        log.put(event, 0.0)
    assert log.stop(PATIENCE)


def test_events_are_written_in_order(tmp_path: Path) -> None:
    """Lines that are put first are written first, over the border of a batch, and stop writes all of them."""
    log_into(tmp_path / "audit.log", *(deleted(number) for number in range(1000)))
    assert [line["path"] for line in lines_in(tmp_path / "audit.log")] == [f"/{number}" for number in range(1000)]


def test_log_is_appended_to(tmp_path: Path) -> None:
    """A restarted daemon continues its log."""
    log_into(tmp_path / "audit.log", deleted(1))
    log_into(tmp_path / "audit.log", deleted(2))
    assert [line["path"] for line in lines_in(tmp_path / "audit.log")] == ["/1", "/2"]


def test_new_file_is_closed_to_others(tmp_path: Path) -> None:
    """The group may read a new log, others may not."""
    log_into(tmp_path / "audit.log", Started(DAEMON))
    assert (tmp_path / "audit.log").stat().st_mode & 0o137 == 0


def test_metrics_only_events_are_not_logged(tmp_path: Path) -> None:
    """An event that only feeds metrics makes no line."""
    log_into(tmp_path / "audit.log", TransferStarted(WHO, Direction.UPLOAD))
    assert lines_in(tmp_path / "audit.log") == []


def test_file_that_cannot_be_opened_is_told_at_start(tmp_path: Path) -> None:
    """A log in a missing directory fails when the daemon starts, not silently later."""
    with pytest.raises(FileNotFoundError):
        AuditLog(tmp_path / "missing" / "audit.log").start()


def test_overflow_is_counted_and_admitted(tmp_path: Path) -> None:
    """A line beyond the queue is counted at once, and the next one that gets through is preceded by the number."""
    counted: list[int] = []
    log = AuditLog(tmp_path / "audit.log", queue_limit=2, failed=counted.append)
    for number in range(5):
        log.put(deleted(number), 0.0)
    assert (log.queued, log.lost, sum(counted)) == (2, 3, 3)
    log.start()
    assert log.stop(PATIENCE)
    first, *rest = lines_in(tmp_path / "audit.log")
    assert (first["event"], first["lost"]) == ("audit-lost", 3)
    assert [line["path"] for line in rest] == ["/0", "/1"]


def test_full_pipe_does_not_hold_the_publisher(tmp_path: Path) -> None:
    """While nobody reads the pipe, put returns and counts; the reader later finds whole lines and the loss told."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    log = AuditLog(fifo, queue_limit=100)
    log.start()
    for number in range(5000):
        log.put(deleted(number), 0.0)
    assert log.lost > 0
    received = bytearray()
    os.set_blocking(reader, True)
    thread = threading.Thread(target=lambda: received.extend(read_all(reader)))
    thread.start()
    assert log.stop(PATIENCE)
    thread.join(PATIENCE)
    lines = [json.loads(line) for line in received.splitlines()]
    told = sum(line.get("lost", 0) for line in lines)
    written = sum(1 for line in lines if line["event"] == "file-deleted")
    assert (told, told + written) == (log.lost, 5000)


def read_all(descriptor: int) -> bytes:
    """Return everything until the writer closes, and close."""
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def test_stop_is_bounded_when_nobody_reads(tmp_path: Path) -> None:
    """A pipe that nobody reads delays the end of the daemon by the given time only, and the loss is counted."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    counted: list[int] = []
    log = AuditLog(fifo, failed=counted.append)
    log.start()
    for number in range(5000):
        log.put(deleted(number), 0.0)
    try:
        assert not log.stop(0.05)
        assert sum(counted) > 0
    finally:
        os.close(reader)


def test_non_blocking_pipe_loses_nothing(tmp_path: Path) -> None:
    """Standard output that somebody made non-blocking is waited for, in the writer's thread."""
    program = (
        "import os, sys\n"
        "from ftpsd.audit.audit_log import AuditLog\n"
        "from tests.unit.audit.test_audit_log import deleted\n"
        "os.set_blocking(1, False)\n"
        "log = AuditLog('stdout')\n"
        "log.start()\n"
        "for number in range(5000): log.put(deleted(number), 0.0)\n"
        "sys.exit(0 if log.stop(30) else 1)\n"
    )
    root = str(Path(__file__).parents[3])
    ended = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=root, timeout=60, check=True)
    paths = [json.loads(line)["path"] for line in ended.stdout.splitlines()]
    assert paths == [f"/{number}" for number in range(5000)]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_full_disk_is_counted_and_raises_nothing() -> None:
    """A disk without room costs the lines, which are counted, and nothing else."""
    counted: list[int] = []
    log = AuditLog(Path("/dev/full"), failed=counted.append)
    log.start()
    for number in range(10):
        log.put(deleted(number), 0.0)
    assert log.stop(PATIENCE)
    assert (log.lost, sum(counted)) == (10, 10)


class FlakyLog(AuditLog):
    """A log on a disk that takes *room* bytes and then, once, no more."""

    room: int | None = 0

    def _write_some(self, data: memoryview) -> int:
        if self.room is None:
            return super()._write_some(data)
        if self.room == 0:
            self.room = None
            raise OSError(28, "No space left on device")
        taken = super()._write_some(data[: self.room])
        self.room -= taken
        return taken


def write_batches(log: AuditLog, *batches: int) -> None:
    """Write batches of so many events, each in one go, in this thread."""
    log._fd = log._open()
    for size in batches:
        log._write([b'{"event":"file-deleted"}\n'] * size)
    log._close()


@pytest.mark.parametrize(("room", "lost"), [(0, 4), (10, 4), (24, 3), (25, 3), (26, 3), (98, 1), (99, 0)])
def test_line_cut_off_by_a_full_disk_swallows_no_other(tmp_path: Path, room: int, lost: int) -> None:
    """After a write that ended inside a line the log goes on with a line of its own, and tells how many are missing."""
    log = FlakyLog(tmp_path / "audit.log")
    log.room = room
    write_batches(log, 4, 2)
    lines = (tmp_path / "audit.log").read_bytes().splitlines()
    whole = [line for line in lines if line.endswith(b"}")]
    assert log.lost == lost
    assert [json.loads(line)["lost"] for line in whole if b"audit-lost" in line] == ([lost] if lost else [])
    assert sum(b"file-deleted" in line for line in whole) == 4 - lost + 2


def test_loss_is_admitted_again_when_the_admission_was_lost(tmp_path: Path) -> None:
    """An `audit-lost` line that did not get through itself is repeated with the new sum."""
    log = FlakyLog(tmp_path / "audit.log")
    write_batches(log, 4)
    log.room = 5
    write_batches(log, 3, 1)
    lines = (tmp_path / "audit.log").read_bytes().splitlines()
    assert [json.loads(line).get("lost") for line in lines if line.endswith(b"}")] == [7, None]


def test_event_that_is_no_json_costs_its_own_line(tmp_path: Path) -> None:
    """An event that cannot be written is counted; its neighbours are written."""
    broken = CommandDone(WHO, "NOOP", "", 200, float("nan"))
    log = AuditLog(tmp_path / "audit.log")
    log.start()
    for event in (deleted(1), broken, deleted(2)):
        log.put(event, 0.0)
    assert log.stop(PATIENCE)
    lines = [line for line in lines_in(tmp_path / "audit.log") if line["event"] != "audit-lost"]
    assert ([line["path"] for line in lines], log.lost) == (["/1", "/2"], 1)


def test_reopen_continues_in_a_new_file(tmp_path: Path) -> None:
    """After logrotate moved the file, what came before is in the old file and what comes after in the new one."""
    log = AuditLog(tmp_path / "audit.log")
    log.start()
    log.put(deleted(1), 0.0)
    (tmp_path / "audit.log").rename(tmp_path / "audit.log.1")
    log.reopen()
    log.put(deleted(2), 0.0)
    assert log.stop(PATIENCE)
    assert [line["path"] for line in lines_in(tmp_path / "audit.log.1")] == ["/1"]
    assert [line["path"] for line in lines_in(tmp_path / "audit.log")] == ["/2"]


def test_reopen_that_fails_keeps_the_old_file(tmp_path: Path) -> None:
    """When the new file cannot be made, lines go on into the old one."""
    folder = tmp_path / "logs"
    folder.mkdir()
    log = AuditLog(folder / "audit.log")
    log.start()
    folder.rename(tmp_path / "moved")
    log.reopen()
    log.put(deleted(1), 0.0)
    assert log.stop(PATIENCE)
    assert [line["path"] for line in lines_in(tmp_path / "moved" / "audit.log")] == ["/1"]


def test_event_after_stop_is_counted(tmp_path: Path) -> None:
    """An event that comes too late is a lost one, and stopping twice is no error."""
    log = AuditLog(tmp_path / "audit.log")
    log.start()
    assert log.stop(PATIENCE)
    assert log.stop(PATIENCE)
    log.put(deleted(1), 0.0)
    assert log.lost == 1


def test_commands_leave_room_for_what_matters(tmp_path: Path) -> None:
    """A flood of commands pushes out commands, and no other line; what is lost is told."""
    log = AuditLog(tmp_path / "audit.log", queue_limit=10)
    for _ in range(100):
        log.put(CommandDone(WHO, "NOOP", "", 200, 0.0), 0.0)
    for number in range(5):
        log.put(deleted(number), 0.0)
    assert log.lost == 95
    log.start()
    assert log.stop(PATIENCE)
    lines = lines_in(tmp_path / "audit.log")
    assert [line["event"] for line in lines] == ["audit-lost"] + ["command"] * 5 + ["file-deleted"] * 5
    assert lines[0]["lost"] == 95
