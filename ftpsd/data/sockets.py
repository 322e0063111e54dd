"""
Sockets of data connections, as the reactor sees them: readiness only.

A `DataSocket` never moves a byte. When the reactor finds it readable or writable it calls its owner, who decides
whether the reactor thread or a worker acts on the socket next. Watching is one-shot for that reason: while a worker
holds the socket, the reactor must not touch it. A socket that is watched again before the owner has returned was never
let go: that saves four changes of the epoll set for a small file.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IReactorFDSet, IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from ftpsd.wire.address import plain_address

# Connections the kernel may hold between two accepts of one port; a client that opens many at once must not find the
# queue full.
BACKLOG = 1024

# Linux only. Clients that leave Nagle on send the end of their handshake in two pieces and hold the second back until
# the first is acknowledged: lftp's mirror then takes 40 ms more for every file.
QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)

# Linux only. A small file, its close_notify and the FIN wake the client once instead of three times. The kernel holds
# nothing back for longer than 0.2 s.
CORK: int | None = getattr(socket, "TCP_CORK", None)

# Bytes that the kernel takes from us before the network takes them; bytes under way are not in it, so a fast line is as
# fast. Without it 200 slow readers held 820 MiB of kernel memory (tcp_wmem), and 1,000 all that the system has for TCP
# (tcp_mem), which then drops everybody's segments; with it 75 MiB, at the same speed and processor time.
UNSENT: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", None)
MOST_UNSENT = 256 * 1024


# Seconds of silence before the kernel asks whether the client is still there, and between two questions; after so many
# without an answer the connection has ended. The kernel's own 2 hours are too long: NAT gateways and firewalls forget a
# connection after 4 to 6 minutes, those of a control connection while its transfer runs.
KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_COUNT = 120, 30, 4
# By the names that systems have for them: Linux and FreeBSD the first, macOS the second.
_IDLE: int | None = getattr(socket, "TCP_KEEPIDLE", getattr(socket, "TCP_KEEPALIVE", None))
_INTERVAL: int | None = getattr(socket, "TCP_KEEPINTVL", None)
_COUNT: int | None = getattr(socket, "TCP_KEEPCNT", None)


def keep_alive(sock: socket.socket) -> None:
    """Let the kernel keep the TCP connection of *sock* alive on its way, and find out when the client has gone."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((_IDLE, KEEPALIVE_IDLE), (_INTERVAL, KEEPALIVE_INTERVAL), (_COUNT, KEEPALIVE_COUNT)):
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def prepare(sock: socket.socket) -> None:
    """Set *sock* up for data: one that listens hands this on to all that it accepts, so that no file pays for it."""
    # Nagle would hold the last record of the handshake and the close_notify back for 40 to 200 ms (vsftpd 3.0.3).
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    keep_alive(sock)
    if UNSENT is not None:
        sock.setsockopt(socket.IPPROTO_TCP, UNSENT, MOST_UNSENT)


