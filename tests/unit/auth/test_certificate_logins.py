"""Logins by certificate, at the checker: which certificate is whose, and what a method asks for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from ftpsd.auth.accounts import FileAccounts
from ftpsd.auth.certified.matching import why_refused
from ftpsd.auth.checker import UsersChecker
from ftpsd.auth.credentials import Login, LoginDenied, Refusal, WithCode
from ftpsd.auth.hashing.passwords import VerifiedCache
from ftpsd.auth.hashing.queue import LoginQueue
from ftpsd.config.users import UserRecord
from ftpsd.values.login.client_certificate import AlternativeName, CertificateFault, ClientCertificate
from ftpsd.values.login.login_method import CertificateMatch, LoginMethod
from tests.workers import InlineWorkers

NOW = datetime(2026, 11, 21, tzinfo=UTC)
PIN = "sha256:" + "a1" * 32
OTHER = "sha256:" + "b2" * 32
MINE = (CertificateMatch(fingerprint=PIN),)
NAMES = (
    AlternativeName("dns", "client.partner.example"),
    AlternativeName("dns", "*.pool.example"),
    AlternativeName("dns", "*.example"),
    AlternativeName("email", "Alice@Example.com"),
    AlternativeName("uri", "spiffe://example.com/Alice"),
)
TRUSTED = ClientCertificate(PIN, "CN=alice", "1", NAMES, NOW - timedelta(days=1), NOW + timedelta(days=1), fault=None)
SELF_SIGNED = replace(TRUSTED, fault=CertificateFault.UNKNOWN_AUTHORITY)


class Desk:
    """A checker of the host's *method* with one user, alice, whose password is `pw`."""

    def __init__(self, method: LoginMethod = "password", **alice: Any) -> None:
        clock = Clock()
        clock.advance(NOW.timestamp())
        self.hashed: list[str | None] = []
        record: dict[str, Any] = {"name": "alice", "password": "hash of pw", "home": Path("/srv/alice")} | alice
        accounts = FileAccounts(
            {"alice": UserRecord(**record)}, LoginQueue(InlineWorkers()), VerifiedCache(clock), check=self._verify
        )
        self.checker = UsersChecker(accounts, clock, method)

    def _verify(self, password: str, stored: str | None) -> bool:
        self.hashed.append(stored)
        return stored == f"hash of {password}"

    def ask(
        self,
        password: str | None,
        certificate: ClientCertificate | None,
        name: str = "alice",
        *,
        needs_certificate: bool = False,
    ) -> Refusal | None:
        """Try to log in; return why not, None for a login."""
        login = Login(name, password, "192.0.2.7", certificate, needs_certificate)
        result: list[Any] = []
        deferred: Deferred[UserRecord | WithCode] = self.checker.requestAvatarId(login)
        deferred.addCallbacks(result.append, lambda failure: result.append(failure.value))
        if isinstance(result[0], UserRecord):
            return None
        assert isinstance(result[0], LoginDenied)
        return result[0].reason


def test_what_each_method_asks_for() -> None:
    """Both methods with a certificate need the user's own; the password is not asked for, or asked for besides."""
    foreign = replace(TRUSTED, fingerprint=OTHER)
    for method, password, certificate, expected in (
        ("password", "pw", None, None),
        ("password", "pw", TRUSTED, None),
        ("password", None, TRUSTED, Refusal.PASSWORD_AWAITED),
        ("password", "no", TRUSTED, Refusal.WRONG_PASSWORD),
        ("certificate", None, TRUSTED, None),
        ("certificate", "whatever", TRUSTED, None),
        ("certificate", "pw", None, Refusal.CERTIFICATE_MISSING),
        ("certificate", None, foreign, Refusal.CERTIFICATE_OF_ANOTHER),
        ("certificate-and-password", None, TRUSTED, Refusal.PASSWORD_AWAITED),
        ("certificate-and-password", "pw", TRUSTED, None),
        ("certificate-and-password", "no", TRUSTED, Refusal.WRONG_PASSWORD),
        ("certificate-and-password", "pw", None, Refusal.CERTIFICATE_MISSING),
        ("certificate-and-password", "pw", foreign, Refusal.CERTIFICATE_OF_ANOTHER),
    ):
        desk = Desk(authentication=method, certificates=MINE)
        assert desk.ask(password, certificate) == expected, (method, password, certificate)


