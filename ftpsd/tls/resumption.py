"""
Resumption: did this data connection resume the session of its own control connection?

pyOpenSSL does not expose SSL_session_reused. What tells is the server's own way through the handshake: a full
handshake sends the certificate, a resumed one never does (RFC 5246, 7.3; RFC 8446, 2.2), with tickets or session ids,
in TLS 1.2 and 1.3 alike.

Not having seen a state proves nothing if OpenSSL ever names that state differently. So the absence counts only in a
context in which the presence was seen: there is no session to resume before some handshake of the same context was a
full one. In doubt, a connection is not resumed.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from OpenSSL import SSL

# SSL_state_string_long of TLS_ST_SW_CERT, in OpenSSL 1.1.0 to 4.0.
WRITE_CERTIFICATE = b"SSLv3/TLS write certificate"


class Role(Enum):
    """Which side of a session a TLS connection carries."""

    CONTROL = "control"
    DATA = "data"


@dataclass(slots=True)
class FullHandshakes:
    """What the connections of one context share: whether a handshake of any was seen sending the certificate."""

    seen: bool = False


class ServerConnection(SSL.Connection):
    """A server's TLS connection that remembers how its handshake went."""

    def __init__(
        self, context: SSL.Context, sock: socket.socket | None, role: Role, full_handshakes: FullHandshakes
    ) -> None:
        super().__init__(context, sock)
        self.role = role
        self.full_handshakes = full_handshakes
        self.is_full = False
        self.is_complete = False
        self.named: Callable[[SSL.Connection, str], None] | None = None
        """What to call with the name of the server that the client asks for."""
        self.set_accept_state()


@dataclass(frozen=True, slots=True)
class TLSFacts:
    """What was agreed in a handshake: `TLSv1.3`, `TLS_AES_256_GCM_SHA384`, and whether it resumed a session."""

    version: str
    cipher: str
    resumed: bool


def watch(connection: SSL.Connection, where: int, _value: int) -> None:
    """Follow the handshake of a `ServerConnection`: the info callback of its context."""
    assert isinstance(connection, ServerConnection)
    # A handshake passes here 15 times: the cheap comparisons come first.
    if where == SSL.SSL_CB_ACCEPT_LOOP:
        if not connection.is_full and connection.get_state_string() == WRITE_CERTIFICATE:
            connection.is_full = connection.full_handshakes.seen = True
    elif where == SSL.SSL_CB_HANDSHAKE_DONE:
        connection.is_complete = True


def is_resumed(connection: SSL.Connection) -> bool:
    """Tell whether the completed handshake of *connection* resumed a session of its context."""
    return (
        isinstance(connection, ServerConnection)
        and connection.is_complete
        and not connection.is_full
        and connection.full_handshakes.seen
    )


def describe(connection: SSL.Connection) -> TLSFacts:
    """Return what the handshake of *connection* agreed on."""
    cipher = connection.get_cipher_name() or "none"
    return TLSFacts(connection.get_protocol_version_name(), cipher, is_resumed(connection))
