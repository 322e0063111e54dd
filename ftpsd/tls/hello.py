"""
A look at a client's hello before OpenSSL reads it: the offers in it decide which context the connection gets.
"""

from __future__ import annotations

import socket

from OpenSSL import SSL

from ftpsd.wire.clienthello import MOST_PEEKED, NOTHING, ClientHello, read_hello

# For the reactor thread alone: a new buffer of that size for each hello goes through the system's memory.
_seen = memoryview(bytearray(MOST_PEEKED))


class HelloLook:
    """
    The look at the first message on *sock*, which does not block.

    The kernel waits for the rest (SO_RCVLOWAT): a part of a hello that stays where it is would make the reactor spin.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._seen = 0

    def look(self) -> ClientHello | None:
        """
        Return the first message of the client, None while more has to come.

        `NOTHING` comes back for a client that ends, or sends anything else: OpenSSL judges that.

        Raises:
            SSL.Error: the hello is longer, or in more records, than any client's, in the shape of OpenSSL's own errors.
        """
        try:
            data = bytes(_seen[: self._socket.recv_into(_seen, MOST_PEEKED, socket.MSG_PEEK)])
        except BlockingIOError:
            return None
        except OSError:
            return NOTHING
        found = read_hello(data) if data else NOTHING
        if isinstance(found, int):
            if self._seen < len(data):
                self._seen = len(data)
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, found)
                return None
            found = NOTHING  # the client has gone, and the kernel waits for nothing more
        if self._seen:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        if found.is_refused:
            raise SSL.Error([("SSL routines", "", "client hello too long or in too many records")])
        return found
