"""The TLS of one control session: versions, suites, ALPN, both channels."""

from __future__ import annotations

import gc
import socket
import ssl
import weakref
from pathlib import Path

import pytest
from OpenSSL import SSL

from ftpsd.tls.certificates import CertificatePair
from ftpsd.tls.contexts import SUITES_1_2
from ftpsd.tls.session_tls import SessionTLS, TLSPolicy
from ftpsd.wire.clienthello import TLS_1_2 as VERSION_1_2
from ftpsd.wire.clienthello import TLS_1_3 as VERSION_1_3
from ftpsd.wire.clienthello import ClientHello
from tests.tlsclient import TLS_1_2, TLS_1_3, VERSIONS, client_context, connect_control, connect_data

# OpenSSL's suites of security level 0, so that a client offers what it normally would not.
WEAK = "ALL:@SECLEVEL=0"


@pytest.mark.parametrize("version", VERSIONS)
def test_control_connection_carries_data(pair: CertificatePair, authority: Path, version: ssl.TLSVersion) -> None:
    """Lines that the client says on the control connection arrive in clear behind Twisted's TLS."""
    control = connect_control(SessionTLS(pair), client_context(authority, version))
    control.server.dataReceived(control.client.write(b"FEAT\r\n"))
    assert control.application.received == b"FEAT\r\n"


@pytest.mark.parametrize("version", VERSIONS)
def test_control_facts(pair: CertificatePair, authority: Path, version: ssl.TLSVersion) -> None:
    """Once the handshake of the control connection is complete, its facts say with what it ended."""
    tls = SessionTLS(pair)
    before = tls.control_facts
    control = connect_control(tls, client_context(authority, version))
    facts = tls.control_facts
    assert before is None
    assert facts is not None
    assert (facts.version, facts.resumed) == (control.client.tls.version(), False)


def test_no_reference_cycle(pair: CertificatePair) -> None:
    """A session's context, 50 KiB, goes with its last reference and does not wait for the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        tls = SessionTLS(pair)
        connection = tls.control_connection(None)
        gone = weakref.ref(tls.context)
        del tls, connection
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("maximum", "offered", "is_late"),
    [
        ("auto", {VERSION_1_2}, False),
        ("auto", {VERSION_1_2, VERSION_1_3}, False),
        ("auto", {VERSION_1_3}, True),
        ("auto", set(), True),
        ("1.2", {VERSION_1_2, VERSION_1_3}, False),
    ],
)
def test_tickets_come_late_unless_every_connection_is_of_1_2(
    pair: CertificatePair, authority: Path, maximum: str, offered: set[int], is_late: bool
) -> None:
    """Also a data connection that would take TLS 1.3 where the control connection did not gets 1.2."""
    tls = SessionTLS(pair, TLSPolicy(maximum=maximum))
    tls.choose_version(ClientHello(frozenset(offered)))
    speaks_both = client_context(authority, TLS_1_2)
    speaks_both.maximum_version = TLS_1_3
    with connect_data(tls, speaks_both) as (_server, client):
        assert client.tls.version() == ("TLSv1.3" if is_late else "TLSv1.2")
    assert tls.has_late_tickets == is_late


def test_a_control_connection_of_1_2_is_not_enough(pair: CertificatePair, authority: Path) -> None:
    """With `tls.maximum_version: 1.3` the data connection may be newer: tickets are held back."""
    tls = SessionTLS(pair, TLSPolicy(maximum="1.3"))
    control = connect_control(tls, client_context(authority, TLS_1_2))
    assert control.client.tls.version() == "TLSv1.2"
    assert tls.has_late_tickets


def test_data_connection_does_not_block(pair: CertificatePair) -> None:
    """A data connection on a silent socket asks for readiness at once, in the server's role."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        connection = SessionTLS(pair).data_connection(ours)
        with pytest.raises(SSL.WantReadError):
            connection.do_handshake()


def test_whole_buffers_are_written(pair: CertificatePair, authority: Path) -> None:
    """A send larger than a record takes the whole buffer, which is what partial-write mode would not do."""
    tls = SessionTLS(pair)
    with connect_data(tls, client_context(authority, TLS_1_3)) as (server, _client):
        assert server.send(bytes(40_000)) == 40_000


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("offers", [("ftp",), ("http/1.1", "ftp"), ("ftp", "ftp-data")])
def test_control_answers_ftp(
    pair: CertificatePair, authority: Path, version: ssl.TLSVersion, offers: tuple[str, ...]
) -> None:
    """The control connection chooses ftp wherever it is in the list."""
    control = connect_control(SessionTLS(pair), client_context(authority, version, offers=offers))
    assert control.client.tls.selected_alpn_protocol() == "ftp"


@pytest.mark.parametrize(
    ("offers", "chosen"), [(("ftp-data",), "ftp-data"), (("ftp",), "ftp"), (("ftp", "ftp-data"), "ftp-data")]
)
def test_data_answers_ftp_data(pair: CertificatePair, authority: Path, offers: tuple[str, ...], chosen: str) -> None:
    """A data connection chooses ftp-data, or ftp when that is all there is."""
    with connect_data(SessionTLS(pair), client_context(authority, TLS_1_3, offers=offers)) as (_server, client):
        assert client.tls.selected_alpn_protocol() == chosen


