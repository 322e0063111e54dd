"""
A look at a client's first record before OpenSSL reads it: the offers in it decide which context the connection gets.
"""

from __future__ import annotations

import socket

from ftpsd.wire.clienthello import HEADER, NOTHING, ClientHello, client_hello, record_length

# A ClientHello is one record of at most 16 KiB (RFC 8446, 5.1); a hello in several records is left to OpenSSL.
RECORD = 16 * 1024


class HelloLook:
    """
    The look at the first record on *sock*, which does not block.

    The kernel waits for the rest (SO_RCVLOWAT): a part of a record that stays where it is would make the reactor spin.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._seen = 0

    def look(self) -> ClientHello | None:
        """
        Return the first message of the client, None while more has to come.

        `NOTHING` comes back for a client that ends, or sends anything else: OpenSSL judges that.
        """
        try:
            record = self._socket.recv(HEADER + RECORD, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        except OSError:
            return NOTHING
        wanted = HEADER if 0 < len(record) < HEADER else record_length(record) or 0
        if self._seen < len(record) < min(wanted, HEADER + RECORD):
            self._seen = len(record)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wanted)
            return None
        if self._seen:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        return client_hello(record)
