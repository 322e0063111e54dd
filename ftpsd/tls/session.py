"""
The TLS of one control session: one SSL.Context, its control connection and its data connections.

A data connection may resume only its own control session because the context is the session's own. OpenSSL draws the
ticket keys when a context is made, and the session id context is random: a ticket or session id of any other context,
so of any other control session, is unknown here and leads to a full handshake. `ftpsd.tls.resumption` tells the two
apart.

A context never changes after its first connection. A new certificate therefore serves from the next control session on.

A client that names the server it wants (SNI, RFC 6066, 3) on the control connection can be shown another certificate.
That one sits in a second context, which lends the connection its certificate and nothing else: in OpenSSL, tickets and
session ids belong to the context a connection was made with. Whatever name a data connection sends, or none, it is the
session's own: it resumes, or is shown the certificate of the session.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Final
from weakref import ref

from OpenSSL import SSL

from ftpsd.tls.certificates import CertificatePair
from ftpsd.tls.resumption import Evidence, Role, ServerConnection, TLSFacts, describe, new_evidence
from ftpsd.wire.clienthello import TLS_1_2

VERSIONS: Final = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}

# Forward secrecy and authenticated encryption only. AES comes first: server processors have it in hardware.
# vsftpd offers ECDHE-RSA-AES256-GCM-SHA384 alone, so clients of FTPS servers know these.
SUITES_1_2: Final = b":".join(
    [
        b"ECDHE-ECDSA-AES256-GCM-SHA384",
        b"ECDHE-RSA-AES256-GCM-SHA384",
        b"ECDHE-ECDSA-AES128-GCM-SHA256",
        b"ECDHE-RSA-AES128-GCM-SHA256",
        b"ECDHE-ECDSA-CHACHA20-POLY1305",
        b"ECDHE-RSA-CHACHA20-POLY1305",
    ]
)
SUITES_1_3: Final = b"TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"

# Seconds. Far above the longest session: with OpenSSL's default of 300 s nothing can follow an upload of five minutes
# (proftpd's FAQ; vsftpd uses INT_MAX). In TLS 1.3 OpenSSL tells clients at most 7 days (RFC 8446, 4.6.1).
SESSION_TIMEOUT: Final = 30 * 24 * 3600

# SSL_MODE_ENABLE_PARTIAL_WRITE, which pyOpenSSL sets and does not name. Without it SSL_write takes a whole buffer: 15%
# less processor time for bulk downloads.
ENABLE_PARTIAL_WRITE: Final = 0x1

# SSL_state_string_long of TLS_ST_BEFORE, in OpenSSL 1.1.0 to 4.0.
UNHEARD: Final = b"before SSL initialization"

# What a client may offer (RFC 7301; the names are IANA's "ftp" and FileZilla's "ftp-data"), the preferred name first.
PROTOCOLS: Final = {Role.CONTROL: (b"ftp",), Role.DATA: (b"ftp-data", b"ftp")}

# Returns the certificate for a name that a client asks for, None for a name nobody has configured.
Choice = Callable[[str], CertificatePair | None]


class SessionTLS:
    """
    The TLS of one control session, made when TLS starts on it. Costs about 0.09 ms.

    *minimum_version* is "1.2" or "1.3". *choose* finds the certificate for the name a client asks for; without it, and
    for a name it does not know, *pair* is shown. *evidence*, if not the usual, tells resumed handshakes.
    """

    def __init__(
        self,
        pair: CertificatePair,
        minimum_version: str = "1.2",
        choose: Choice | None = None,
        evidence: Evidence | None = None,
    ) -> None:
        self.pair = pair
        """The certificate of the session: after the control connection's handshake, the one that was shown."""
        self.server_name: str | None = None
        """The name the client asked for on the control connection."""
        self._minimum_version = minimum_version
        self._choose = choose
        self._session_id = os.urandom(16)
        self._evidence = evidence or new_evidence()
        self.context = make_context(pair, minimum_version, self._session_id, self._evidence)
        if choose is not None:
            self.context.set_tlsext_servername_callback(hear_name)
        self._chosen: SSL.Context | None = None
        self.is_choosy = False
        """Whether `meet` wants to know what the client offers."""
        self._is_capped = False
        # Weak: the context knows when its last connection is gone without the garbage collector.
        self._control: ref[ServerConnection] | None = None

    @property
    def has_late_tickets(self) -> bool:
        """
        Whether session tickets may be sent behind a handshake: unless the context speaks TLS 1.2 only.

        The version of the control connection would not do: a data connection could still choose 1.3.
        """
        return not self._is_capped

    @property
    def has_heard(self) -> bool:
        """Whether anything has come for the control connection's handshake."""
        control = self._control() if self._control is not None else None
        return control is not None and control.get_state_string() != UNHEARD

    @property
    def control_facts(self) -> TLSFacts | None:
        """What the control connection's handshake agreed on; None before its completion and after the connection."""
        control = self._established_control
        return describe(control) if control is not None else None

    @property
    def _established_control(self) -> ServerConnection | None:
        control = self._control() if self._control is not None else None
        return control if control is not None and control.is_complete else None

    def allow(self, maximum_version: str) -> None:
        """Set the newest version before the first connection: "1.2", "1.3", or "auto", see `meet`."""
        self.is_choosy = maximum_version == "auto" and self._minimum_version == "1.2"
        if maximum_version == "1.2":
            self._cap()

    def meet(self, offered: frozenset[int]) -> None:
        """
        Choose the version for a client that has *offered* these, before the first connection is made.

        TLS 1.2 for a client that speaks it. Data connections have to resume the session, and most clients cannot do
        that again and again in TLS 1.3: OpenSSL's drop a ticket once it was used (curl, Ruby, Node, Perl), JSSE too,
        and during an upload none of them reads the next one (data/uplink.py), so the second upload of a session fails.
        """
        if TLS_1_2 in offered:
            self._cap()

    def _cap(self) -> None:
        self.context.set_max_proto_version(SSL.TLS1_2_VERSION)
        self._is_capped = True

    def control_connection(self, sock: socket.socket | None) -> SSL.Connection:
        """Make the control connection's end over *sock*, which does not block, or over memory buffers."""
        control = ServerConnection(self.context, sock, Role.CONTROL, self._evidence)
        if self._choose is not None:
            control.named = self._show
        self._control = ref(control)
        return control

    def _show(self, control: SSL.Connection, name: str) -> None:
        """Show the client of the *control* connection, who asks for *name*, the certificate of that name."""
        assert self._choose is not None
        self.server_name = name
        pair = self._choose(name)
        # OpenSSL asks again when the client has to send its hello a second time (RFC 8446, 4.1.4).
        if pair is not None and pair is not self.pair:
            self.pair = pair
            self._chosen = make_context(pair, self._minimum_version, self._session_id, self._evidence)
            control.set_context(self._chosen)

    def data_connection(self, sock: socket.socket) -> SSL.Connection:
        """
        Make the server's end of a data connection over *sock*, which is connected and does not block.

        ftpsd is the server of TLS in active mode too (RFC 4217, 7). The handshake belongs in the reactor thread:
        pyOpenSSL hands the exception of a refused ALPN list to whichever thread next calls into the context.
        """
        return self._data_connection(sock)

    def buffered_data_connection(self) -> SSL.Connection:
        """Make the same over memory buffers: what it wants to send goes out when its owner says so."""
        return self._data_connection(None)

    def _data_connection(self, sock: socket.socket | None) -> SSL.Connection:
        connection = ServerConnection(self.context, sock, Role.DATA, self._evidence)
        if self._chosen is not None:
            connection.set_context(self._chosen)
        return connection


