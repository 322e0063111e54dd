"""
Uplink: the TLS of a data connection that carries an upload.

A TLS 1.3 server sends session tickets right behind the handshake. lftp (its issue 666) and older curl (6149) never read
anything during an upload; when they close, the unread tickets make their kernel send a RST in place of the FIN, and
bytes that it had not sent yet are lost. So here TLS works on memory buffers, and the tickets go out together with our
close_notify, when the client has sent everything. One receive call brings many records, which pays for the copy.

OpenSSL never sees a FIN here. One without close_notify would make it drop the TLS session from its cache, and a client
that knows session ids only could resume nothing any more (`SessionTLS.has_cache`).
"""

from __future__ import annotations

import os
import socket

from OpenSSL import SSL

from ftpsd.data.carry.channel import BLOCKED, ENDED, Outcome, ThreadBuffer, truncated
from ftpsd.data.carry.records import Records
from ftpsd.data.trouble import Cause, Truncated
from ftpsd.tls.native import MOST_WITHOUT_DATA, reader, unread

# Bytes taken from the socket in one call.
RECEIVED = 128 * 1024
# The most that one bio_read returns; our flights are far smaller.
FLIGHT = 64 * 1024
# Bytes of a handshake that are read in one turn, in as small records as the client likes: the time of 200 at most. The
# file may begin right behind it, so records are not counted here.
BITE = 4096

# Apart from the one of `Receiving`, which is being filled meanwhile.
_received = ThreadBuffer(RECEIVED)


class Uplink:
    """
    One data connection, for receiving: handshake, `Channel`, goodbye. Its holder is the holder of the socket.

    With *ends_by_fin* a FIN between two records ends the upload as close_notify does.
    """

    def __init__(self, sock: socket.socket, tls: SSL.Connection, *, ends_by_fin: bool = False) -> None:
        self.tls = tls
        self.blocked_on = Outcome.READABLE
        self.ended_by_fin = False
        self._socket = sock
        self._read = reader(tls)
        self._without_data = 0
        self._unsent = b""
        self._has_shut_down = False
        self._records = Records() if ends_by_fin else None

    def shake_hands(self) -> None:
        """
        Take the handshake a step further.

        Raises:
            SSL.WantReadError, SSL.WantWriteError: call again when the socket is ready.
            SSL.Error: it failed.
        """
        has_received = False
        while True:
            self._flush()
            try:
                self.tls.do_handshake()
            except SSL.WantReadError:
                self._collect()
                self._flush()
                if has_received:
                    raise
                if not self._receive(BITE):
                    raise SSL.SysCallError(-1, "Unexpected EOF") from None
                has_received = True
            except SSL.Error:
                # The alert names the reason to the client.
                self._collect()
                self._flush()
                raise
            else:
                self._collect()
                if self.tls.get_protocol_version_name() != "TLSv1.3":
                    self._flush()
                return

    def receive_into(self, buffer: memoryview) -> int:
        """See `Channel.receive_into`."""
        has_received = False
        while self._without_data <= MOST_WITHOUT_DATA:
            try:
                received = self._read(buffer)
            except SSL.WantReadError:
                if unread(self.tls):
                    # A record without data; behind it there are more, which the reactor would not report.
                    self._without_data += 1
                elif has_received:
                    # All that has come is inside OpenSSL: from here on the reactor reports more.
                    return BLOCKED
                elif (state := self._fill()) is not None:
                    return state
                else:
                    has_received = True
            except SSL.ZeroReturnError:
                return ENDED
            except SSL.Error as error:
                raise truncated(error) from None
            else:
                self._without_data = 0
                return received
        raise Truncated(Cause.NO_DATA)

    def _fill(self) -> int | None:
        """Feed TLS from the socket; return `BLOCKED` or `ENDED` where nothing came. Raises `Truncated`."""
        try:
            if self._receive():
                return None
        except SSL.WantReadError:
            return BLOCKED
        except SSL.SysCallError as error:
            raise truncated(error) from None
        if self._records is not None and self._records.is_between:
            self.ended_by_fin = True
            return ENDED
        raise Truncated(Cause.NO_CLOSE_NOTIFY)

    def send(self, data: memoryview) -> int:
        """Nothing is sent over an uplink."""
        raise AssertionError("an uplink only receives")

    def send_file(self, descriptor: int, offset: int, count: int) -> int | None:
        """Nothing is sent over an uplink."""
        raise AssertionError("an uplink only receives")

    def shut_down(self) -> None:
        """
        Send the held-back bytes, and close_notify.

        Raises:
            SSL.WantWriteError: call again when the socket is writable.
            SSL.Error: the client has gone.
        """
        if not self._has_shut_down:
            self._has_shut_down = True
            self.tls.shutdown()
            self._collect()
        self._flush()

    def _receive(self, most: int = RECEIVED) -> int:
        """Feed TLS from the socket; return how many bytes came, 0 at the end. Raises WantReadError for none yet."""
        buffer = _received.view
        try:
            count = self._socket.recv_into(buffer, most)
        except BlockingIOError:
            raise SSL.WantReadError from None
        except OSError as error:
            raise SSL.SysCallError(error.errno, os.strerror(error.errno or 0)) from None
        if count:
            if self._records is not None:
                self._records.feed(buffer[:count])
            self.tls.bio_write(buffer[:count])
        return count

    def _collect(self) -> None:
        """Take over the output of TLS."""
        try:
            self._unsent += self.tls.bio_read(FLIGHT)
        except SSL.WantReadError:
            pass  # nothing

    def _flush(self) -> None:
        """Send the collected bytes."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            raise SSL.WantWriteError from None
        except OSError as error:
            raise SSL.SysCallError(error.errno, os.strerror(error.errno or 0)) from None