@pytest.mark.parametrize("version", VERSIONS)
def test_client_without_alpn(pair: CertificatePair, authority: Path, version: ssl.TLSVersion) -> None:
    """A client that offers nothing by ALPN is served."""
    control = connect_control(SessionTLS(pair), client_context(authority, version))
    assert control.client.tls.selected_alpn_protocol() is None


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("offers", [("http/1.1", "h2"), ("ftp-data",), ("x-filezilla-ftp",)])
def test_control_refuses_other_protocols(
    pair: CertificatePair, authority: Path, version: ssl.TLSVersion, offers: tuple[str, ...]
) -> None:
    """A list without ftp gets the alert no_application_protocol (ALPACA), and no reply can be read."""
    with pytest.raises(ssl.SSLError, match="no application protocol"):
        connect_control(SessionTLS(pair), client_context(authority, version, offers=offers))


@pytest.mark.parametrize("version", VERSIONS)
def test_data_refuses_other_protocols(pair: CertificatePair, authority: Path, version: ssl.TLSVersion) -> None:
    """A browser that reaches a data connection gets the alert, and the server an SSL.Error that says why."""
    context = client_context(authority, version, offers=("http/1.1",))
    with (
        pytest.raises(ssl.SSLError, match="no application protocol") as caught,
        connect_data(SessionTLS(pair), context),
    ):
        pass
    refusal = caught.value.__context__
    assert isinstance(refusal, SSL.Error)
    assert refusal.args[0][0][2] == "no application protocol"


def test_alpn_on_resumption(pair: CertificatePair, authority: Path) -> None:
    """A session negotiated for ftp resumes on a data connection that answers ftp-data (FileZilla)."""
    tls = SessionTLS(pair)
    context = client_context(authority, TLS_1_3, offers=("ftp", "ftp-data"))
    control = connect_control(tls, context)  # held: one that goes without close_notify takes its TLS session along
    session = control.client.tls.session
    with connect_data(tls, context, session) as (_server, client):
        assert client.tls.session_reused
        assert client.tls.selected_alpn_protocol() == "ftp-data"


def test_tls_1_1_is_refused(pair: CertificatePair, authority: Path) -> None:
    """A client of TLS 1.1 gets the alert protocol_version."""
    context = client_context(authority, TLS_1_2)
    context.set_ciphers(WEAK)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match="protocol version"):
        connect_control(SessionTLS(pair), context)


def test_minimum_version_1_3(pair: CertificatePair, authority: Path) -> None:
    """With minimum_version 1.3 a client of TLS 1.2 is refused."""
    with pytest.raises(ssl.SSLError, match="protocol version"):
        connect_control(SessionTLS(pair, TLSPolicy(minimum="1.3")), client_context(authority, TLS_1_2))


@pytest.mark.parametrize(
    "suite",
    [
        "ECDHE-ECDSA-AES128-SHA256",
        "ECDHE-ECDSA-AES256-SHA",
        "ECDHE-ECDSA-AES256-CCM8",
        "AECDH-AES256-SHA",
        "AES256-GCM-SHA384",
    ],
)
def test_weak_suite_is_refused(pair: CertificatePair, authority: Path, suite: str) -> None:
    """A client with nothing but CBC, short tags, no authentication or no forward secrecy finds no common suite."""
    context = client_context(authority, TLS_1_2)
    context.set_ciphers(f"{suite}:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match="handshake failure"):
        connect_control(SessionTLS(pair), context)


def test_suites_have_forward_secrecy_and_aead() -> None:
    """Every suite for TLS 1.2 is ephemeral and authenticated encryption."""
    for suite in SUITES_1_2.decode().split(":"):
        assert suite.startswith("ECDHE-")
        assert "GCM" in suite or "POLY1305" in suite


def test_server_prefers_aes(pair: CertificatePair, authority: Path) -> None:
    """The server's order decides, not the client's."""
    context = client_context(authority, TLS_1_2)
    context.set_ciphers("ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384")
    control = connect_control(SessionTLS(pair), context)
    cipher = control.client.tls.cipher()
    assert cipher is not None
    assert cipher[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"


def test_renegotiation_is_refused(pair: CertificatePair) -> None:
    """A TLS 1.2 client that asks for a new handshake inside the session gets none."""
    server = SessionTLS(pair).control_connection(None)
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    client = SSL.Connection(context, None)
    client.set_connect_state()
    _shake(client, server)
    client.renegotiate()
    with pytest.raises(SSL.WantReadError):
        client.do_handshake()
    server.bio_write(client.bio_read(65536))
    with pytest.raises(SSL.WantReadError):
        server.recv(1)
    client.bio_write(server.bio_read(65536))
    with pytest.raises(SSL.Error, match="no renegotiation"):
        client.do_handshake()


def test_no_certificate_is_requested(pair: CertificatePair, authority: Path) -> None:
    """The server asks for no client certificate, which z/OS would not survive."""
    requested: list[int] = []
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_info_callback(
        lambda connection, where, _value: (
            requested.append(where)
            if connection.get_state_string() == b"SSLv3/TLS read server certificate request"
            else None
        )
    )
    client = SSL.Connection(context, None)
    client.set_connect_state()
    _shake(client, SessionTLS(pair).control_connection(None))
    assert not requested


@pytest.mark.parametrize("version", VERSIONS)
def test_control_closes_with_close_notify(pair: CertificatePair, authority: Path, version: ssl.TLSVersion) -> None:
    """The end of the control connection is a close_notify, without which GnuTLS clients report an error."""
    control = connect_control(SessionTLS(pair), client_context(authority, version))
    control.server.loseConnection()
    control.client.take(control.transport.value())
    # A mere end of the bytes would raise SSLWantReadError here.
    assert control.client.tls.read(1) == b""


def _shake(client: SSL.Connection, server: SSL.Connection) -> None:
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
