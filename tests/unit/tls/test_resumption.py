"""The data connections that count as resumed, and whose sessions can be resumed."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from OpenSSL import SSL

from ftpsd.tls import native
from ftpsd.tls.certificates import CertificatePair
from ftpsd.tls.resumption import AskedEvidence, StateEvidence, describe, is_resumed, new_evidence
from ftpsd.tls.session_tls import SessionTLS
from ftpsd.wire.clienthello import client_hello
from tests.tlsclient import TLS_1_2, TLS_1_3, VERSIONS, Client, client_context, connect_control, connect_data

# TLS 1.2 with tickets, TLS 1.2 with session ids, TLS 1.3.
KINDS = [(TLS_1_2, True), (TLS_1_2, False), (TLS_1_3, True)]

NewSession = Callable[[], SessionTLS]


@pytest.fixture(params=[AskedEvidence, StateEvidence])
def new_session(request: pytest.FixtureRequest, pair: CertificatePair) -> NewSession:
    """Make the TLS of a session; in turn with what OpenSSL says, and with what its states tell."""
    return lambda: SessionTLS(pair, evidence=request.param())


@pytest.mark.parametrize(("version", "tickets"), KINDS)
def test_control_session_resumes(
    new_session: NewSession, authority: Path, version: ssl.TLSVersion, tickets: bool
) -> None:
    """A data connection that brings its control connection's session is resumed, and both ends say so."""
    tls, context = new_session(), client_context(authority, version, tickets=tickets)
    control = connect_control(tls, context)
    with connect_data(tls, context, control.client.tls.session) as (server, client):
        assert is_resumed(server)
        assert client.tls.session_reused


@pytest.mark.parametrize(("version", "tickets"), KINDS)
def test_new_session_does_not_count(
    new_session: NewSession, authority: Path, version: ssl.TLSVersion, tickets: bool
) -> None:
    """A data connection with a full handshake is not resumed."""
    tls, context = new_session(), client_context(authority, version, tickets=tickets)
    connect_control(tls, context)
    with connect_data(tls, context) as (server, client):
        assert not is_resumed(server)
        assert not client.tls.session_reused


@pytest.mark.parametrize(("version", "tickets"), KINDS)
def test_other_control_session_does_not_resume(
    new_session: NewSession, authority: Path, version: ssl.TLSVersion, tickets: bool
) -> None:
    """A valid session of another control connection, same client and same certificate, gets a full handshake."""
    mine, other = new_session(), new_session()
    context = client_context(authority, version, tickets=tickets)
    connect_control(mine, context)
    stolen = connect_control(other, context).client.tls.session
    with connect_data(mine, context, stolen) as (server, client):
        assert not is_resumed(server)
        assert not client.tls.session_reused


@pytest.mark.parametrize(("version", "tickets"), KINDS)
def test_one_session_resumes_many_times(
    new_session: NewSession, authority: Path, version: ssl.TLSVersion, tickets: bool
) -> None:
    """The control connection's ticket serves for every transfer (lftp, curl and FileZilla bring the same one)."""
    tls, context = new_session(), client_context(authority, version, tickets=tickets)
    control = connect_control(tls, context)  # held: one that goes without close_notify takes its TLS session along
    session = control.client.tls.session
    for _ in range(4):
        with connect_data(tls, context, session) as (server, _client):
            assert is_resumed(server)


@pytest.mark.parametrize(("version", "tickets"), KINDS)
def test_data_session_resumes(new_session: NewSession, authority: Path, version: ssl.TLSVersion, tickets: bool) -> None:
    """The newest session, from the data connection before, resumes too (PHP, Go)."""
    tls, context = new_session(), client_context(authority, version, tickets=tickets)
    control = connect_control(tls, context)  # held: one that goes without close_notify takes its TLS session along
    session = control.client.tls.session
    for _ in range(4):
        with connect_data(tls, context, session) as (server, client):
            assert is_resumed(server)
            session = client.tls.session


@pytest.mark.parametrize("version", VERSIONS)
def test_session_of_an_unresumed_data_connection_is_worth_nothing(
    new_session: NewSession, authority: Path, version: ssl.TLSVersion
) -> None:
    """A stranger at a data port can do a full handshake there; resuming that one must not pass for the client's."""
    tls, context = new_session(), client_context(authority, version)
    connect_control(tls, context)
    with connect_data(tls, context) as (_server, client):
        session = client.tls.session
    with connect_data(tls, context, session) as (server, _client):
        assert not is_resumed(server)
        assert not tls.is_own(server)


def test_every_resumption_brings_a_new_ticket(new_session: NewSession, authority: Path) -> None:
    """In TLS 1.3 each resumed connection issues a fresh ticket, for clients that use one only once (JSSE)."""
    tls, context = new_session(), client_context(authority, TLS_1_3)
    control = connect_control(tls, context)  # held: one that goes without close_notify takes its TLS session along
    session = control.client.tls.session
    assert session is not None
    with connect_data(tls, context, session) as (_server, client):
        assert client.tls.session is not None
        assert client.tls.session.id != session.id


