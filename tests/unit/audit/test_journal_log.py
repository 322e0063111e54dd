"""The audit log in systemd's journal: what is sent, and what the journal makes of it."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsd.audit import events
from ftpsd.audit.events import DAEMON, Who
from ftpsd.audit.journal_log import JournalEntries, JournalLog, entry
from ftpsd.values.direction import Result
from tests.tools import missing, require_tool

ALICE = Who("s1", "alice", "198.51.100.7", "explicit:21")
STORED = events.FileStored(ALICE, "/in/a\nb.csv", 1000, 0.5, 0, Result.COMPLETE, sha256="ab")
JOURNAL_REMOTE = Path("/lib/systemd/systemd-journal-remote")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    """Return the socket of a journal."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "socket"))
        sock.settimeout(10)
        yield sock


def test_an_event_is_one_datagram(journal: socket.socket, tmp_path: Path) -> None:
    """Its fields stand beside the text for people; a value with a line end is sent by its length."""
    log = JournalLog(tmp_path / "socket")
    log.start()
    log.put(STORED, 0.0)
    data = journal.recv(10_000)
    assert log.stop()
    assert data.startswith(b'MESSAGE=file-stored alice@198.51.100.7 path="/in/a\\nb.csv" bytes=1000 ')
    assert b"\nPRIORITY=6\nSYSLOG_IDENTIFIER=ftpsd\nFTPSD_EVENT=file-stored\nFTPSD_USER=alice\n" in data
    assert b"\nFTPSD_PATH\n\x0b\0\0\0\0\0\0\0/in/a\nb.csv\nFTPSD_BYTES=1000\n" in data


def test_a_journal_that_is_not_there(tmp_path: Path) -> None:
    """The start says so."""
    with pytest.raises(FileNotFoundError):
        JournalLog(tmp_path / "socket").start()


def test_a_journal_that_is_started_anew(tmp_path: Path) -> None:
    """Events of the time between are lost, counted, and admitted by the first entry behind it."""
    lost: list[int] = []
    first = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    first.bind(str(tmp_path / "socket"))
    log = JournalLog(tmp_path / "socket", failed=lost.append)
    log.start()
    first.close()
    (tmp_path / "socket").unlink()
    log._write([b"MESSAGE=one\n", b"MESSAGE=two\n"])
    assert (log.lost, lost) == (2, [2])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as second:
        second.bind(str(tmp_path / "socket"))
        second.settimeout(10)
        log._write([b"MESSAGE=three\n"])
        assert b"FTPSD_EVENT=audit-lost\nFTPSD_LOST=2\n" in second.recv(1000)
        assert second.recv(1000) == b"MESSAGE=three\n"
    assert log.stop()


def test_the_journal_reads_it(tmp_path: Path) -> None:
    """systemd's own programs store the entries and find them by their fields; the formats are the same."""
    if not JOURNAL_REMOTE.exists():
        missing("systemd-journal-remote is not installed")
    form = JournalEntries()
    entries = [form.line(STORED, 0.0), form.line(events.Started(DAEMON), 0.0), form.lost(3, 0.0), entry("x", 6, ())]
    stamps = (f"__REALTIME_TIMESTAMP={n + 1}\n__MONOTONIC_TIMESTAMP={n + 1}\n_BOOT_ID={1:032x}\n" for n in range(4))
    (tmp_path / "export").write_bytes(b"".join(s.encode() + e + b"\n" for s, e in zip(stamps, entries, strict=True)))
    file = tmp_path / "ftpsd.journal"
    subprocess.run([JOURNAL_REMOTE, "-o", file, tmp_path / "export"], check=True, capture_output=True)
    command = [require_tool("journalctl"), "--file", str(file), "-o", "json", "--all"]
    told = subprocess.run([*command, "FTPSD_USER=alice"], capture_output=True, text=True, check=True).stdout
    (found,) = map(json.loads, told.splitlines())
    assert (found["FTPSD_PATH"], found["FTPSD_RESULT"], found["PRIORITY"]) == ("/in/a\nb.csv", "complete", "6")
    told = subprocess.run([*command, "-p", "err"], capture_output=True, text=True, check=True).stdout
    assert [json.loads(line)["MESSAGE"] for line in told.splitlines()] == ["audit-lost lost=3"]
