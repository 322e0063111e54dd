"""More certificates by the name a client asks for, and data connections that stay with their session."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from ftpsd.tls.certificates import CertificatePair
from ftpsd.tls.resumption import AskedEvidence, StateEvidence, is_resumed
from ftpsd.tls.session_tls import SessionTLS, TLSPolicy
from tests.hosts import authority as other_authority
from tests.hosts import pair_for
from tests.tlsclient import VERSIONS, client_context, connect_control, connect_data

NAME = "other.example.test"
NAMES = {NAME: pair_for(NAME)}


@pytest.fixture(params=VERSIONS, ids=lambda version: version.name)
def version(request: pytest.FixtureRequest) -> ssl.TLSVersion:
    """In turn both versions."""
    chosen: ssl.TLSVersion = request.param
    return chosen


@pytest.fixture(params=[AskedEvidence, StateEvidence])
def tls(request: pytest.FixtureRequest, pair: CertificatePair) -> SessionTLS:
    """The TLS of a session that knows a second name; both ways to tell that it was resumed."""
    return SessionTLS(pair, TLSPolicy(choose=NAMES.get), request.param())


def trusting(authority: Path, version: ssl.TLSVersion, *, tickets: bool = True) -> ssl.SSLContext:
    context = client_context(authority, version, tickets=tickets, offers=("ftp",))
    other_authority().configure_trust(context)
    return context


def test_a_known_name(tls: SessionTLS, authority: Path, version: ssl.TLSVersion) -> None:
    """The client sees the certificate of the name, and it is the session's."""
    control = connect_control(tls, trusting(authority, version), name=NAME)
    assert control.client.tls.selected_alpn_protocol() == "ftp"
    assert (tls.server_name, tls.pair) == (NAME, NAMES[NAME])


def test_an_unknown_name(tls: SessionTLS, pair: CertificatePair, authority: Path, version: ssl.TLSVersion) -> None:
    """The main certificate."""
    connect_control(tls, trusting(authority, version), name="localhost")
    assert (tls.server_name, tls.pair) == ("localhost", pair)


def test_no_name(tls: SessionTLS, pair: CertificatePair, authority: Path, version: ssl.TLSVersion) -> None:
    """The main certificate, too."""
    context = trusting(authority, version)
    context.check_hostname = False
    connect_control(tls, context, name=None)
    assert (tls.server_name, tls.pair) == (None, pair)


@pytest.mark.parametrize("tickets", [True, False], ids=["tickets", "ids"])
@pytest.mark.parametrize("name", [NAME, None, "127.0.0.1", "elsewhere.example.test"])
def test_data_connections_resume(
    tls: SessionTLS, authority: Path, version: ssl.TLSVersion, tickets: bool, name: str | None
) -> None:
    """The session of another certificate, whatever name they send (curl sends it, ncftp does not)."""
    context = trusting(authority, version, tickets=tickets)
    # Held: a control connection that is gone without close_notify takes its TLS 1.2 session along.
    control = connect_control(tls, context, name=NAME)
    context.check_hostname = False
    with connect_data(tls, context, control.client.tls.session, name=name) as (server, client):
        assert client.tls.session_reused
        assert is_resumed(server)


@pytest.mark.parametrize("name", ["localhost", NAME, None])
def test_data_connections_resume_the_main_certificate(
    tls: SessionTLS, authority: Path, version: ssl.TLSVersion, name: str | None
) -> None:
    """A known name on a data connection changes nothing."""
    context = trusting(authority, version)
    control = connect_control(tls, context)
    context.check_hostname = False
    with connect_data(tls, context, control.client.tls.session, name=name) as (server, client):
        assert client.tls.session_reused
        assert is_resumed(server)


@pytest.mark.parametrize("name", [NAME, None])
def test_a_data_connection_shows_the_certificate_of_the_session(
    tls: SessionTLS, authority: Path, version: ssl.TLSVersion, name: str | None
) -> None:
    """Where it does not resume, which the policy may allow."""
    context = trusting(authority, version)
    connect_control(tls, context, name=NAME)
    context.check_hostname = False
    with connect_data(tls, context, name=name) as (server, client):
        shown = client.tls.getpeercert()
        assert shown is not None
        assert shown["subjectAltName"] == (("DNS", NAME),)
        assert not is_resumed(server)


def test_another_session_of_the_same_name_is_not_resumed(
    tls: SessionTLS, pair: CertificatePair, authority: Path, version: ssl.TLSVersion
) -> None:
    """The certificate is shared, tickets are not."""
    context = trusting(authority, version)
    control = connect_control(
        tls, context, name=NAME
    )  # held: one that goes without close_notify takes its TLS session along
    session = control.client.tls.session
    second = SessionTLS(pair, TLSPolicy(choose=NAMES.get))
    connect_control(second, context, name=NAME)
    with connect_data(second, context, session, name=NAME) as (server, client):
        assert not client.tls.session_reused
        assert not is_resumed(server)
