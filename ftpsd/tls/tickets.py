"""
Contexts that several control sessions share, so that a client may use one TLS session cache for all of its connections.

Shared contexts speak TLS 1.2 only. There the master secret of a resumed connection is that of the session it resumes,
and identifies its control connection (`ftpsd.tls.live`); TLS 1.3 derives new secrets each time. There are two kinds.

* For clients that know tickets, one context for all. OpenSSL draws the keys of tickets when a context is made; this one
  is made anew after `lifetime`, which ends all that its keys can decrypt. A data connection may present a ticket of
  another context than its control connection's, after that time: the first bytes of a ticket name the key, and so the
  context, that it came from (RFC 5077, 4).
* For clients that know session ids only (curl before 8.12), one for each client address: sessions of a context fill
  OpenSSL's cache, and a client without an account must not be able to fill that of others. The context goes with its
  last session, and a TLS session without a login does not stay in it: 1.2 KiB for each handshake, up to 20,480 for each
  address.

A context lives as long as the last session that began with it, and no session keeps it longer than `MOST_SECONDS`:
`TicketContext.expires` is that moment. No session begins with a context whose time is more than half over, so every
session has twelve hours.

Nothing here raises an exception in a callback of OpenSSL: pyOpenSSL keeps it with the context, and whichever connection
of the context fails next, in whatever thread, would get it. A client that is to be refused by its list of protocols
therefore never gets a shared context.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakValueDictionary

from OpenSSL import SSL
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ftpsd.tls.certificates import CertificatePair
from ftpsd.tls.clients.intermediates import Intermediates
from ftpsd.tls.contexts import make_context, select_known
from ftpsd.wire.clienthello import HEADER

# A ticket begins with the name of its key: 16 bytes (RFC 5077, 4, which OpenSSL follows).
KEY_NAME: Final = 16
MOST_SECONDS: Final = 24 * 3600.0

_HANDSHAKE = 22
_NEW_SESSION_TICKET = 4
# type and length of a handshake message, lifetime and length of the ticket
_BEFORE_TICKET = 1 + 3 + 4 + 2


@dataclass(slots=True, eq=False, weakref_slot=True)
class TicketContext:
    """
    A context that sessions share; *expires* is on the reactor's clock, when its last session has to end.

    With *has_cache* it keeps sessions in memory, for clients that know session ids only; *strangers* are the secrets of
    those that no user has logged in over, as `ftpsd.tls.live` has them. They go with their last control connection.
    """

    context: SSL.Context
    expires: float
    has_cache: bool
    key_name: bytes = b""
    strangers: set[bytes] = field(default_factory=set)


class TicketContexts:
    """
    The shared contexts of a process; those for tickets are made anew every *lifetime* seconds.

    All calls belong in the reactor thread.
    """

    def __init__(self, clock: IReactorTime, lifetime: float) -> None:
        self._lifetime = lifetime
        self._clock = clock
        # The pair is kept with the context, so that its id stands for no other one meanwhile.
        self._current: dict[tuple[int, str, bool], tuple[CertificatePair, TicketContext, IDelayedCall]] = {}
        self._by_key: WeakValueDictionary[bytes, TicketContext] = WeakValueDictionary()
        self._by_address: WeakValueDictionary[tuple[frozenset[str], str, bool, str], TicketContext]
        self._by_address = WeakValueDictionary()
        self.intermediates = Intermediates()
        """Of the clients whose sessions began with these contexts."""

    @property
    def lifetime(self) -> float:
        """
        The time for which new sessions share a context, in seconds.

        With another one, new sessions get new contexts at once: a shorter one is there for the old keys to go.
        """
        return self._lifetime

    @lifetime.setter
    def lifetime(self, seconds: float) -> None:
        if seconds != self._lifetime:
            self._lifetime = seconds
            for _pair, _context, end in self._current.values():
                end.cancel()
            self._current.clear()

    def for_all(self, pair: CertificatePair, minimum_version: str, *, asks: bool = False) -> TicketContext:
        """
        Return the context for clients that know tickets and are shown *pair*. Makes one in 1.5 ms if need be.

        Where it *asks* for certificates, no session is resumed that began without the question.
        """
        key = id(pair), minimum_version, asks
        if key not in self._current:
            found = self._make(pair, minimum_version, SSL.SESS_CACHE_OFF)
            found.key_name = _key_name(found.context)
            self._by_key[found.key_name] = found
            # On time also where no client connects.
            end = self._clock.callLater(self._lifetime, self._current.pop, key)
            self._current[key] = pair, found, end
        return self._current[key][1]

    def for_address(
        self, pair: CertificatePair, minimum_version: str, address: str, *, asks: bool = False
    ) -> TicketContext:
        """Return the context for clients at *address* that know session ids only. Makes one in 0.09 ms if need be."""
        key = pair.fingerprints, minimum_version, asks, address
        found = self._by_address.get(key)
        if found is None or found.expires - self._clock.seconds() < MOST_SECONDS / 2:
            found = self._by_address[key] = self._make(pair, minimum_version, SSL.SESS_CACHE_SERVER)
        return found

    def __len__(self) -> int:
        return len(self._current) + len(self._by_address)

    def issuer(self, ticket: bytes) -> TicketContext | None:
        """Return the living context whose key *ticket* names."""
        return self._by_key.get(ticket[:KEY_NAME])

    def _make(self, pair: CertificatePair, minimum_version: str, cache: int) -> TicketContext:
        context = make_context(pair, minimum_version, os.urandom(16), select_known)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        context.set_session_cache_mode(cache)
        has_cache = cache == SSL.SESS_CACHE_SERVER
        return TicketContext(context, self._clock.seconds() + MOST_SECONDS, has_cache)


def _key_name(context: SSL.Context) -> bytes:
    """
    Return the name of the key with which *context* seals tickets.

    OpenSSL gives the name to clients only, so a client in memory asks for a ticket, which TLS 1.2 sends in clear.
    """
    ours = SSL.Context(SSL.TLS_CLIENT_METHOD)
    ours.set_max_proto_version(SSL.TLS1_2_VERSION)
    client, server = SSL.Connection(ours, None), SSL.Connection(context, None)
    client.set_connect_state()
    server.set_accept_state()
    last = b""
    for speaker, listener in ((client, server), (server, client), (client, server), (server, client)):
        try:
            speaker.do_handshake()
        except SSL.WantReadError:
            pass
        last = speaker.bio_read(1 << 16)
        listener.bio_write(last)
    if last[0] != _HANDSHAKE or last[HEADER] != _NEW_SESSION_TICKET:
        raise AssertionError("a server that knows tickets ends a full handshake of TLS 1.2 with one (RFC 5077, 3.3)")
    return last[HEADER + _BEFORE_TICKET :][:KEY_NAME]
