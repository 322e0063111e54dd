"""Lines for people: logins, uploads, downloads and refusals."""

from __future__ import annotations

import time

import pytest

from ftpsd.audit import events
from ftpsd.demo.telling import Telling
from ftpsd.values.direction import Result

WHO = events.Who("s1", "demo", "127.0.0.1", "explicit:2121")
NOBODY = events.Who("s1", None, "127.0.0.1", "explicit:2121")
NOON = time.mktime((2026, 1, 2, 12, 0, 0, 0, 0, -1))


def told(event: events.Event) -> list[str]:
    lines: list[str] = []
    Telling(lines.append)(event, NOON)
    return lines


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            events.LoggedIn(WHO, "password", 0.1),
            "12:00:00  demo        login     from 127.0.0.1 at explicit:2121: done",
        ),
        (
            events.LoginRefused(NOBODY, "password", "bob", "unknown user", 0.1),
            "12:00:00  -           login     from 127.0.0.1 as bob: refused, unknown user",
        ),
        (
            events.FileStored(WHO, "/a.txt", 1234567, 0.5, 0, Result.COMPLETE),
            "12:00:00  demo        upload    /a.txt: done, 1,234,567 bytes in 0.50 s",
        ),
        (
            events.FileSent(WHO, "/a.txt", 12, 0.0, 0, Result.COMPLETE),
            "12:00:00  demo        download  /a.txt: done, 12 bytes in 0.00 s",
        ),
        (
            events.FileStored(WHO, "/a.txt", 12, 0.5, 0, Result.ABORTED, "aborted by the client"),
            "12:00:00  demo        upload    /a.txt: aborted, aborted by the client",
        ),
        (
            events.CommandDone(WHO, "DELE", "x", 550, 0.1, "no rule allows delete"),
            "12:00:00  demo        DELE      x: refused, 550 no rule allows delete",
        ),
        (
            events.CommandDone(NOBODY, "other", "", 500, 0.1, "Unknown command."),
            "12:00:00  -           other     refused, 500 Unknown command.",
        ),
    ],
)
def test_what_people_look_for(event: events.Event, line: str) -> None:
    """Time, user, what, and how it ended."""
    assert told(event) == [line]


@pytest.mark.parametrize(
    "event",
    [
        events.CommandDone(WHO, "PWD", "", 257, 0.1),
        events.CommandDone(WHO, "RETR", "x", 550, 0.1, "ENOENT"),
        events.CommandDone(NOBODY, "PASS", "***", 530, 0.1, "unknown user"),
        events.DirectoryListed(WHO, "/", 100, 0.1, Result.COMPLETE),
        events.SessionOpened(NOBODY),
    ],
)
def test_what_is_left_to_the_audit_log(event: events.Event) -> None:
    """Commands that went well without bytes, and refusals that another event tells, are in the audit log alone."""
    assert told(event) == []


def test_a_client_cannot_write_a_line_of_its_own() -> None:
    """Control characters are spelt, and a long name is cut."""
    (line,) = told(events.FileStored(WHO, "/a\n12:00:00  root\x1b[2J" + "x" * 1000, 1, 0.0, 0, Result.COMPLETE))
    assert line.isprintable()
    assert len(line) < 250
