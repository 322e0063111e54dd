"""
Pins in the state file: the certificates that clients have pinned to their users, and the tickets that let them.

Each function is called with an open state file, within a transaction: so of all connections and processes that come
with one ticket, one pins its certificate. An account is a user of a host (`control.state.hosts.Host.account`); removing
the user leaves pins and tickets to be removed, too (`forget`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Final

from ftpsd.auth.certified.ticket import digest
from ftpsd.durable import facts

TICKETS: Final = "enrolment-ticket"
PINS: Final = "enrolled-certificate"
# Of one user: more would be a mistake, and every login reads them.
MOST_PINS: Final = 20


@dataclass(frozen=True, slots=True)
class Pin:
    """A certificate that was pinned to a user: when, a Unix time, and the subject that stands in it."""

    fingerprint: str
    subject: str
    since: float


def give_ticket(connection: Connection, account: str, ticket: str, until: float) -> None:
    """Let *ticket* pin a certificate to *account* until a Unix time; an earlier ticket is void."""
    facts.put(connection, TICKETS, account, digest(ticket), until)


def is_ticket(connection: Connection, account: str, ticket: str, now: float) -> bool:
    """Return whether *ticket* could pin a certificate to *account* now."""
    return facts.get(connection, TICKETS, account, now) == digest(ticket)


def pins(connection: Connection, account: str) -> list[Pin]:
    """Return the certificates that are pinned to *account*, the oldest first."""
    written = facts.get(connection, PINS, account, 0.0)
    return [] if written is None else [Pin(*each) for each in json.loads(written)]


def pin(connection: Connection, account: str, ticket: str, wanted: Pin) -> bool:
    """Spend *ticket* on a pin of *account*; False, and nothing has changed, when it is none any more."""
    if not is_ticket(connection, account, ticket, wanted.since):
        return False
    facts.remove(connection, TICKETS, account)
    others = [each for each in pins(connection, account) if each.fingerprint != wanted.fingerprint]
    _write(connection, account, [*others, wanted][-MOST_PINS:])
    return True


def forget(connection: Connection, account: str, fingerprint: str | None = None) -> int:
    """Remove a pin, or without *fingerprint* all of *account* and its ticket; return how many pins there were."""
    known = pins(connection, account)
    left = [] if fingerprint is None else [each for each in known if each.fingerprint != fingerprint]
    if fingerprint is None:
        facts.remove(connection, TICKETS, account)
    _write(connection, account, left)
    return len(known) - len(left)


def accounts(connection: Connection, now: float) -> set[str]:
    """Return the accounts with pins, or with a ticket that is good *now*."""
    return {fact.key for kind in (TICKETS, PINS) for fact in facts.every(connection, kind, now)}


def _write(connection: Connection, account: str, kept: list[Pin]) -> None:
    if kept:
        values = [(each.fingerprint, each.subject, each.since) for each in kept]
        facts.put(connection, PINS, account, json.dumps(values))
    else:
        facts.remove(connection, PINS, account)
