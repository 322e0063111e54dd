"""Sightings of clients in accounts for trying: bounded, of those accounts alone, and turned into advice."""

from __future__ import annotations

import json

from ftpsd.audit.events import CommandDone, DataConnectionRefused, Event, FileStored, SessionClosed, Who
from ftpsd.control.preflight.advice import changes, exemptions, yaml_for
from ftpsd.control.preflight.report import LENGTH, report, report_file
from ftpsd.control.preflight.sighting import Sighting
from ftpsd.control.preflight.sightings import MOST_ACCOUNTS, MOST_SESSIONS, Sightings
from ftpsd.data.trouble import Trouble
from ftpsd.values.direction import Result
from ftpsd.values.handshake import TLSFacts

TLS = TLSFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", False)


def who(session: str, user: str = "acme") -> Who:
    return Who(session, user, "192.0.2.7", "explicit:21")


def begun(table: Sightings, *sessions: Who) -> None:
    for each in sessions:
        table.begin(each, 0.0, TLS, None, wants_utf8=False)


def test_the_table_is_bounded() -> None:
    """The newest sessions of the accounts that were used last; what is forgotten takes no events any more."""
    told: list[Event] = []
    table = Sightings(told.append)
    begun(table, *(who(f"s{number}") for number in range(MOST_SESSIONS + 5)))
    assert [each.session for each in table.of("", "acme")] == [f"s{number}" for number in range(5, MOST_SESSIONS + 5)]
    table.note(SessionClosed(who("s0"), 1.0, "quit", 0, 0), 0.0)
    assert told == []
    begun(table, *(who(f"t{number}", f"u{number}") for number in range(MOST_ACCOUNTS)))
    assert table.of("", "acme") == []
    assert len(table.all()) == MOST_ACCOUNTS
    table.note(SessionClosed(who("s7"), 1.0, "quit", 0, 0), 0.0)
    assert told == []
    table.note(SessionClosed(who("t7", "u7"), 1.0, "quit", 0, 0), 0.0)
    assert [event.event for event in told] == ["preflight-done"]


def test_events_of_others_are_not_taken() -> None:
    """Sessions of ordinary accounts leave nothing."""
    table = Sightings()
    begun(table, who("a"))
    table.note(CommandDone(who("b", "bob"), "STOR", "secret", 226, 0.1), 0.0)
    table.note(SessionClosed(who("b", "bob"), 1.0, "quit", 0, 0), 0.0)
    (seen,) = table.all()
    assert (seen["session"], seen["done"]) == ("a", {})


def test_nothing_that_was_typed_is_kept() -> None:
    """Names and arguments are counted; the report has a fixed length, so that SIZE and RETR agree."""
    seen = Sighting("s", "acme", "", "192.0.2.7", 0.0)
    for argument in ("geheim", "gehéim", "geh\udce9im"):
        seen.note(CommandDone(who("s"), "STOR", argument, 226, 0.1))
    text = report_file([seen] * MOST_SESSIONS)
    assert len(text) == len(report_file([])) == LENGTH
    told = json.dumps(seen.as_json()) + text.decode()
    assert not [word for word in ("geheim", "geh") if word in told]
    assert (seen.names_beyond_ascii, seen.names_not_utf8) == (1, 1)
    assert report([Sighting.from_json(json.loads(json.dumps(seen.as_json())))]) == report([seen])


def test_what_follows() -> None:
    """Each fault has its advice: of the user, of the server, or of the client."""
    seen = Sighting("s", "acme", "", "192.0.2.7", 0.0, tls="TLSv1.2")
    assert [each.key for each in exemptions([seen]) if not each.is_global] == []
    assert changes([seen]) == []
    for trouble in (Trouble.NOBODY_CAME, Trouble.FOREIGN_ADDRESS, Trouble.NOT_REACHED):
        seen.note(DataConnectionRefused(who("s"), trouble.label))
    for command, argument, code in (
        ("PORT", "10,0,0,1,7,8", 504),
        ("PROT", "C", 534),
        ("EPRT", "|1|192.0.2.7|80|", 200),
    ):
        seen.note(CommandDone(who("s"), command, argument, code, 0.1))
    stored = FileStored(who("s"), "/f", 1, 0.1, 0, Result.COMPLETE, tls=TLS, without_close_notify=True)
    seen.note(stored)
    seen.note(FileStored(who("s"), "/f", 1, 0.1, 0, Result.TRUNCATED, "cut"))
    assert len(changes([seen])) == 6
    found = exemptions([seen])
    assert [(each.key, each.value, each.is_global) for each in found] == [
        ("upload_end", "fin", False),
        ("active", "{enabled: true}", True),
        ("tls", '{minimum_version: "1.2"}', True),
    ]
    assert yaml_for("acme", found)[:4] == [
        "# users.yaml", "users:", "  acme:", "    upload_end: fin  # 1 of 1 uploads ended without close_notify",
    ]  # fmt: skip
