"""
A control connection, both ends of it: the server's is the product's own transport, over TCP on loopback.

Sent bytes are waited for, so that nothing depends on how fast the kernel delivers. Only this connection has
its turns here: when data connections move on is the test's to say.
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

from twisted.internet.protocol import Protocol

from ftpsd.control.proxied import ProxiedTransport
from ftpsd.wire.proxy import Endpoint, Proxied
from tests.reactor import PATIENCE, Reactor, tcp_pair

CONTROL_PORT, CLIENT_PORT = 21, 40000
_INFO = struct.Struct("=B127xQ8xI52xQQ")
# TCP_ESTABLISHED, TCP_CLOSE_WAIT: the server has not said FIN.
OPEN = (1, 8)


class Connection:
    """The client's end of a control connection from *peer* to *host*, whose server's end *protocol* has."""

    def __init__(self, reactor: Reactor, protocol: Protocol, peer: str, host: str) -> None:
        self._reactor = reactor
        self._ours, self.socket = tcp_pair()
        self.socket.setblocking(False)
        self._was_reset = False
        port: Any = None
        real = Proxied(Endpoint(peer, CLIENT_PORT), Endpoint(host, CONTROL_PORT))
        self.transport: Any = ProxiedTransport(self._ours, protocol, real, port, 1, reactor)
        connect: Callable[[Any], None] = protocol.makeConnection
        connect(self.transport)

    @property
    def is_reading(self) -> bool:
        """Whether the server reads from the client."""
        return self._reactor.is_reading(self.transport)

    @property
    def is_closed(self) -> bool:
        """Whether the server has said that it sends no more."""
        return self._ours.fileno() < 0 or _info(self._ours)[0] not in OPEN

    @property
    def is_cut(self) -> bool:
        """Whether the server has cut the connection off: the client gets a reset, where a close is a FIN."""
        if self._ours.fileno() >= 0 or self._was_reset:
            return self._was_reset
        poll = select.poll()
        poll.register(self.socket, select.POLLRDHUP)
        ((_, events),) = poll.poll(1000 * PATIENCE)
        return bool(events & select.POLLERR)

    def deliver(self, data: bytes) -> None:
        """Send *data* and let the server take it, as long as it reads; for a server that has gone it is lost."""
        while data:
            try:
                data = data[self.socket.send(data) :]
            except BlockingIOError:
                assert self.is_reading, "there is no room for what the client sends"
            except OSError:
                return
            self.serve()

    def serve(self) -> None:
        """Let the server take what has been sent, and go on with what it has to send."""
        while self._has_turn():
            pass

    def take(self) -> bytes:
        """Return what the server has sent since, without a turn for it."""
        taken = b""
        while True:
            is_coming = self._is_coming()
            try:
                piece = self.socket.recv(1 << 16)
            except BlockingIOError:
                if is_coming:
                    continue
                return taken
            except OSError as error:
                self._was_reset |= isinstance(error, ConnectionResetError)
                return taken
            if not piece:
                return taken
            taken += piece

    def hear(self) -> bytes:
        """Return what the server has sent, and sends as the client reads on."""
        heard = self.take()
        while self._has_turn():
            heard += self.take()
        return heard

    def hang_up(self, *, clean: bool = True) -> None:
        """End the connection from the client's side, if the server reads on; not *clean* is with a reset."""
        if clean:
            with suppress(OSError):  # it has ended
                self.socket.shutdown(socket.SHUT_WR)
        else:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.socket.close()
        deadline = monotonic() + PATIENCE
        while self.is_reading or self._reactor.is_writing(self.transport):
            assert monotonic() < deadline, "the server takes no notice"
            self._reactor.turn(0.01, only=self.transport)

    def _has_turn(self) -> bool:
        """Give the server a turn; False: it has nothing to do, and nothing is on its way to it."""
        is_awaited = self.is_reading and self.socket.fileno() >= 0 and _on_its_way(self.socket, self._ours) > 0
        return self._reactor.turn(0.001 if is_awaited else 0.0, only=self.transport) or is_awaited

    def _is_coming(self) -> bool:
        """Whether something is on its way to the client, the end included."""
        return self._ours.fileno() < 0 or _on_its_way(self._ours, self.socket) > 0


def _on_its_way(sender: socket.socket, receiver: socket.socket) -> int:
    """Return how many bytes the kernel has still to deliver."""
    _, _, waiting, sent, again = _info(sender)
    return sent - again + waiting - _info(receiver)[1]


def _info(sock: socket.socket) -> tuple[int, int, int, int, int]:
    """Return of tcp_info (linux/tcp.h, since 4.19): state, bytes received, not sent yet, sent, and sent again."""
    state, received, waiting, sent, again = _INFO.unpack_from(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256))
    return state, received, waiting, sent, again
