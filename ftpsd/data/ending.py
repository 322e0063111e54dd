"""
Endings: the close of a data connection behind its last byte.

A close() while client bytes are still on their way would answer them with a RST, and a RST can overtake the end of the
file, or the reply with the reason of a refusal. So the socket lingers: bytes that still come are read and forgotten
until the client's own FIN, within bounds.

* A connection lingers LINGER seconds at most and reads LINGER_BYTES; one that was refused REFUSED seconds, and it stops
  reading at as many bytes, but closes no earlier: by then the client has its reply.
* A session has at most MOST_LINGERING of them, a further one closes the oldest, and they end with the session.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from OpenSSL import SSL
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ftpsd.data.carry.uplink import Uplink
from ftpsd.data.sockets import DataSocket
from ftpsd.data.trouble import Cause

if TYPE_CHECKING:
    from ftpsd.data.connection import DataConnection

# How long a finished connection waits for the client's FIN, in seconds.
LINGER = 10.0
# The same for a refused one: beyond `candidates.GRACE`, after which the reply leaves.
REFUSED = 5.0
# Bytes that a client may still send meanwhile before we stop reading from it.
LINGER_BYTES = 256 * 1024
# Clients close theirs within a round trip; this many are for one that uploads small files as fast as it can.
MOST_LINGERING = 8

# Bytes taken from the socket in one call.
RECEIVED = 16 * 1024


def say_goodbye(sock: DataSocket, secure: Uplink | SSL.Connection | None) -> None:
    """
    Send close_notify, where the connection is *secure*, and FIN.

    Raises:
        SSL.WantWriteError, SSL.WantReadError: call again when the socket is writable.
    """
    try:
        if isinstance(secure, Uplink):
            secure.shut_down()
        elif secure is not None:
            secure.shutdown()
    except (SSL.WantWriteError, SSL.WantReadError):
        raise
    except SSL.Error:
        pass  # the client has gone; bytes sent before are with it or lost, and the FIN changes nothing
    try:
        sock.socket.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class Lingering:
    """One socket behind its last byte; *over* is called once, when it may be closed."""

    def __init__(self, sock: DataSocket, clock: IReactorTime, over: Callable[[], None], *, is_refused: bool) -> None:
        self._socket = sock
        self._clock = clock
        self._over = over
        self._is_refused = is_refused
        self._left = LINGER_BYTES
        self._is_stopped = False
        self._timer: IDelayedCall | None = None

    def read(self) -> None:
        """Read and forget all that the client still sends, until its FIN."""
        if self._is_stopped:
            return
        try:
            while self._left > 0:
                late = self._socket.socket.recv(RECEIVED)
                if not late:
                    break
                self._left -= len(late)
            else:
                if self._is_refused:
                    self._socket.unwatch()
                    self._bound()
                    return
        except BlockingIOError:
            self._socket.watch(self.read, read=True)
            self._bound()
            return
        except OSError:
            pass
        self._over()

    def stop(self) -> None:
        """Do nothing more: the socket is closed."""
        self._is_stopped = True
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _bound(self) -> None:
        """Begin the time that this may take, once: behind an upload the client's FIN is mostly here at once."""
        if self._timer is None:
            self._timer = self._clock.callLater(REFUSED if self._is_refused else LINGER, self._over)


class Tails:
    """The connections of one session that linger."""

    def __init__(self) -> None:
        self._tails: list[DataConnection] = []
        self._is_over = False

    def __len__(self) -> int:
        return len(self._tails)

    def add(self, connection: DataConnection) -> None:
        """See to the end of a *connection* that has been finished or refused."""
        self._tails.append(connection)
        # At once, when it has closed already.
        connection.closed.addCallback(lambda _: self._tails.remove(connection))
        while len(self._tails) > (0 if self._is_over else MOST_LINGERING):
            self._tails[0].abort(Cause.CROWDED)

    def close(self) -> None:
        """Close all of them, and from now on every one that is added: the session has ended."""
        self._is_over = True
        while self._tails:
            self._tails[0].abort(Cause.CLIENT_GONE)
