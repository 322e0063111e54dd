"""The choice of events for the audit log."""

from __future__ import annotations

from ftpsd.audit.topics.every_event import chosen, logged_events, unknown
from tests.unit.audit.samples import EVERY_EVENT


def test_every_event_that_is_logged_is_known() -> None:
    """Those of all topics, and none that only feeds metrics."""
    assert {event.event for event in EVERY_EVENT if event.logged} <= logged_events()
    assert not logged_events() & {event.event for event in EVERY_EVENT if not event.logged}


def test_words_are_read_from_the_left() -> None:
    """None stands for all."""
    everything = logged_events()
    table: dict[tuple[str, ...], frozenset[str] | None] = {
        ("all",): None,
        ("-command",): everything - {"command"},
        ("all", "-command", "-started"): everything - {"command", "started"},
        ("logged-in", "file-stored"): frozenset({"logged-in", "file-stored"}),
        ("-command", "command"): None,
        ("logged-in", "-logged-in"): frozenset(),
    }
    assert {words: chosen(words) for words in table} == table


def test_words_that_name_nothing_are_found() -> None:
    """With their places; an event that is never logged is none."""
    assert unknown(["all", "-comand", "transfer-started", "command"]) == [(1, "-comand"), (2, "transfer-started")]
