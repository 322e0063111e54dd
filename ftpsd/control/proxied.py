"""
The control port behind a TCP proxy: only proxies may connect, and each connection begins with a PROXY header.

The header is taken before a session begins. Everything above sees the client's address as the peer, and the address the
client reached as the host.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address

from ftpsd.audit.bus import AuditBus
from ftpsd.audit.events import ConnectionRejected, DataConnectionRefused, Who
from ftpsd.config.model import ProxyProtocol
from ftpsd.control.factory import ControlFactory
from ftpsd.control.transport import ControlTransport
from ftpsd.data.proxy_header import HeaderStage, Refused
from ftpsd.data.sockets import DataSocket, RawPort
from ftpsd.wire.address import plain_address
from ftpsd.wire.proxy import Endpoint, Header, Proxied

# The name in audit log and metrics of a connection without a valid header.
REASON = "proxy-protocol"
PASSIVE = "passive"


class ProxiedTransport(ControlTransport):
    """A control connection that a proxy passes on for a client."""

    def __init__(self, sock: socket.socket, protocol: Any, real: Proxied, port: Any, number: int, reactor: Any) -> None:
        self._real = real
        super().__init__(sock, protocol, (real.source.host, real.source.port), port, number, reactor)

    def getPeer(self) -> IPv4Address | IPv6Address:
        """Return the client's address, not the proxy's."""
        return _address(self._real.source)

    def getHost(self) -> IPv4Address | IPv6Address:
        """Return the address that the client reached."""
        return _address(self._real.destination)


class ProxiedControlPort(RawPort):
    """A control listener for the proxies of *settings* only."""

    def __init__(
        self, port: int, interface: str, factory: ControlFactory, settings: ProxyProtocol, bus: AuditBus, reactor: Any
    ) -> None:
        super().__init__(port, interface, reactor)
        self._sessions = factory
        self._stage = HeaderStage(settings.trusted, reactor, rejecting(bus, factory.name))

    def adopt(self, descriptor: int, family: int) -> None:
        """Listen on a socket that is there already; the descriptor itself stays the caller's."""
        self._preexistingSocket = socket.fromfd(descriptor, family, socket.SOCK_STREAM)
        self.startListening()

    def accepted(self, sock: socket.socket, address: tuple[Any, ...]) -> None:
        """Read the header of a proxy; close every other connection, whatever its header claims."""
        host = plain_address(address[0])
        if not self._stage.trusts(host):
            sock.close()
            self._stage.refused(host, "not one of proxy_protocol.trusted")
            return

        def arrived(connection: DataSocket, header: Header) -> None:
            self._begin(connection.socket, address, header)

        self._stage.read(DataSocket(sock, self.reactor), host, arrived)

    def connectionLost(self, reason: Any) -> None:
        """Close the connections that still wait for their header together with the port."""
        self._stage.close()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def _begin(self, sock: socket.socket, address: tuple[Any, ...], header: Header) -> None:
        """Begin the session."""
        self.sessionno += 1
        number = self.sessionno
        transport: ControlTransport
        if isinstance(header, Proxied):
            protocol = self._sessions.buildProtocol(_address(header.source))
            transport = ProxiedTransport(sock, protocol, header, self, number, self.reactor)
        else:
            # The proxy speaks for itself, most likely a health check: it is its own peer.
            protocol = self._sessions.buildProtocol(None)
            transport = ControlTransport(sock, protocol, address, self, number, self.reactor)
        protocol.makeConnection(transport)  # type: ignore[no-untyped-call]


def rejecting(bus: AuditBus, listener: str) -> Refused:
    """Return the function that publishes that a control connection was turned away."""

    def refused(address: str, why: str) -> None:
        bus.publish(ConnectionRejected(Who("", None, address, listener), REASON, why))

    return refused


def rejecting_data(bus: AuditBus) -> Refused:
    """Return the function that publishes that a data connection was turned away."""

    def refused(address: str, why: str) -> None:
        bus.publish(DataConnectionRefused(Who("", None, address, PASSIVE), REASON, detail=why))

    return refused


def _address(endpoint: Endpoint) -> IPv4Address | IPv6Address:
    return (IPv6Address if ":" in endpoint.host else IPv4Address)("TCP", endpoint.host, endpoint.port)