def test_the_host_says_how_users_without_a_method_log_in() -> None:
    """A method of the user's own comes first."""
    assert Desk("certificate").ask("pw", None) == Refusal.CERTIFICATE_MISSING
    assert Desk("certificate", authentication="password").ask("pw", None) is None


def test_a_hash_is_spent_on_every_password_and_on_no_name() -> None:
    """PASS costs the same whoever is named and whatever is wrong, and USER nothing at all."""
    cases: tuple[tuple[dict[str, Any], str, ClientCertificate | None], ...] = (
        ({"authentication": "certificate"}, "alice", None),
        ({"authentication": "certificate"}, "alice", SELF_SIGNED),
        ({"authentication": "certificate-and-password"}, "alice", TRUSTED),
        ({"enabled": False}, "alice", TRUSTED),
        ({}, "nobody", TRUSTED),
        ({}, "nobody", None),
    )
    for alice, name, certificate in cases:
        desk = Desk("password", **{"certificates": (CertificateMatch(fingerprint=OTHER),), **alice})
        assert desk.ask(None, certificate, name) is not None
        assert desk.hashed == []
        assert desk.ask("pw", certificate, name) is not None
        assert desk.hashed == [None], (alice, name)


def test_no_certificate_opens_a_user_who_is_kept_out() -> None:
    """Disabled, expired, from elsewhere: the reason is that."""
    desk = Desk(authentication="certificate", certificates=MINE, enabled=False)
    assert desk.ask(None, TRUSTED) == Refusal.DISABLED


def test_a_host_that_needs_certificates_asks_everybody_for_one() -> None:
    """Any that its authorities vouch for, or for users who have some of their own, one of these."""
    for certificates, presented, expected in (
        ((), None, Refusal.CERTIFICATE_MISSING),
        ((), SELF_SIGNED, Refusal.CERTIFICATE_OF_UNKNOWN_AUTHORITY),
        ((), TRUSTED, None),
        (MINE, TRUSTED, None),
        (MINE, SELF_SIGNED, None),
        (MINE, replace(TRUSTED, fingerprint=OTHER), Refusal.CERTIFICATE_OF_ANOTHER),
    ):
        desk = Desk(certificates=certificates)
        assert desk.ask("pw", presented, needs_certificate=True) == expected, (certificates, presented)
        assert desk.ask("pw", None) is None


def test_a_fingerprint_needs_no_authority_but_a_good_certificate() -> None:
    """A pinned certificate is still not to be expired, revoked or unknown to the list of revoked ones."""
    for fault in CertificateFault:
        of_the_authority = (CertificateFault.UNKNOWN_AUTHORITY, CertificateFault.AUTHORITY_EXPIRED)
        expected = None if fault in of_the_authority else Refusal(fault.value)
        assert why_refused(replace(TRUSTED, fault=fault), MINE, NOW) == expected
    assert why_refused(SELF_SIGNED, MINE, TRUSTED.not_after) == Refusal.CERTIFICATE_EXPIRED
    assert why_refused(SELF_SIGNED, MINE, TRUSTED.not_before - timedelta(1)) == Refusal.CERTIFICATE_NOT_YET_VALID


def test_names_are_compared_by_the_rules_of_their_kind() -> None:
    """DNS as in RFC 6125, the domain of an address in any case, URIs to the letter; only where an authority vouches."""
    for name, is_same in (
        ("client.partner.example", True),
        ("a.pool.example", True),
        ("a.b.pool.example", False),
        ("pool.example", False),
        ("other.example", False),  # *.example is for no one: a star needs two labels behind it
        ("partner.example", False),
        ("Alice@example.com", True),
        ("alice@example.com", False),
        ("Alice@example.org", False),
        ("spiffe://example.com/Alice", True),
        ("spiffe://example.com/alice", False),
        ("spiffe://example.com/", False),
        ("example.com", False),
    ):
        wanted = (CertificateMatch(subject_alternative_name=name),)
        found = why_refused(TRUSTED, wanted, NOW)
        assert found == (None if is_same else Refusal.CERTIFICATE_OF_ANOTHER), name
        unknown = why_refused(SELF_SIGNED, wanted, NOW)
        assert unknown == Refusal.CERTIFICATE_OF_UNKNOWN_AUTHORITY, name
