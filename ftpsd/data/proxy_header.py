"""
Connections that a TCP proxy passes on: the header that names the client comes before anything else.

The stage stands between accept() and the server of the connection, on the bare socket, and takes exactly the header out
of it: TLS and FTP behind it find the stream as if the client had connected itself.

* Whether a header is read depends on the address of the connection alone, never on what it sends.
* A trusted proxy has HEADER_TIMEOUT seconds; at most MAX_WAITING connections wait for their header.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

from ftpsd.data.sockets import DataPort, DataSocket
from ftpsd.wire.address import plain_address
from ftpsd.wire.proxy import MAX_V2_REST, V2_FIXED, Header, HeaderReader, Proxied, ProxyHeaderError

# Proxies send the header with the connection. Section 2 asks receivers to wait at least 3 s: for one lost packet.
HEADER_TIMEOUT = 5.0
# Beyond it the proxy is not well, or another program has its address.
MAX_WAITING = 1024

MOST_BYTES = V2_FIXED + MAX_V2_REST

Arrived = Callable[[DataSocket, Header], None]
Refused = Callable[[str, str], None]


class HeaderStage:
    """
    The reader of the headers of connections from *trusted* networks, of at most *most* at a time.

    *refused* is called with the address of a connection that was closed, and the reason, in words for the operator.
    """

    def __init__(
        self, trusted: Iterable[IPv4Network | IPv6Network], clock: Any, refused: Refused, most: int = MAX_WAITING
    ) -> None:
        self.refused = refused
        self._trusted = tuple(trusted)
        self._clock = clock
        self._most = most
        self._waiting: set[_Awaited] = set()

    def trusts(self, address: str) -> bool:
        """Return whether *address* is a proxy's."""
        parsed = ip_address(address)
        return any(parsed in network for network in self._trusted)

    def read(self, sock: DataSocket, address: str, arrived: Arrived) -> None:
        """Call *arrived* with the header of *sock*, which came from *address*; or close it."""
        if len(self._waiting) >= self._most:
            sock.close()
            self.refused(address, "too many connections wait for their header")
            return
        awaited = _Awaited(self, sock, address, arrived, self._clock)
        self._waiting.add(awaited)
        awaited.step()

    def close(self) -> None:
        """Close all connections that still wait: the port is closed."""
        for awaited in list(self._waiting):
            awaited.end()

    def over(self, awaited: _Awaited) -> None:
        """Forget a connection that no longer waits; called by itself."""
        self._waiting.discard(awaited)


class _Awaited:
    """One connection whose header is awaited."""

    def __init__(self, stage: HeaderStage, sock: DataSocket, address: str, arrived: Arrived, clock: Any) -> None:
        self._stage = stage
        self._socket = sock
        self._address = address
        self._arrived = arrived
        self._reader = HeaderReader()
        self._timer = clock.callLater(HEADER_TIMEOUT, self._refuse, "no PROXY header in time")

    def step(self) -> None:
        """Take what belongs to the header out of the socket, and nothing behind it."""
        sock = self._socket.socket
        try:
            data = sock.recv(MOST_BYTES, socket.MSG_PEEK)
            if not data:
                self._refuse("closed before its PROXY header")
                return
            sock.recv(self._reader.feed(data))
        except BlockingIOError:
            pass
        except OSError:
            self._refuse("lost before its PROXY header")
            return
        except ProxyHeaderError as problem:
            self._refuse(str(problem))
            return
        header = self._reader.header
        if header is None:
            self._socket.watch(self.step, read=True)
            return
        self._leave()
        # The next owner of the socket is another object to the reactor, which knows descriptors by their numbers.
        self._socket.unwatch()
        self._arrived(self._socket, header)

    def end(self) -> None:
        """Close the connection."""
        self._leave()
        self._socket.close()

    def _refuse(self, why: str) -> None:
        self.end()
        self._stage.refused(self._address, why)

    def _leave(self) -> None:
        if self._timer.active():
            self._timer.cancel()
        self._stage.over(self)


class ProxiedDataPort(DataPort):
    """
    A passive port behind a proxy: connections from proxies belong to the client that their header names.

    Others belong to the address they come from: clients may reach the passive ports without the proxy.
    """

    def __init__(
        self,
        port: int,
        interface: str,
        accept: Callable[[str], Callable[[DataSocket], None] | None],
        reactor: Any,
        stage: HeaderStage,
    ) -> None:
        self._stage = stage
        super().__init__(port, interface, accept, reactor)

    def accepted(self, sock: socket.socket, address: tuple[Any, ...]) -> None:
        """Read the header of a connection that comes from a proxy."""
        host = plain_address(address[0])
        if self._stage.trusts(host):
            self._stage.read(DataSocket(sock, self.reactor), host, self._introduced)
        else:
            super().accepted(sock, address)

    def _introduced(self, sock: DataSocket, header: Header) -> None:
        # A proxy's own connection is no client's data connection.
        arrived = self.ask(header.source.host) if isinstance(header, Proxied) else None
        if arrived is None:
            sock.close()
        else:
            arrived(sock)