def make_context(pair: CertificatePair, minimum_version: str, session_id: bytes, evidence: Evidence) -> SSL.Context:
    """Make a context whose sessions no other context can resume; *session_id* is 16 random bytes of the session."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(VERSIONS[minimum_version])
    context.set_cipher_list(SUITES_1_2)
    context.set_tls13_ciphersuites(SUITES_1_3)
    context.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.clear_mode(ENABLE_PARTIAL_WRITE)
    # Saves 28 of 68 KiB of an idle session and costs bulk transfers nothing that could be measured.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    # Tickets are on unless switched off. The cache is for TLS 1.2 clients that know session ids only, and nobody else's
    # sessions enter it, so OpenSSL's default size, which pyOpenSSL cannot change, does no harm.
    context.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
    context.set_session_id(session_id)
    context.set_timeout(SESSION_TIMEOUT)
    context.set_alpn_select_callback(select_protocol)
    evidence.collect(context)
    pair.install(context)
    return context


def hear_name(connection: SSL.Connection) -> None:
    """Tell the session of *connection* which server the client asks for; no name, or one that is not ASCII, is none."""
    assert isinstance(connection, ServerConnection)
    name = connection.get_servername()
    # RFC 6066, 3: a name is ASCII.
    if connection.named is not None and name and name.isascii():
        connection.named(connection, name.decode("ascii"))


def select_protocol(connection: SSL.Connection, offered: list[bytes]) -> bytes:
    """
    Choose from the protocols a client offers; a client that offers none is never asked.

    Raises:
        SSL.Error: none of them is FTP. OpenSSL then answers with the alert no_application_protocol (RFC 7301, 3.2): a
            browser or mail client that was lured here must not get as far as reading our replies (ALPACA).
    """
    assert isinstance(connection, ServerConnection)
    for protocol in PROTOCOLS[connection.role]:
        if protocol in offered:
            return protocol
    # In the shape of OpenSSL's own errors: whoever asks why a handshake failed finds the reason in the usual place.
    raise SSL.Error([("SSL routines", "", "no application protocol")])
