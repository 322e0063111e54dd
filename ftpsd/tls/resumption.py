"""
Resumption: did this data connection resume the session of its own control connection?

OpenSSL knows, and pyOpenSSL does not pass it on. So OpenSSL is asked (`native.session_reused`), and only about a
complete handshake. A version of cryptography without that binding, which may bring an urgent security fix, must not
stop the server: there the states of the handshake are the evidence. Following them costs 14 to 24 us of 45 (TLS 1.2,
resumed) to 250 (TLS 1.3, full).

In doubt, a connection is not resumed.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from OpenSSL import SSL
from OpenSSL.crypto import X509

from ftpsd.tls import native
from ftpsd.values.handshake import TLSFacts

# SSL_state_string_long of TLS_ST_SW_CERT, in OpenSSL 1.1.0 to 4.0.
WRITE_CERTIFICATE = b"SSLv3/TLS write certificate"


class Role(Enum):
    """The side of a session that a TLS connection carries."""

    CONTROL = "control"
    DATA = "data"


class Evidence(Protocol):
    """Evidence that separates resumed handshakes of one context from full ones."""

    def collect(self, context: SSL.Context) -> None:
        """Set *context* up for it, before its first connection."""

    def is_resumed(self, connection: ServerConnection) -> bool:
        """Return whether the complete handshake of *connection* resumed a session of the context."""


class ServerConnection(SSL.Connection):
    """A server's TLS connection that knows whether its handshake is complete, with the evidence of its kind."""

    def __init__(self, context: SSL.Context, sock: socket.socket | None, role: Role, evidence: Evidence) -> None:
        super().__init__(context, sock)
        self.role = role
        self.evidence = evidence
        self.is_full = False
        """Whether `StateEvidence` saw a full handshake."""
        self.is_complete = False
        self.is_foreign = False
        """Whether the client offers protocols of which none is FTP, and its context could not refuse that."""
        self.named: Callable[[ServerConnection, str], None] | None = None
        """The function to call with the name of the server that the client asks for."""
        self.origin = context
        """The context it was made with, whose sessions it can resume; SNI may lend it the certificate of another."""
        self.not_resumed: Callable[[], None] | None = None
        """The function to call when the handshake is complete and has resumed nothing."""
        self.set_accept_state()
        self.has_asked = False
        """Whether a client that does not resume a session is asked for its certificate."""
        native.read_record_by_record(self, is_over_memory=sock is None)

    def ask_for_certificate(self, *, is_wanted: bool) -> None:
        """Ask the client for its certificate, or do not; any is taken, and none too, for the login to judge."""
        if is_wanted is not self.has_asked:
            self.has_asked = is_wanted
            self.set_verify(SSL.VERIFY_PEER if is_wanted else SSL.VERIFY_NONE, take_any)

    def do_handshake(self) -> None:
        """Take the handshake a step further; without an exception it is complete."""
        super().do_handshake()
        if self.is_foreign:
            raise no_application_protocol()
        self.is_complete = True
        if self.not_resumed is not None and not self.evidence.is_resumed(self):
            self.not_resumed()


def take_any(_connection: SSL.Connection, _certificate: X509, _error: int, _depth: int, _is_good: int) -> bool:
    """Go on with the handshake, whatever OpenSSL thinks of the certificate: see `ftpsd.tls.clients.authorities`."""
    return True


def no_application_protocol() -> SSL.Error:
    """Return the error of a client that offers other protocols only, in the shape of OpenSSL's own."""
    return SSL.Error([("SSL routines", "", "no application protocol")])


class AskedEvidence:
    """OpenSSL's own word."""

    def collect(self, context: SSL.Context) -> None:
        """Nothing to set up."""

    def is_resumed(self, connection: ServerConnection) -> bool:
        """See `Evidence.is_resumed`."""
        return native.session_reused(connection)


class StateEvidence:
    """
    The server's own way through the handshake, followed with OpenSSL's info callback.

    A full handshake sends the certificate, a resumed one never does (RFC 5246, 7.3; RFC 8446, 2.2), with tickets or
    session ids, in TLS 1.2 and 1.3 alike. Not having seen a state proves nothing if OpenSSL ever names that state
    differently. So the absence counts only in a context in which the presence was seen: there is no session to resume
    before some handshake of the same context was a full one.
    """

    def __init__(self) -> None:
        self._seen = False

    def collect(self, context: SSL.Context) -> None:
        """See `Evidence.collect`."""
        context.set_info_callback(self._follow)

    def is_resumed(self, connection: ServerConnection) -> bool:
        """See `Evidence.is_resumed`."""
        return self._seen and not connection.is_full

    def _follow(self, connection: SSL.Connection, where: int, _value: int) -> None:
        assert isinstance(connection, ServerConnection)
        # A handshake passes here 18 times: the cheap comparison comes first.
        if where == SSL.SSL_CB_ACCEPT_LOOP and connection.get_state_string() == WRITE_CERTIFICATE:
            connection.is_full = self._seen = True


def new_evidence() -> Evidence:
    """Return the evidence of resumption for a new context."""
    return AskedEvidence() if native.CAN_TELL_REUSE else StateEvidence()


def has_asked(connection: SSL.Connection) -> bool:
    """Return whether the client of *connection* is asked for its certificate if it does not resume a session."""
    return isinstance(connection, ServerConnection) and connection.has_asked


def is_resumed(connection: SSL.Connection) -> bool:
    """Return whether the handshake of *connection* is complete and resumed a session of its context."""
    return (
        isinstance(connection, ServerConnection)
        and connection.is_complete
        and connection.evidence.is_resumed(connection)
    )


def keep_session(connection: SSL.Connection) -> None:
    """
    Let the TLS session of *connection*, which goes without the end that TLS prescribes, stay in its context's cache.

    OpenSSL would take it out, as if it were this connection's alone (RFC 5246, 7.2.1 no longer asks for that): clients
    that know session ids only could not resume it for their next transfer, nor for those on their other connections.
    """
    connection.set_shutdown(SSL.SENT_SHUTDOWN | SSL.RECEIVED_SHUTDOWN)


def drop_session(connection: SSL.Connection) -> None:
    """Let the TLS session of *connection* leave its context's cache when the connection is let go of."""
    connection.set_shutdown(0)


def describe(connection: SSL.Connection) -> TLSFacts:
    """Return the values that the handshake of *connection* agreed on."""
    cipher = connection.get_cipher_name() or "none"
    group = native.group_name(connection)
    return TLSFacts(connection.get_protocol_version_name(), cipher, is_resumed(connection), group)
