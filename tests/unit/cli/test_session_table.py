"""The sessions of now, for people: aligned, in 80 columns, and nothing in it that a terminal would obey."""

from __future__ import annotations

from typing import Any

from rich.cells import cell_len

from ftpsd.cli.running.session_table import cells, duration, lines, size
from ftpsd.cli.terminal import shown


def session(**changes: Any) -> dict[str, Any]:
    """A session that does nothing, with *changes*."""
    idle: dict[str, Any] = {
        "session": "0123456789ab",
        "user": "alice",
        "host": "",
        "peer": "192.0.2.1",
        "listener": "explicit:21",
        "tls": "TLSv1.3",
        "seconds": 3723.0,
        "idle": 5.0,
        "command": None,
        "argument": "",
        "path": None,
        "moved": 0,
        "size": None,
        "transfer_seconds": None,
    }
    return {**idle, **changes}


STORING = {"command": "STOR", "argument": "x", "path": "/inbox/report.pdf", "moved": 3 * 1024**2}


def test_what_a_session_does() -> None:
    """The command, then bytes, rate, and the path, which may be cut."""
    told = [
        cells(session())[-1],
        cells(session(**STORING, transfer_seconds=2.0))[-1],
        cells(session(**STORING, transfer_seconds=2.0, size=4 * 1024**2))[-1],
        cells(session(command="HASH", argument="/big"))[-1],
        cells(session(command="NOOP"))[-1],
    ]
    assert told == [
        "",
        "STOR 3.0 MiB 1.5 MiB/s /inbox/report.pdf",
        "STOR 3.0 MiB of 4.0 MiB (75%) 1.5 MiB/s /inbox/report.pdf",
        "HASH /big",
        "NOOP",
    ]


def test_a_table_of_80_columns() -> None:
    """Columns stand below each other, also with wide letters, and no line is longer."""
    names = ["alice", "日本語の名前の長い利用者です", "b" * 200, None]
    rows = [cells(session(user=name, peer="2001:db8:1234:5678:9abc:def0:1234:5678", **STORING)) for name in names]
    table = lines(rows, 80)
    assert max(map(cell_len, table)) <= 80
    assert len(table) == 1 + 2 * len(names)
    columns = [cell_len(line[: line.index("2001:")]) for line in table[1::2]]
    assert len(set(columns)) == 1
    assert table[0].index("ADDRESS") == columns[0]
    assert table[2] == "  STOR /inbox/report.pdf"
    assert lines([cells(session())], 80) == [
        "SESSION      USER  ADDRESS   LISTENER    TLS SINCE IDLE",
        "0123456789ab alice 192.0.2.1 explicit:21 1.3 1h02  5s",
    ]


def test_the_host_of_a_user_is_shown() -> None:
    """Users of two hosts may have one name."""
    assert cells(session(host="ftp.example.com"))[1] == "alice@ftp.example.com"
    assert cells(session(user=None))[1] == "-"


def test_a_file_name_cannot_speak_to_the_terminal() -> None:
    """Controls, C1 controls, text that turns round, bytes that are no text: all are escapes."""
    path = "/\x1b]0;owned\x07\x9b2J\u202etxt.exe\udcff\ud800\n\ta é"
    row = cells(session(command="RETR", path=path))
    assert row[-1] == "RETR /\\x1b]0;owned\\x07\\x9b2J\\u202etxt.exe\\xff\\ud800\\n\\ta é"
    assert all(cell.isprintable() for cell in row)
    assert shown("plain, with spaces") == "plain, with spaces"


def test_numbers_for_people() -> None:
    """Short, with their units."""
    assert [duration(each) for each in (0.9, 59, 60, 3599, 3600, 86399, 86400, 10**6)] == [
        *("0s", "59s", "1m00", "59m59", "1h00", "23h59", "1d00", "11d13")
    ]
    assert [size(each) for each in (0, 1023, 1024, 1536, 1024**2 - 1, 1024**3, 1024**5, 5000 * 1024**5)] == [
        *("0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1024.0 KiB", "1.0 GiB", "1.0 PiB", "5000.0 PiB")
    ]
