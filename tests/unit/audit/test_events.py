"""Audit events: names that hold, fields that fit a flat line."""

from __future__ import annotations

import dataclasses
import re

import pytest

from ftpsd.audit import events
from ftpsd.audit.events import Event
from ftpsd.audit.topics import (
    accept_events,
    certificate_events,
    encryption_events,
    enrolment_events,
    operator_events,
    state_events,
    tree_events,
)
from tests.unit.audit.samples import EVERY_EVENT

# The names that dashboards and rules hold on to.
PROMISED = {
    "session-opened", "tls-established", "logged-in", "login-refused", "command", "file-sent", "file-stored",
    "file-deleted", "file-renamed", "directory-listed", "directory-made", "directory-removed",
    "data-connection-refused", "session-closed", "reloaded", "reload-failed", "started", "stopped",
    "quota-exceeded", "banned", "unbanned",
}  # fmt: skip


KINDS: list[type[Event]] = [
    value
    for value in (
        *vars(events).values(),
        operator_events.Ordered,
        *vars(state_events).values(),
        *vars(certificate_events).values(),
        enrolment_events.CertificateEnrolled,
        *vars(encryption_events).values(),
        *vars(accept_events).values(),
        *vars(tree_events).values(),
    )
    if isinstance(value, type) and issubclass(value, Event) and value is not Event
]


def test_every_promised_name_is_logged() -> None:
    """Each event name that the audit log promises belongs to a logged event."""
    assert {kind.event for kind in KINDS if kind.logged} >= PROMISED


def test_names_are_unique() -> None:
    """No two classes share an event name."""
    names = [kind.event for kind in KINDS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_name_is_lower_case_with_hyphens(kind: type[Event]) -> None:
    """An event's name is one lower-case word with hyphens."""
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.event)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_fields_do_not_hide_the_common_keys(kind: type[Event]) -> None:
    """The field `who` comes first and no other field is spelt like a key that every line has."""
    names = [field.name for field in dataclasses.fields(kind)]
    assert names[0] == "who"
    assert not {"time", "event", "session", "user", "peer", "listener"} & set(names)


def test_samples_are_complete() -> None:
    """The samples the other tests use hold every kind of event."""
    assert {type(event) for event in EVERY_EVENT} == set(KINDS)


def test_events_cannot_be_changed() -> None:
    """A published event stays what it was."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        EVERY_EVENT[0].who = events.DAEMON  # type: ignore[misc]
