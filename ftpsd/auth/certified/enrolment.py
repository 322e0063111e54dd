"""
Enrolment: what the state file knows of the certificates of a host's users, for the login that asks.

Asked for each login that brings a certificate, whoever is named and whether there is such a user: so no time tells. A
state file that cannot be used pins nothing and knows no pin: those users are kept out, and the log says why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Final, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from ftpsd.auth.certified.pins import Pin, is_ticket, pin, pins
from ftpsd.durable.state_trouble import StateTrouble
from ftpsd.durable.store import Store
from ftpsd.values.login.client_certificate import ClientCertificate
from ftpsd.values.login.login_method import CertificateMatch


@dataclass(frozen=True, slots=True)
class Enrolled:
    """
    The *certificates* that were pinned to a user, and whether the ticket of a login could pin one.

    *is_known* is False when the state file could not be asked.
    """

    certificates: tuple[CertificateMatch, ...] = ()
    is_ticket_right: bool = False
    is_known: bool = True


class Enrolments(Protocol):
    """The enrolments of a host's users. Both questions fail with PoolBusy when too many wait."""

    def look(self, name: str, ticket: str | None) -> Deferred[Enrolled]:
        """Return what is known of the user *name*, there or not, and of the *ticket* that a login has brought."""

    def enrol(self, name: str, ticket: str, certificate: ClientCertificate) -> Deferred[bool]:
        """Spend *ticket* on pinning *certificate* to *name*; False when another login was first, or it is over."""


class NoEnrolments:
    """The enrolments of a server without a state file."""

    def look(self, name: str, ticket: str | None) -> Deferred[Enrolled]:
        """Nothing is known of anybody."""
        return succeed(Enrolled())

    def enrol(self, name: str, ticket: str, certificate: ClientCertificate) -> Deferred[bool]:
        """Nothing is pinned."""
        return succeed(False)


NO_ENROLMENTS: Final = NoEnrolments()


class StoredEnrolments:
    """The enrolments in *store*; *account* gives the key of a user there, *seconds* is the time since 1970."""

    def __init__(self, store: Store, account: Callable[[str], str], seconds: Callable[[], float]) -> None:
        self._store = store
        self._account = account
        self._seconds = seconds

    def look(self, name: str, ticket: str | None) -> Deferred[Enrolled]:
        """Ask the state file once."""

        def unknown(failure: Failure) -> Enrolled:
            failure.trap(StateTrouble)
            return Enrolled(is_known=False)

        return self._store.run(_look, self._account(name), ticket, self._seconds()).addErrback(unknown)

    def enrol(self, name: str, ticket: str, certificate: ClientCertificate) -> Deferred[bool]:
        """Pin in one transaction, which is on the disk when the answer comes."""

        def failed(failure: Failure) -> bool:
            failure.trap(StateTrouble)
            return False

        wanted = Pin(certificate.fingerprint, certificate.subject, self._seconds())
        return self._store.run(pin, self._account(name), ticket, wanted).addErrback(failed)


def _look(connection: Connection, account: str, ticket: str | None, now: float) -> Enrolled:
    found = tuple(CertificateMatch(fingerprint=each.fingerprint) for each in pins(connection, account))
    return Enrolled(found, ticket is not None and is_ticket(connection, account, ticket, now))
