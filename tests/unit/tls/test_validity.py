"""Server certificates out of their dates: who is shown what, and what goes on."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from OpenSSL import SSL
from twisted.internet.task import Clock

from ftpsd.tls.certificates import CertificatePair
from ftpsd.tls.served.validity import Shown, Validity, out_of_date, validity_of
from ftpsd.tls.session_tls import SessionTLS, TLSPolicy
from ftpsd.tls.tickets import TicketContexts
from tests.hosts import authority as other_authority
from tests.hosts import pair_for
from tests.tlsclient import VERSIONS, client_context, connect_control, connect_data

NAME = "other.example.test"
NOW = datetime(2026, 11, 21, tzinfo=UTC)
DAY = timedelta(days=1)


def dated(pair: CertificatePair, begin: datetime = NOW - DAY, end: datetime = NOW + DAY) -> CertificatePair:
    """Return *pair* as if its dates were these; clients look at those inside."""
    return replace(pair, not_before=begin, not_after=end)


def test_moments() -> None:
    """The first is inside, the last is not, as when a pair is loaded."""
    pair = dated(pair_for(NAME))
    for moment, wanted, words in (
        (pair.not_before - timedelta(seconds=1), Validity.NOT_YET, "is not valid before 2026-11-20 00:00 UTC"),
        (pair.not_before, Validity.VALID, ""),
        (NOW, Validity.VALID, ""),
        (pair.not_after, Validity.EXPIRED, "expired on 2026-11-22 00:00 UTC"),
    ):
        assert (validity_of(pair, moment), out_of_date(pair, moment)) == (wanted, words), moment


def test_what_is_shown() -> None:
    """Only what is valid, as long as there is something; nothing or all of it, as is configured, when there is not."""
    first, second = dated(pair_for(NAME)), pair_for(NAME, kind=trustme.KeyType.RSA)
    for serves in (False, True):
        shown = Shown(serves_expired=serves, now=lambda: NOW)
        both = first.beside([dated(second)])
        assert shown.of(first) is first
        assert shown.of(both) is both
        for old, left in ((first, second), (second, first)):
            half = dated(old, end=NOW).beside([dated(left)])
            only = shown.of(half)
            assert only is not None
            assert (only.fingerprint, only.also) == (left.fingerprint, ())
            assert shown.of(half) is only, "contexts are shared by the object"
        gone = dated(first, end=NOW).beside([dated(second, begin=NOW + DAY, end=NOW + 2 * DAY)])
        assert shown.of(gone) is (gone if serves else None)


@pytest.fixture
def connect(pair: CertificatePair, authority: Path) -> Callable[..., SessionTLS]:
    """Return a function that has a client shake hands."""

    def connected(
        main: CertificatePair,
        other: CertificatePair,
        version: ssl.TLSVersion,
        name: str | None,
        *,
        serves: bool = False,
    ) -> SessionTLS:
        context = client_context(authority, version)
        other_authority().configure_trust(context)
        context.check_hostname = name is not None
        shown = Shown(serves_expired=serves, now=lambda: NOW)
        policy = TLSPolicy(choose={NAME: other}.get, shown=shown, tickets=TicketContexts(Clock(), 3600))
        tls = SessionTLS(main, policy)
        connect_control(tls, context, name=name)
        return tls

    return connected


def test_handshakes(connect: Callable[..., SessionTLS], pair: CertificatePair) -> None:
    """A client whose certificate has expired gets an alert, one that asks for another name is served."""
    old, good = dated(pair, end=NOW), dated(pair)
    others = {"old": dated(pair_for(NAME), end=NOW), "good": dated(pair_for(NAME))}
    for version in VERSIONS:
        for name in ("localhost", None):
            with pytest.raises((ssl.SSLError, SSL.Error)):
                connect(old, others["good"], version, name)
            assert connect(old, others["good"], version, name, serves=True).pair is old
            assert connect(good, others["old"], version, name).pair is good
        found = connect(old, others["good"], version, NAME)
        assert found.pair is others["good"]
        assert not found.is_without_certificate
        with pytest.raises((ssl.SSLError, SSL.Error)):
            connect(good, others["old"], version, NAME)


def test_a_session_outlives_its_certificate(pair: CertificatePair, authority: Path) -> None:
    """Data connections go on, those that resume and those that do not."""
    for version in VERSIONS:
        for tickets in (None, TicketContexts(Clock(), 3600)):
            now = [NOW]
            shown = Shown(now=lambda now=now: now[0])  # type: ignore[misc]
            tls = SessionTLS(dated(pair), TLSPolicy(tickets=tickets, shown=shown))
            context = client_context(authority, version)
            control = connect_control(tls, context)
            now[0] += 2 * DAY
            for session in (control.client.tls.session, None):
                with connect_data(tls, context, session) as (_, client):
                    assert client.tls.session_reused is (session is not None), (version, tickets)
