"""
The TLS of one control session: its control connection and its data connections.

A data connection must resume the TLS session of a control connection: its own, or another live one of the same user,
address and host. A resumed session of the right context proves nothing by itself: any client that reaches a data port
can do a full handshake there, and resume that one the next time. So:

* In TLS 1.2 the master secret identifies the resumed session. A client that speaks TLS 1.2 gets a context that many
  sessions share (`ftpsd.tls.tickets`), so one with a single cache for all of its connections works (rclone, curl -Z).
* In TLS 1.3 the context is the session's own, and only the control connection, and what resumes, is ever given tickets
  of it. OpenSSL draws the ticket keys when a context is made, and the session id context is random. A data connection
  that is going to do a full handshake gets a context that is thrown away: its hello is tried out in memory first. That
  costs a fifth of a small download, so once the trial of a ticket has gone well, others that name the same key are
  believed. Where one is forged, and the handshake is a full one after all, nothing of its context counts any more.

A context never changes after its first connection. A new certificate therefore serves from the next control session on.

A client that names the server (SNI, RFC 6066, 3) on the control connection can be given another certificate. A shared
context is that of the certificate; one of the session's own lends the connection its certificate and nothing else: in
OpenSSL, tickets and session ids belong to the context a connection was made with. The name that a data connection sends
does not matter: it resumes, or gets the certificate of the session.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from weakref import ref

from OpenSSL import SSL

from ftpsd.tls import native
from ftpsd.tls.certificates import CertificatePair
from ftpsd.tls.clients.authorities import Authorities
from ftpsd.tls.clients.presented import presented
from ftpsd.tls.contexts import is_ftp, make_context, select_protocol
from ftpsd.tls.live import secret_of
from ftpsd.tls.resumption import Evidence, Role, ServerConnection, describe, drop_session, is_resumed, new_evidence
from ftpsd.tls.served.validity import Shown
from ftpsd.tls.tickets import KEY_NAME, TicketContext, TicketContexts
from ftpsd.values.handshake import TLSFacts
from ftpsd.values.login.client_certificate import ClientCertificate
from ftpsd.wire.clienthello import NOTHING, TLS_1_2, ClientHello

# SSL_state_string_long of TLS_ST_BEFORE, in OpenSSL 1.1.0 to 4.0.
UNHEARD: Final = b"before SSL initialization"

# Returns the certificate for a name that a client asks for, None for a name that is not configured.
Choice = Callable[[str], CertificatePair | None]
# Tells whether a client that asks for a name, None for no name, is asked for a certificate.
Asks = Callable[[str | None], bool]


def never(_name: str | None) -> bool:
    """Ask no client for a certificate."""
    return False


@dataclass(frozen=True, slots=True)
class TLSPolicy:
    """
    The rules of TLS for a server's sessions.

    *minimum* is "1.2" or "1.3", *maximum* one of these or "auto", see `SessionTLS.choose_version`. *choose* finds the
    certificate for the name a client asks for; without it, and for an unknown name, the host's own is sent.
    *tickets* are the contexts that sessions share; without them each has its own. *shown* leaves out certificates that
    are out of their dates.
    """

    minimum: str = "1.2"
    maximum: str = "1.3"
    choose: Choice | None = None
    tickets: TicketContexts | None = None
    shown: Shown = field(default_factory=Shown)


class SessionTLS:
    """
    The TLS of one control session, made when TLS starts on it.

    *pair* is the certificate for the client at *address*, unless it asks for another name. *evidence*, if not the
    usual, separates resumed handshakes of a context of the session's own. *asks* tells whether a client that asks for
    a name, or for none, is asked for a certificate; without it none is.
    """

    def __init__(
        self,
        pair: CertificatePair,
        policy: TLSPolicy = TLSPolicy(),  # frozen
        evidence: Evidence | None = None,
        *,
        address: str = "",
        asks: Asks | None = None,
    ) -> None:
        self.pair = pair
        """The certificate of the session: after the control connection's handshake, the one that was sent."""
        self.server_name: str | None = None
        """The name the client asked for on the control connection."""
        self.is_without_certificate = False
        """Whether the one that the client asks for is out of its dates and not shown, so that the handshake fails."""
        self.secret: bytes | None = None
        """The `secret_of` the control connection in TLS 1.2, from the end of its handshake."""
        self._is_choosy = policy.minimum == "1.2" and policy.maximum != "1.3"
        self._asks = asks or never
        self._is_asked = self._asks(None)
        self._policy = policy
        self._address = address
        self._evidence = evidence or new_evidence()
        self._session_id = os.urandom(16)
        self._shared: TicketContext | None = None
        self._own: SSL.Context | None = None
        self._chosen: SSL.Context | None = None
        # The name of the key that seals the tickets of the session's own context; empty until one was resumed.
        self._key_name = b""
        self._is_capped = policy.maximum == "1.2"
        # Weak: the context knows when its last connection is gone without the garbage collector.
        self._control: ref[ServerConnection] | None = None
        self.version: str | None = None
        """The version of the control connection, from the end of its handshake: the metrics ask all sessions for it."""
        # Until the login, where its TLS session is in a cache that others share.
        self._stranger: ServerConnection | None = None

    @property
    def has_late_tickets(self) -> bool:
        """
        Whether session tickets may be sent behind a handshake: unless the session speaks TLS 1.2 only.

        The version of the control connection would not do: a data connection could still choose 1.3.
        """
        return not self._is_capped

    @property
    def is_shared(self) -> bool:
        """Whether other sessions use the same context, so that a data connection may resume theirs."""
        return self._shared is not None

    @property
    def has_cache(self) -> bool:
        """Whether TLS sessions are in a cache, where an end without close_notify that OpenSSL reads takes them out."""
        return self._shared is None or self._shared.has_cache

    @property
    def has_input(self) -> bool:
        """Whether anything has come for the control connection's handshake."""
        control = self._control() if self._control is not None else None
        return control is not None and control.get_state_string() != UNHEARD

    @property
    def control_facts(self) -> TLSFacts | None:
        """
        The values that the control connection's handshake agreed on; None before its completion and after the
        connection.
        """
        control = self._control() if self._control is not None else None
        return describe(control) if control is not None and control.is_complete else None

    def presented(self, authorities: Authorities | None) -> ClientCertificate | None:
        """
        Return the certificate of the client at the other end of the control connection, None for none.

        It is the one of the handshake in which the TLS session began, when that was resumed. *authorities* are those
        that count now.
        """
        control = self._control() if self._control is not None else None
        if control is None or not control.is_complete:
            return None
        tickets = self._policy.tickets
        return presented(control, authorities, None if tickets is None else tickets.intermediates)

    @property
    def context(self) -> SSL.Context:
        """The context of the control connection; one of the session's own is made when it is asked for first."""
        return self._shared.context if self._shared is not None else self._own_context()

    @property
    def expires(self) -> float | None:
        """When the session has to end, on the reactor's clock, for its ticket keys to end; None for no such time."""
        return self._shared.expires if self._shared is not None else None

    def choose_version(self, hello: ClientHello) -> None:
        """
        Choose the version for a client that says *hello*, before the control connection is made.

        TLS 1.2 for a client that speaks it. Data connections have to resume the session, and most clients cannot do
        that again and again in TLS 1.3: OpenSSL's drop a ticket once it was used (curl, Ruby, Node, Perl), JSSE too,
        and during an upload none of them reads the next one (data/carry/uplink.py), so the second upload of a session
        fails.
        """
        if not self._is_choosy or TLS_1_2 not in hello.versions:
            return
        self._is_capped = True
        tickets = self._policy.tickets
        if tickets is None or not native.CAN_TELL_REUSE or not is_ftp(hello.protocols, Role.CONTROL):
            return
        if self._policy.choose is not None and hello.server_name is not None:
            self.server_name = hello.server_name
            self._is_asked = self._asks(hello.server_name)
            self.pair = self._policy.choose(hello.server_name) or self.pair
        shown = self._policy.shown.of(self.pair)
        if shown is None:
            return  # a context of its own refuses the client
        self.pair = shown
        if hello.ticket is not None:
            self._shared = tickets.for_all(self.pair, self._policy.minimum, asks=self._is_asked)
        else:
            minimum, address = self._policy.minimum, self._address
            self._shared = tickets.for_address(self.pair, minimum, address, asks=self._is_asked)

    def control_connection(self, sock: socket.socket | None) -> SSL.Connection:
        """Make the control connection's end over *sock*, which does not block, or over memory buffers."""
        control = ServerConnection(self.context, sock, Role.CONTROL, self._evidence)
        if self._policy.choose is not None:
            control.named = self._choose_pair
        control.ask_for_certificate(is_wanted=self._is_asked)
        self._control = ref(control)
        return control

    def was_established(self) -> None:
        """Note that the control connection's handshake is complete."""
        control = self._control() if self._control is not None else None
        self.version = control.get_protocol_version_name() if control is not None else None
        self.secret = secret_of(control) if control is not None else None
        if control is not None and self.secret is not None and self._shared is not None and self._shared.has_cache:
            self._stranger = control
            if not is_resumed(control):
                self._shared.strangers.add(self.secret)

    def was_used(self) -> None:
        """Note that a user has logged in: the TLS session may be resumed as long as its context lives."""
        if self._stranger is not None and self._shared is not None and self.secret is not None:
            self._shared.strangers.discard(self.secret)
        self._stranger = None

    def has_ended(self, *, is_wanted: bool) -> None:
        """
        Note that the control connection has gone, before it is let go of.

        Unless the TLS session *is_wanted* by another control session, or a user has logged in over it, also before it
        was resumed here, it leaves OpenSSL's cache.
        """
        stranger, self._stranger = self._stranger, None
        if stranger is None or is_wanted or self._shared is None or self.secret not in self._shared.strangers:
            return
        self._shared.strangers.remove(self.secret)
        drop_session(stranger)

    def data_connection(self, sock: socket.socket | None, hello: ClientHello = NOTHING) -> SSL.Connection:
        """
        Make the server's end of a data connection whose client says *hello*.

        *sock* is connected and does not block; without it the connection is over memory buffers, and its output goes
        out when the owner sends it. ftpsd is the server of TLS in active mode too (RFC 4217, 7). The handshake
        belongs in the reactor thread: pyOpenSSL hands the exception of a refused ALPN list to whichever thread next
        calls into the context.
        """
        if self._shared is not None and is_ftp(hello.protocols, Role.DATA):
            assert self._policy.tickets is not None
            issuer = self._policy.tickets.issuer(hello.ticket or b"") or self._shared
            connection = ServerConnection(issuer.context, sock, Role.DATA, self._evidence)
            connection.ask_for_certificate(is_wanted=self._is_asked)
            return connection
        context = self._own_context()
        is_believed = not self._is_capped and self._is_own_ticket(hello.identity)
        if not self._is_capped and not is_believed:
            if self._resumes(context, hello):
                self._key_name = hello.identity[:KEY_NAME]
            else:
                context = self._make_context(self.pair)
        connection = ServerConnection(context, sock, Role.DATA, self._evidence)
        if is_believed:
            connection.not_resumed = self._begin_anew
        if self._chosen is not None:
            connection.set_context(self._chosen)
        connection.ask_for_certificate(is_wanted=self._is_asked)
        return connection

    def is_own(self, connection: SSL.Connection) -> bool:
        """Return whether the data *connection* resumes the TLS session of this control connection."""
        secret = secret_of(connection)
        if secret is not None:
            return secret == self.secret
        return is_resumed(connection) and isinstance(connection, ServerConnection) and connection.origin is self._own

    def _is_own_ticket(self, ticket: bytes) -> bool:
        """Return whether *ticket* names the key of the own context; anybody on the line can read that name."""
        return bool(self._key_name) and ticket[:KEY_NAME] == self._key_name

    def _begin_anew(self) -> None:
        """
        Let nothing resume the own context any more: a stranger has got tickets of it.

        Only somebody on the line can have forged a ticket of its name. The client's tickets have gone too, so that its
        transfers are refused; whoever is on the line can have that for less.
        """
        self._own = None
        self._key_name = b""

    def has_same_client(self, connection: SSL.Connection) -> bool:
        """Return whether the client of the data *connection* has presented the control connection's certificate."""
        control = self._control() if self._control is not None else None
        if control is None or not isinstance(connection, ServerConnection) or not connection.is_complete:
            return False
        ours, theirs = control.get_peer_certificate(), connection.get_peer_certificate()
        return ours is not None and theirs is not None and ours.digest("sha256") == theirs.digest("sha256")

    def _resumes(self, context: SSL.Context, hello: ClientHello) -> bool:
        """
        Return whether OpenSSL would let a client that says *hello* resume a session of *context*.

        Not after it has asked for a second hello (RFC 8446, 4.1.4); no known client makes it ask.
        """
        if hello is NOTHING:
            return False
        trial = ServerConnection(context, None, Role.DATA, self._evidence)
        trial.bio_write(hello.records)
        try:
            trial.do_handshake()
        except SSL.Error:
            pass  # it waits for more, or refuses the hello, as it will again
        return self._evidence.is_resumed(trial)

    def _own_context(self) -> SSL.Context:
        """Return the context of this session alone. Costs about 0.09 ms when it is asked for first."""
        if self._own is None:
            # A certificate that expires under a session stays that of its data connections.
            shown = self._policy.shown.of(self.pair) if self._control is None else self.pair
            self.is_without_certificate = shown is None
            self.pair = shown or self.pair
            self._own = self._make_context(shown)
            # Without a certificate OpenSSL speaks TLS 1.3 only where a name could bring one.
            if self._policy.choose is not None or shown is None:
                self._own.set_tlsext_servername_callback(note_asked_name)
        return self._own

    def _make_context(self, pair: CertificatePair | None) -> SSL.Context:
        context = make_context(pair, self._policy.minimum, self._session_id, select_protocol)
        if self._is_capped:
            context.set_max_proto_version(SSL.TLS1_2_VERSION)
        self._evidence.collect(context)
        return context

    def _choose_pair(self, control: ServerConnection, name: str) -> None:
        """Give the *control* connection, whose client asks for *name*, the certificate of that name."""
        assert self._policy.choose is not None
        self.server_name = name
        pair = self._policy.choose(name)
        self._is_asked = self._asks(name)
        control.ask_for_certificate(is_wanted=self._is_asked)
        # OpenSSL asks again when the client has to send its hello a second time (RFC 8446, 4.1.4).
        shown = None if pair is None else self._policy.shown.of(pair)
        if pair is not None and (shown is None or shown is not self.pair or self.is_without_certificate):
            self.pair = shown or pair
            self.is_without_certificate = shown is None
            self._chosen = self._make_context(shown)
            control.set_context(self._chosen)


def note_asked_name(connection: SSL.Connection) -> None:
    """Note on the session of *connection* the server its client asks for; a name that is not ASCII is none."""
    assert isinstance(connection, ServerConnection)
    name = connection.get_servername()
    # RFC 6066, 3: a name is ASCII.
    if connection.named is not None and name and name.isascii():
        connection.named(connection, name.decode("ascii"))