@pytest.mark.parametrize("version", VERSIONS)
def test_session_outlives_default_timeout(new_session: NewSession, authority: Path, version: ssl.TLSVersion) -> None:
    """
    The lifetime told to clients is days, where OpenSSL's default of 300 seconds ends long uploads; and not more than 7:
    Java drops a ticket of TLS 1.2 that would last longer.
    """
    tls, context = new_session(), client_context(authority, version)
    control = connect_control(tls, context)  # held: one that goes without close_notify takes its TLS session along
    session = control.client.tls.session
    assert session is not None
    assert session.ticket_lifetime_hint == 7 * 24 * 3600


def test_pyopenssl_client_resumes(new_session: NewSession) -> None:
    """The other build of OpenSSL, as a client, resumes and is recognised."""
    tls = new_session()
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_session_cache_mode(SSL.SESS_CACHE_CLIENT)
    first = _shake_in_memory(tls, SSL.Connection(context, None))
    second = SSL.Connection(context, None)
    session = first.get_session()
    assert session is not None
    second.set_session(session)
    assert is_resumed(_shake_in_memory(tls, second, as_server=True))


def test_unfinished_handshake_is_not_resumed(new_session: NewSession, authority: Path) -> None:
    """Before its handshake is complete a connection has resumed nothing."""
    tls, context = new_session(), client_context(authority, TLS_1_3)
    control = connect_control(tls, context)  # held: one that goes without close_notify takes its TLS session along
    session = control.client.tls.session
    server = tls.control_connection(None)
    server.bio_write(Client(context, session).take(b""))
    with pytest.raises(SSL.WantReadError):
        server.do_handshake()
    assert not is_resumed(server)


def test_openssl_speaks_too_early(pair: CertificatePair, authority: Path) -> None:
    """OpenSSL calls a session resumed when it has read the ticket: the client has proven nothing by then."""
    tls, context = SessionTLS(pair, evidence=AskedEvidence()), client_context(authority, TLS_1_3)
    control = connect_control(tls, context)  # held: one that goes without close_notify takes its TLS session along
    session = control.client.tls.session
    hello = Client(context, session).take(b"")
    server = tls.data_connection(None, client_hello(hello))
    server.bio_write(hello)
    with pytest.raises(SSL.WantReadError):
        server.do_handshake()
    assert native.session_reused(server)
    assert not is_resumed(server)


def test_refused_handshake_is_not_resumed(new_session: NewSession, authority: Path) -> None:
    """A client whose session is right and whose protocol is not has resumed nothing."""
    tls, context = new_session(), client_context(authority, TLS_1_2)
    control = connect_control(tls, context)  # held: one that goes without close_notify takes its TLS session along
    session = control.client.tls.session
    context.set_alpn_protocols(["http/1.1"])
    hello = Client(context, session).take(b"")
    server = tls.data_connection(None, client_hello(hello))
    server.bio_write(hello)
    with pytest.raises(SSL.Error, match="no application protocol"):
        server.do_handshake()
    assert not is_resumed(server)


def test_openssl_is_asked() -> None:
    """With the pyOpenSSL and cryptography that are installed."""
    assert native.CAN_TELL_REUSE
    assert isinstance(new_evidence(), AskedEvidence)


def test_absence_alone_proves_nothing(pair: CertificatePair, authority: Path) -> None:
    """If OpenSSL renamed the state we look for, no connection would count as resumed, rather than every one."""

    class Blind(StateEvidence):
        def collect(self, context: SSL.Context) -> None:
            """See no state at all."""

    tls, context = SessionTLS(pair, evidence=Blind()), client_context(authority, TLS_1_3)
    control = connect_control(tls, context)
    with connect_data(tls, context, control.client.tls.session) as (server, _client):
        assert not is_resumed(server)


def test_foreign_connection_is_not_resumed() -> None:
    """A connection that nobody watched has not resumed anything."""
    assert not is_resumed(SSL.Connection(SSL.Context(SSL.TLS_SERVER_METHOD), None))


@pytest.mark.parametrize(("version", "name"), [(TLS_1_2, "TLSv1.2"), (TLS_1_3, "TLSv1.3")])
def test_describe(new_session: NewSession, authority: Path, version: ssl.TLSVersion, name: str) -> None:
    """The facts name the version, the suite and the resumption."""
    tls, context = new_session(), client_context(authority, version)
    control = connect_control(tls, context)  # held: one that goes without close_notify takes its TLS session along
    session = control.client.tls.session
    with connect_data(tls, context, session) as (server, client):
        facts = describe(server)
        cipher = client.tls.cipher()
    assert cipher is not None
    assert (facts.version, facts.cipher, facts.resumed) == (name, cipher[0], True)


def _shake_in_memory(tls: SessionTLS, client: SSL.Connection, *, as_server: bool = False) -> SSL.Connection:
    """Complete a handshake of two pyOpenSSL connections and return one of them."""
    server = tls.control_connection(None)
    client.set_connect_state()
    for _ in range(4):
        for end, other in ((client, server), (server, client)):
            try:
                end.do_handshake()
            except SSL.WantReadError:
                pass
            try:
                other.bio_write(end.bio_read(65536))
            except SSL.WantReadError:
                pass
    with pytest.raises(SSL.WantReadError):
        client.recv(1)
    return server if as_server else client
