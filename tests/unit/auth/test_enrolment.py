"""Tickets and pins: what the state file keeps, and what a login asks of it."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from ftpsd.auth.certified.enrolment import NO_ENROLMENTS, Enrolled
from ftpsd.auth.certified.pinning import EnrollingChecker
from ftpsd.auth.certified.pins import MOST_PINS, Pin, forget, give_ticket, pin, pins
from ftpsd.auth.certified.ticket import new_ticket, split
from ftpsd.auth.credentials import Login, LoginBusy, LoginDenied, Refusal
from ftpsd.durable.opening import open_state
from ftpsd.values.login.client_certificate import ClientCertificate
from ftpsd.values.login.login_method import CertificateMatch
from ftpsd.workers import PoolBusy

NOW = datetime(2026, 11, 21, tzinfo=UTC)
MINE = ClientCertificate("sha256:" + "a1" * 32, "CN=a", "1", (), NOW - timedelta(1), NOW + timedelta(1))
OWN = CertificateMatch(fingerprint=MINE.fingerprint)


@pytest.fixture
def state(tmp_path: Path) -> sqlite3.Connection:
    """A state file."""
    return open_state(tmp_path / "state.db")


def test_a_ticket_is_what_it_looks_like() -> None:
    """The password behind it is any text; everything else is a password."""
    ticket = new_ticket()
    assert ticket != new_ticket()
    for said, expected in (
        (ticket, (ticket, "")),
        (f"{ticket}:", (ticket, "")),
        (f"{ticket}:a:b\n", (ticket, "a:b\n")),
        (f"{ticket}x", (None, f"{ticket}x")),
        (f" {ticket}", (None, f" {ticket}")),
        ("enrol-me", (None, "enrol-me")),
        ("", (None, "")),
    ):
        assert split(said) == expected


def test_a_ticket_pins_once_and_in_time(state: sqlite3.Connection) -> None:
    """For its account alone; the file does not hold it as it is."""
    ticket, wanted = new_ticket(), Pin("sha256:1", "CN=a", 99.0)
    give_ticket(state, "alice", ticket, 100.0)
    assert not pin(state, "bob", ticket, wanted)
    assert not pin(state, "alice", new_ticket(), wanted)
    assert not pin(state, "alice", ticket, replace(wanted, since=100.0))
    assert pin(state, "alice", ticket, wanted)
    assert not pin(state, "alice", ticket, wanted)
    assert pins(state, "alice") == [wanted]
    assert pins(state, "bob") == []
    give_ticket(state, "alice", ticket, 100.0)
    assert all(ticket not in str(row) for row in state.execute("SELECT * FROM facts"))


def test_pins_are_bounded_and_can_be_forgotten(state: sqlite3.Connection) -> None:
    """The newest are kept."""
    ticket = new_ticket()
    for number in range(MOST_PINS + 2):
        give_ticket(state, "alice", ticket, 1e9)
        assert pin(state, "alice", ticket, Pin(f"sha256:{number}", "", float(number)))
    assert pins(state, "alice")[0].fingerprint == "sha256:2"
    assert forget(state, "alice", "sha256:5") == 1
    assert forget(state, "alice", "sha256:5") == 0
    give_ticket(state, "alice", ticket, 1e9)
    assert forget(state, "alice") == MOST_PINS - 1
    assert not pin(state, "alice", ticket, Pin("sha256:9", "", 0.0))


class Desk:
    """An `EnrollingChecker` between what a test says is *known* and a checker that answers with *outcome*."""

    def __init__(self, known: Enrolled, outcome: Any = "alice", *, wins: bool = True) -> None:
        self.known = known
        self.outcome = outcome
        self.wins = wins
        self.asked: list[tuple[str, str | None]] = []
        self.checked: list[Login] = []
        self.spent: list[str] = []
        self.told = 0

    def look(self, name: str, ticket: str | None) -> Deferred[Enrolled]:
        """Return what is known."""
        self.asked.append((name, ticket))
        return succeed(self.known)

    def enrol(self, name: str, ticket: str, certificate: ClientCertificate) -> Deferred[bool]:
        """Win, or not."""
        self.spent.append(ticket)
        return succeed(self.wins)

    def requestAvatarId(self, login: Login, /) -> Deferred[Any]:
        """Answer."""
        self.checked.append(login)
        return fail(self.outcome) if isinstance(self.outcome, Exception) else succeed(self.outcome)

    def log_in(self, password: str | None, certificate: ClientCertificate | None = MINE) -> Any:
        """Return what the login comes to."""

        def enrolled() -> None:
            self.told += 1

        found: list[Any] = []
        login = Login("alice", password, "192.0.2.7", certificate, enrolled=enrolled)
        EnrollingChecker(self, self).requestAvatarId(login).addBoth(found.append)
        return found[0].value if isinstance(found[0], Failure) else found[0]


def test_every_login_with_a_certificate_asks_once_and_none_without() -> None:
    """No time tells who is enrolled, whoever is named, and whether or not that is refused."""
    for outcome in ("alice", LoginDenied(Refusal.UNKNOWN_USER), LoginDenied(Refusal.CERTIFICATE_OF_ANOTHER)):
        desk = Desk(Enrolled(), outcome)
        desk.log_in("password")
        desk.log_in(None)
        assert desk.asked == [("alice", None)] * 2
        desk.log_in("password", None)
        assert len(desk.asked) == 2
        assert desk.spent == []


def test_the_ticket_is_spent_when_all_else_is_right() -> None:
    """The checker behind sees the certificate as pinned, and the password without the ticket."""
    ticket = new_ticket()
    desk = Desk(Enrolled(is_ticket_right=True))
    assert desk.log_in(f"{ticket}:secret") == "alice"
    assert (desk.checked[0].password, desk.checked[0].pinned) == ("secret", (OWN,))
    assert (desk.spent, desk.told) == ([ticket], 1)
    refused = Desk(Enrolled(is_ticket_right=True), LoginDenied(Refusal.WRONG_PASSWORD))
    assert refused.log_in(ticket).reason is Refusal.WRONG_PASSWORD
    assert (refused.spent, refused.told) == ([], 0)


def test_one_that_comes_second_needs_the_pin() -> None:
    """The other login was of the same client, or it was not."""
    ticket = new_ticket()
    late = Desk(Enrolled(is_ticket_right=True), wins=False)
    assert late.log_in(ticket).reason is Refusal.NO_TICKET
    pinned = Desk(Enrolled((OWN,), is_ticket_right=True))
    assert (pinned.log_in(ticket), pinned.spent) == ("alice", [])


def test_the_reason_is_told_apart() -> None:
    """A ticket that is none, and a state file that cannot be asked; other reasons stay."""
    of_another = LoginDenied(Refusal.CERTIFICATE_OF_ANOTHER)
    assert Desk(Enrolled(), of_another).log_in(new_ticket()).reason is Refusal.NO_TICKET
    assert Desk(Enrolled(), of_another).log_in("word").reason is Refusal.CERTIFICATE_OF_ANOTHER
    assert Desk(Enrolled(is_known=False), of_another).log_in("word").reason is Refusal.STATE_UNUSABLE
    revoked = LoginDenied(Refusal.CERTIFICATE_REVOKED)
    assert Desk(Enrolled(is_known=False), revoked).log_in(new_ticket()).reason is Refusal.CERTIFICATE_REVOKED


def test_too_many_questions_are_busy() -> None:
    """The client may try again later."""

    class Full(Desk):
        def look(self, name: str, ticket: str | None) -> Deferred[Enrolled]:
            return fail(PoolBusy("state"))

    assert isinstance(Full(Enrolled()).log_in("word"), LoginBusy)


def test_without_a_state_file_nothing_is_pinned() -> None:
    """Certificates of users.yaml are all there is."""
    found: list[object] = []
    NO_ENROLMENTS.look("alice", new_ticket()).addCallback(found.append)
    NO_ENROLMENTS.enrol("alice", new_ticket(), MINE).addCallback(found.append)
    assert found == [Enrolled(), False]
