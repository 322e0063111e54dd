"""The forms of audit lines beside JSON: text for people, and the transfer log."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from ftpsd.audit import events
from ftpsd.audit.events import DAEMON, Event, Who
from ftpsd.audit.line_form import JSON_LINES, TEXT_LINES, TRANSFER_LINES
from ftpsd.audit.topics.tree_events import FileDeleted
from ftpsd.values.direction import Result
from ftpsd.values.handshake import TLSFacts
from tests.unit.audit.samples import EVERY_EVENT

ALICE = Who("s1", "alice", "198.51.100.7", "explicit:21")
MOMENT = 1_764_547_200.25
AT = "2025-12-01T00:00:00.250000Z"
TLS = TLSFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", True)


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the time zone that local times are in."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_text_is_for_people() -> None:
    """Time, event, user and address, then names and values; empty ones are left out."""
    table: dict[Event, str] = {
        events.Started(DAEMON): "started",
        events.FileStored(ALICE, "/in/a.csv", 1000, 0.5, 0, Result.COMPLETE, sha256="ab", tls=TLS): (
            "file-stored alice@198.51.100.7 path=/in/a.csv bytes=1000 seconds=0.5 offset=0 result=complete sha256=ab "
            'tls="TLSv1.3 TLS_AES_256_GCM_SHA384 resumed" session=s1 listener=explicit:21'
        ),
        events.LoginRefused(Who("", None, "2001:db8::1", ""), "password", "al ice", "wrong-password", 0.2): (
            'login-refused 2001:db8::1 method=password name="al ice" reason=wrong-password seconds=0.2'
        ),
    }
    wrong = {
        expected: line
        for event, expected in table.items()
        if (line := TEXT_LINES.line(event, MOMENT).decode()) != f"{AT} {expected}\n"
    }
    assert wrong == {}
    assert TEXT_LINES.lost(7, MOMENT) == f"{AT} audit-lost lost=7\n".encode()


def test_no_client_can_forge_a_line_or_a_value() -> None:
    """Line ends, quotes, `=`, direction marks and bytes that are no text stay inside of quotes, spelt out."""
    table = {
        "/a\n2025-12-01T00:00:00Z logged-in root@::1": '"/a\\n2025-12-01T00:00:00Z logged-in root@::1"',
        '/a" result="complete': '"/a\\" result=\\"complete"',
        "/a=b": '"/a=b"',
        "/\u202egpj.exe": '"/\\u202egpj.exe"',
        "/\udcff": '"/\\udcff"',
        "/\x1b[2J": '"/\\u001b[2J"',
        "/a\x85b": '"/a\\u0085b"',
        "/Übergröße": "/Übergröße",
        "": '""',
    }
    wrong = {
        path: line
        for path, expected in table.items()
        if f"path={expected} session=" not in (line := TEXT_LINES.line(FileDeleted(ALICE, path), 0.0).decode())
        or line.count("\n") != 1
    }
    assert wrong == {}


def test_every_event_has_one_line_in_each_form() -> None:
    """Also with what hostile clients put into it."""
    for form in (JSON_LINES, TEXT_LINES, TRANSFER_LINES):
        for event in EVERY_EVENT:
            line = form.line(event, MOMENT)
            assert line is None or (line.endswith(b"\n") and line.count(b"\n") == 1), event


def test_transfers_are_in_the_form_of_xferlog() -> None:
    """18 fields with a blank between them (xferlog(5)), five of them for the time; blanks in names are `_`."""
    stored = events.FileStored(ALICE, "/in/my file\n.csv", 1000, 1.6, 0, Result.TRUNCATED, "no-close-notify")
    table: dict[Event, str] = {
        events.FileSent(ALICE, "/out/a", 5, 0.2, 0, Result.COMPLETE): "0 198.51.100.7 5 /out/a b _ o r alice ftp 0 * c",
        stored: "2 198.51.100.7 1000 /in/my_file_.csv b _ i r alice ftp 0 * i",
        FileDeleted(ALICE, "/in/a"): "0 198.51.100.7 0 /in/a b _ d r alice ftp 0 * c",
    }
    for event, expected in table.items():
        line = (TRANSFER_LINES.line(event, MOMENT) or b"").decode()
        assert line == f"Mon Dec 01 00:00:00 2025 {expected}\n"
        assert len(line.split(" ")) == 18


def test_what_is_no_transfer_is_not_in_xferlog() -> None:
    """Refused ones never began, and the daemon's own deletions have no user."""
    table: list[Event] = [
        events.FileStored(ALICE, "/in/a", 0, 0.0, 0, Result.REFUSED, "no-port"),
        FileDeleted(DAEMON, "/in/a", "too old", "rule", 10),
        events.LoggedIn(ALICE, "password", 0.1),
    ]
    assert [TRANSFER_LINES.line(event, MOMENT) for event in table] == [None] * 3
    assert TRANSFER_LINES.lost(3, MOMENT) == b""
