"""
TLS clients over real sockets and over memory, in one thread.

`Client` is the `ssl` module's, which is OpenSSL too but another build of it: the one that Python's ftplib uses. Its
socket is the other end of a non-blocking pair, and `Client.shake` moves both ends on in turn.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from ftpsd.tls.session_tls import SessionTLS
from ftpsd.wire.clienthello import client_hello

TLS_1_2 = ssl.TLSVersion.TLSv1_2
TLS_1_3 = ssl.TLSVersion.TLSv1_3
VERSIONS = [TLS_1_2, TLS_1_3]


def client_context(
    authority: Path, version: ssl.TLSVersion, *, tickets: bool = True, offers: tuple[str, ...] = ()
) -> ssl.SSLContext:
    """Make the context of a client that speaks only *version* and offers *offers* by ALPN."""
    context = ssl.create_default_context(cafile=str(authority))
    context.minimum_version = context.maximum_version = version
    if not tickets:
        context.options |= ssl.OP_NO_TICKET
    if offers:
        context.set_alpn_protocols(list(offers))
    return context


class Client:
    """The client's end of one connection: TLS over two memory buffers."""

    def __init__(
        self, context: ssl.SSLContext, session: ssl.SSLSession | None = None, name: str | None = "localhost"
    ) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name, session=session)
        self.is_shaken = False

    def take(self, data: bytes) -> bytes:
        """Feed bytes from the server, go on with the handshake, and return the bytes for the server."""
        self._incoming.write(data)
        if not self.is_shaken:
            try:
                self.tls.do_handshake()
                self.is_shaken = True
            except ssl.SSLWantReadError:
                pass
        return self._outgoing.read()

    def read(self, data: bytes = b"") -> bytes:
        """Feed bytes from the server and return what they say; in TLS 1.3 this also takes in the tickets."""
        self._incoming.write(data)
        try:
            return self.tls.read(65536)
        except ssl.SSLWantReadError:
            return b""

    def write(self, data: bytes) -> bytes:
        """Return the bytes that say *data* to the server."""
        self.tls.write(data)
        return self._outgoing.read()


class Recorder(Protocol):
    """The application behind a control connection; it keeps what it is told."""

    def __init__(self) -> None:
        self.received = b""

    def dataReceived(self, data: bytes) -> None:
        self.received += data


@dataclass
class Control:
    """A control connection, both ends of it."""

    # Twisted leaves the methods of both without types.
    server: Any
    transport: Any
    application: Recorder
    client: Client
    clock: Clock

    def pump(self) -> None:
        """Carry bytes to and fro until nobody has any."""
        to_server = self.client.take(b"")
        while True:
            if to_server:
                self.server.dataReceived(to_server)
            to_client = self.transport.value()
            self.transport.clear()
            to_server = self.client.take(to_client)
            if not to_client and not to_server:
                return

    def greet(self) -> bytes:
        """Let the server say something and the client read it, as every FTP session does before its first transfer."""
        self.server.write(b"220 ready\r\n")
        # Twisted gathers what is written until the reactor's next turn.
        self.clock.advance(0)
        reply = self.client.read(self.transport.value())
        self.transport.clear()
        return reply


@implementer(IOpenSSLServerConnectionCreator)
class OverMemory:
    """Lets Twisted's TLS over memory stand in for the socket of a control connection."""

    def __init__(self, tls: SessionTLS) -> None:
        self._tls = tls

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return self._tls.control_connection(None)


def connect_control(
    tls: SessionTLS,
    context: ssl.SSLContext,
    *,
    name: str | None = "localhost",
    session: ssl.SSLSession | None = None,
) -> Control:
    """Open a control connection with its TLS over memory, the handshake done as far as it goes."""
    application = Recorder()
    wrapped: Factory = Factory.forProtocol(lambda: application)
    clock = Clock()
    server: Any = TLSMemoryBIOFactory(OverMemory(tls), False, wrapped, clock).buildProtocol(None)
    make_transport: Any = StringTransport
    control = Control(server, make_transport(), application, Client(context, session, name), clock)
    server.makeConnection(control.transport)
    control.pump()
    assert control.greet() == b"220 ready\r\n"
    return control


@contextmanager
def connect_data(
    tls: SessionTLS,
    context: ssl.SSLContext,
    session: ssl.SSLSession | None = None,
    *,
    name: str | None = "localhost",
    is_cut: bool = False,
) -> Iterator[tuple[SSL.Connection, Client]]:
    """
    Open a data connection over a pair of sockets and end it with close_notify as a finished transfer does.

    With *is_cut* the client's hello comes in two records.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        client = Client(context, session, name)
        hello = in_two_records(client.take(b"")) if is_cut else client.take(b"")
        server = tls.data_connection(ours, client_hello(hello))
        theirs.sendall(hello)
        _shake(server, client, theirs)
        server.send(b"a file")
        assert client.read(theirs.recv(65536)) == b"a file"
        yield server, client
        server.shutdown()


def in_two_records(record: bytes) -> bytes:
    """Cut a client's hello in two, which changes nothing for either end."""
    kind, message = record[:3], record[5:]
    parts = message[: len(message) // 2], message[len(message) // 2 :]
    return b"".join(kind + len(part).to_bytes(2) + part for part in parts)


def _shake(server: SSL.Connection, client: Client, theirs: socket.socket) -> None:
    is_done = False
    to_server = client.take(b"")
    for _ in range(6):
        if to_server:
            theirs.sendall(to_server)
        if not is_done:
            try:
                server.do_handshake()
                is_done = True
            except SSL.WantReadError:
                pass
            finally:
                # Also when the handshake fails: the alert is for the client.
                to_server = client.take(_received(theirs))
        else:
            to_server = client.take(_received(theirs))
        if is_done and client.is_shaken and not to_server:
            return
    raise AssertionError("the handshake does not end")


def _received(sock: socket.socket) -> bytes:
    try:
        return sock.recv(65536)
    except BlockingIOError:
        return b""