@implementer(IReadWriteDescriptor)
class DataSocket:
    """One connected TCP socket that has been prepared, watched by *reactor* for its owner; it blocks no more."""

    def __init__(self, sock: socket.socket, reactor: IReactorFDSet) -> None:
        self.socket = sock
        self.is_closed = False
        self._reactor = reactor
        self._descriptor = sock.fileno()
        self._ready: Callable[[], None] | None = None
        self._reading = self._writing = False
        self._is_gathering = False
        sock.setblocking(False)

    def watch(self, ready: Callable[[], None], *, read: bool = False, write: bool = False) -> None:
        """Call *ready* once, in the reactor, when the socket can be read or written as asked, or has failed."""
        self._ready = ready
        self._register(read, write)

    def acknowledge_at_once(self) -> None:
        """Send the next acknowledgement without delay; where the system cannot, it comes when it comes."""
        if QUICK_ACK is not None:
            self.socket.setsockopt(socket.IPPROTO_TCP, QUICK_ACK, 1)

    def gather(self) -> None:
        """Hold small pieces back until there is a full segment or the FIN, so that they arrive at once."""
        if CORK is not None and not self._is_gathering:
            self._is_gathering = True
            self.socket.setsockopt(socket.IPPROTO_TCP, CORK, 1)

    def release(self) -> None:
        """Hold nothing back any more, and send the held-back pieces."""
        if CORK is not None and self._is_gathering:
            self._is_gathering = False
            self.socket.setsockopt(socket.IPPROTO_TCP, CORK, 0)

    def unwatch(self) -> None:
        """Take the socket out of the reactor's hands."""
        self._ready = None
        self._register(False, False)

    def _register(self, read: bool, write: bool) -> None:
        if read != self._reading:
            self._reading = read
            if read:
                self._reactor.addReader(self)
            else:
                self._reactor.removeReader(self)
        if write != self._writing:
            self._writing = write
            if write:
                self._reactor.addWriter(self)
            else:
                self._reactor.removeWriter(self)

    def sever(self) -> None:
        """End the TCP connection at once, whoever holds the socket; the holder then finds it dead and closes it."""
        if not self.is_closed:
            try:
                self.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the peer was faster

    def close(self) -> None:
        """Close the socket. Only its holder may do this."""
        if not self.is_closed:
            self.unwatch()
            self.is_closed = True
            self.socket.close()

    def fileno(self) -> int:
        """
        Return the descriptor, also after closing (IFileDescriptor).

        Nothing is registered any more by then; a -1 would make the reactor search its whole table for this object.
        """
        return self._descriptor

    def doRead(self) -> None:
        """Pass readiness on (IReadDescriptor)."""
        self._pass_on()

    def doWrite(self) -> None:
        """Pass readiness on (IWriteDescriptor)."""
        self._pass_on()

    def connectionLost(self, reason: Failure) -> None:
        """Pass an error or hang-up on: the next read or write raises it (IFileDescriptor)."""
        self._reading = self._writing = False
        self._pass_on()

    def logPrefix(self) -> str:
        """Name the descriptor in Twisted's log (ILoggingContext)."""
        return "data connection"

    def _pass_on(self) -> None:
        ready, self._ready = self._ready, None
        if ready is not None:
            ready()
        if self._ready is None:
            self._register(False, False)


class RawPort(tcp.Port):
    """A listener that hands every connection over as a bare socket: no transport and no protocol of Twisted's."""

    def __init__(self, port: int, interface: str, reactor: Any) -> None:
        super().__init__(port, self, BACKLOG, interface, reactor)  # type: ignore[arg-type]

    def createInternetSocket(self) -> socket.socket:
        """Return the socket to listen on, prepared for all that it accepts (tcp.Port)."""
        sock: socket.socket = super().createInternetSocket()  # type: ignore[no-untyped-call]
        prepare(sock)
        return sock

    def accepted(self, sock: socket.socket, address: tuple[Any, ...]) -> None:
        """Take *sock*, which came from *address*."""
        raise NotImplementedError

    def doRead(self) -> None:
        """Accept one connection: with a listener for each port there is rarely a second."""
        try:
            sock, address = self.socket.accept()
        except BlockingIOError:
            return
        except OSError:
            # Twisted handles a lack of descriptors: it closes new connections until there are some.
            super().doRead()  # type: ignore[no-untyped-call]
            return
        self.accepted(sock, address)

    def buildProtocol(self, address: object) -> None:
        """Close what `tcp.Port.doRead` accepts (IProtocolFactory)."""

    def doStart(self) -> None:
        """Nothing to start: the port is its own factory."""

    def doStop(self) -> None:
        """Nothing to stop."""


class DataPort(RawPort):
    """
    The long-lived listener of one passive port.

    *accept* is asked for every connection with the client's address; None closes the connection.
    """

    def __init__(
        self, port: int, interface: str, accept: Callable[[str], Callable[[DataSocket], None] | None], reactor: Any
    ) -> None:
        self.ask = accept
        super().__init__(port, interface, reactor)

    def accepted(self, sock: socket.socket, address: tuple[Any, ...]) -> None:
        """Ask whose connection this is."""
        arrived = self.ask(plain_address(address[0]))
        if arrived is None:
            sock.close()
        else:
            arrived(DataSocket(sock, self.reactor))
