"""
A look at the next TLS record before OpenSSL reads it, which distinguishes a record that comes in parts from one without
data.
"""

from __future__ import annotations

import socket

from OpenSSL import SSL

from ftpsd.tls.resumption import has_asked
from ftpsd.wire.clienthello import HEADER, MOST_RECORDS

# One record at most, so nothing is left inside OpenSSL that epoll does not know of (RFC 8446, 5.1).
RECORD = 16 * 1024
# With what TLS 1.2 and 1.3 add to the data (RFC 5246, 6.2.3).
SEALED = HEADER + RECORD + 2048
# The first byte of a record, change_cipher_spec to application_data; the first of a command is a letter.
RECORD_TYPES = range(20, 24)
# Bytes of a handshake that are looked at ahead: those of MOST_RECORDS that are as small as any client's.
LOOKED_AHEAD = 4096
# The type of a record with data, or of any encrypted one of TLS 1.3 (RFC 8446, 5.1).
APPLICATION_DATA = 23


# For the reactor thread alone: a new buffer of that size for each record goes through the system's memory.
_seen = memoryview(bytearray(SEALED))


def refuse_crumbs(sock: socket.socket, tls: SSL.Connection) -> None:
    """
    Look at the records of the handshake of *tls* that have come on *sock*, before OpenSSL reads them; does not block.

    The second hello of TLS 1.3 and a client's certificate may have 131 kB; cut into records of one byte, one call would
    read them for 0.1 s. An encrypted record may as well be data behind the end of the handshake, of which a client may
    send as many as it likes: such are counted only of one that was asked for a certificate. OpenSSL ends the handshake
    at a certificate that it has not asked for, and all else there has a few dozen bytes.

    Raises:
        SSL.Error: there are more records than any client makes of a handshake, in the shape of OpenSSL's own errors.
    """
    try:
        data = sock.recv(LOOKED_AHEAD, socket.MSG_PEEK)
    except OSError:
        return
    at = count = 0
    is_asked = has_asked(tls)
    while at + HEADER <= len(data) and (is_asked or data[at] != APPLICATION_DATA):
        at += HEADER + (data[at + 3] << 8 | data[at + 4])
        count += 1
    if count > MOST_RECORDS:
        raise SSL.Error([("SSL routines", "", "handshake in too many records")])


class RecordLook:
    """
    The look at the next record on *sock*, which does not block.

    The kernel waits for the rest (SO_RCVLOWAT): a part of a record that stays where it is would make the reactor spin.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.is_inside = False
        """Whether OpenSSL is reading a record of which only a part had come: where the next begins is not known."""
        self.has_ended = False
        """Whether the client has gone where a record could begin."""
        self._socket = sock
        self._seen = 0

    def begins_in_clear(self) -> bool:
        """Return whether the next bytes are no record, or the end, where a record could begin."""
        if self.is_inside:
            return False
        try:
            first = self._socket.recv(1, socket.MSG_PEEK)
        except OSError:
            return False
        return not first or first[0] not in RECORD_TYPES

    def is_whole(self) -> bool:
        """
        Return whether the next record is there, so that a read without data is one that brought a record without data.

        A record that comes in parts is therefore no flood, and costs one read. OpenSSL judges everything else.
        """
        if self.is_inside:
            return True
        try:
            record = bytes(_seen[: self._socket.recv_into(_seen, SEALED, socket.MSG_PEEK)])
        except BlockingIOError:
            return False
        except OSError:
            record = b""
        self.has_ended = not record
        wanted = HEADER
        if len(record) >= HEADER:
            wanted += int.from_bytes(record[HEADER - 2 : HEADER], "big")
        if record[:1] and record[0] in RECORD_TYPES and wanted <= SEALED:
            if self._waits(len(record), wanted):
                return False
            self.is_inside = len(record) < wanted
        return True

    def _waits(self, come: int, wanted: int) -> bool:
        """Make the kernel wait until *wanted* bytes are there, *come* have come; False: all have, or no more since."""
        if self._seen < come < wanted:
            self._seen = come
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wanted)
            return True
        if self._seen:
            self._seen = 0
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        return False
