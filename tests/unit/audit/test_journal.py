"""Priorities for the journal: which lines get one, where, and which."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ftpsd.audit.events import DAEMON, Event, LoginRefused, ReloadFailed, Started, Who
from ftpsd.audit.journal import ERROR, INFO, NOTICE, leads_to_journal, marked, priority_of

ALICE = Who("s1", "alice", "192.0.2.9", "explicit:21")


def journal_stream(descriptor: int) -> dict[str, str]:
    """Return the environment in which *descriptor* is the journal."""
    status = os.fstat(descriptor)
    return {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}


def test_the_stream_that_systemd_names_is_the_journal(tmp_path: Path) -> None:
    """And no other: a service whose output is redirected still has the variable."""
    with open(tmp_path / "one", "w") as one, open(tmp_path / "two", "w") as two:
        assert leads_to_journal(one.fileno(), journal_stream(one.fileno()))
        assert not leads_to_journal(two.fileno(), journal_stream(one.fileno()))


@pytest.mark.parametrize("environ", [{}, {"JOURNAL_STREAM": ""}, {"JOURNAL_STREAM": "8:x"}, {"JOURNAL_STREAM": "8"}])
def test_without_systemd_nothing_is(environ: dict[str, str]) -> None:
    """Nor where the variable is not understood."""
    assert not leads_to_journal(1, environ)


def test_a_descriptor_that_is_closed_is_not() -> None:
    """It leads nowhere."""
    read, write = os.pipe()
    environ = journal_stream(read)
    os.close(read)
    os.close(write)
    assert not leads_to_journal(read, environ)


@pytest.mark.parametrize(
    ("event", "priority"),
    [
        (Started(DAEMON), INFO),
        (ReloadFailed(DAEMON, "why"), ERROR),
        (LoginRefused(ALICE, "password", "alice", "wrong password", 0.1), NOTICE),
    ],
    ids=lambda value: getattr(value, "event", None),
)
def test_what_happened_has_a_priority(event: Event, priority: int) -> None:
    """A client's deed is information, a refusal a notice, and a fault that is to be mended an error."""
    assert priority_of(event) == priority


def test_every_line_is_marked() -> None:
    """The journal makes an entry of each line of a traceback."""
    assert marked("one\ntwo\n", ERROR) == "<3>one\n<3>two\n"
