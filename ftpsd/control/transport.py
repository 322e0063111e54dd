"""
The TCP transport of control connections, with TLS on the connection's own socket.

* A reply leaves when it is written. Twisted's own transport waits a turn of the reactor for epoll to say that the
  socket is writable, which it nearly always is.
* Twisted's startTLS moves every byte through memory buffers and three wrappers. Here OpenSSL reads and writes the
  socket: a third less processor time for a login, a tenth for a small file.
* TLS ends with our close_notify and FIN. What the client still sends is then read and forgotten until it closes too: a
  close() with bytes unread would answer them with a RST, and a RST can overtake our last reply.
* One turn of the reactor reads one record, or as much in clear. A client whose records bring no data, or that goes on
  after our end, is cut.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Protocol

from OpenSSL import SSL
from twisted.internet import main, tcp
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IHandshakeListener, IPushProducer
from twisted.python.failure import Failure

from ftpsd.tls.hello import HelloLook
from ftpsd.tls.native import MOST_WITHOUT_DATA
from ftpsd.tls.session_tls import SessionTLS
from ftpsd.wire.clienthello import HEADER

# One record at most, so nothing is left inside OpenSSL that epoll does not know of (RFC 8446, 5.1).
RECORD = 16 * 1024
# With what TLS 1.2 and 1.3 add to the data (RFC 5246, 6.2.3).
SEALED = HEADER + RECORD + 2048
# The first byte of a record, change_cipher_spec to application_data; the first of a command is a letter.
RECORD_TYPES = range(20, 24)
# Bytes that a client may send behind our close_notify: what it had under way.
MOST_FORGOTTEN = 256 * 1024


class RecordsWithoutData(ConnectionLost):
    """The end of a client that sends KeyUpdates, or hellos of refused renegotiations, and nothing else."""


class Transport(Protocol):
    """What a `ServerPI` asks of its transport; the names are Twisted's."""

    def when_client_speaks(self, begin: Callable[[], object]) -> None: ...
    def start_tls(self, tls: SessionTLS) -> None: ...
    def stop_tls(self) -> None: ...
    def write(self, data: bytes) -> None: ...
    def loseConnection(self) -> None: ...
    def abortConnection(self) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def registerProducer(self, producer: IPushProducer, streaming: bool, /) -> None: ...
    def unregisterProducer(self) -> None: ...
    def getPeer(self) -> Any: ...
    def getHost(self) -> Any: ...
    def getHandle(self) -> Any: ...
    def setTcpNoDelay(self, enabled: bool) -> None: ...


class ControlTransport(tcp.Server):
    """The `Transport` over a socket."""

    _tls: SSL.Connection | None = None
    _handshake: SSL.Connection | None = None
    # Starts TLS when the client's first byte is there.
    _begin: Callable[[], object] | None = None
    # Wants to know the client's first record.
    _choosy: SessionTLS | None = None
    _hello: HelloLook | None = None
    # How much of a record had come when we last looked.
    _seen = 0
    # What the kernel did not take, and what waits for the end of the handshake.
    _unsent = b""
    _held = b""
    _has_said_goodbye = False
    # CCC: our close_notify is on its way; then the client's last records, until its own.
    _is_leaving = False
    _left: SSL.Connection | None = None
    _are_records_left = False
    _without_data = 0
    # OpenSSL has read a part of a record.
    _is_inside = False
    _forgotten = 0

    def when_client_speaks(self, begin: Callable[[], object]) -> None:
        """Call *begin*, which starts TLS, when the client's first byte is there; what is written leaves behind that."""
        self._begin = begin

    def start_tls(self, tls: SessionTLS) -> None:
        """Expect a TLS handshake from here on; what is written meanwhile leaves behind it."""
        self._choosy = tls if tls.waits_for_hello else None
        if self._choosy is not None:
            self._hello = HelloLook(self.socket)
        else:
            self._handshake = tls.control_connection(self.socket)
        if self._unsent:
            # Our reply in clear comes before anything under TLS.
            self.stopReading()  # type: ignore[no-untyped-call]

    def stop_tls(self) -> None:
        """
        Send close_notify behind what has been written, and go on in clear (CCC; RFC 4217, 12.3).

        A client that leaves its own close_notify out and begins in clear at once is understood.
        """
        assert self._tls is not None
        self._is_leaving = True
        if not self._unsent:
            self._leave()

    def _leave(self) -> None:
        assert self._tls is not None
        try:
            self._tls.shutdown()
        except (SSL.WantWriteError, SSL.WantReadError):
            self.startWriting()  # type: ignore[no-untyped-call]
            return
        except SSL.Error:
            pass  # the client has gone, as reading will tell
        self._left, self._tls = self._tls, None
        self._is_leaving = self._are_records_left = False
        held, self._held = self._held, b""
        if held:
            self.write(held)

    # --- writing

    def write(self, data: bytes) -> None:
        """Send *data* now, as far as the kernel takes it."""
        if not self.connected or self._has_said_goodbye:
            return
        if self._is_shaking or self._is_leaving:
            self._held += data
        elif self._unsent:
            self._unsent += data
        else:
            sent = self._send(data)
            if sent == len(data):
                return
            self._unsent = data[max(sent, 0) :]
            self.startWriting()  # type: ignore[no-untyped-call]
        self._maybePauseProducer()  # type: ignore[no-untyped-call]

    def doWrite(self) -> Exception | None:  # type: ignore[override]
        """Go on with what did not fit; the reactor says that there is room."""
        if self._unsent:
            sent = self._send(self._unsent)
            if sent < 0:
                return main.CONNECTION_LOST
            self._unsent = self._unsent[sent:]
            if self._unsent:
                return None
        elif self._handshake is not None:
            return self._shake()
        if self._is_leaving:
            self._leave()
            if self._tls is not None or self._unsent:
                return None
        self.stopWriting()  # type: ignore[no-untyped-call]
        if self._is_shaking:
            self.startReading()  # type: ignore[no-untyped-call]
        if self.producerPaused and IPushProducer.providedBy(self.producer):
            self.producerPaused = False
            self.producer.resumeProducing()
        return self._end() if self.disconnecting and not self._unsent else None

    def _send(self, data: bytes) -> int:
        """Return how much of *data* the kernel took, -1 for a lost connection."""
        try:
            return self.socket.send(data) if self._tls is None else self._tls.send(data)
        except (BlockingIOError, SSL.WantWriteError, SSL.WantReadError):
            return 0
        except (OSError, SSL.Error):
            return -1

    def _isSendBufferFull(self) -> bool:
        return len(self._unsent) + len(self._held) > self.bufferSize

    # --- reading

    def doRead(self) -> Exception | None:  # type: ignore[override]
        """Take what has arrived."""
        if self._has_said_goodbye:
            return self._forget()
        if self._begin is not None:
            if not self._has_more():
                return main.CONNECTION_DONE
            begin, self._begin = self._begin, None
            begin()
        if self._choosy is not None and not self._look(self._choosy):
            return None
        if self._handshake is not None:
            return self._shake()
        if self._left is not None and self._begins_in_clear():
            self._left = None
        tls = self._tls or self._left
        if tls is None:
            return self._read_in_clear()
        if not self._is_inside and not self._has_whole_record():
            return None
        try:
            data = tls.recv(RECORD)
        except (SSL.WantReadError, SSL.WantWriteError):
            self._without_data += 1
            return RecordsWithoutData() if self._without_data > MOST_WITHOUT_DATA else None
        except SSL.ZeroReturnError:
            if self._left is None:
                return main.CONNECTION_DONE
            # OpenSSL has read up to here and no further: what is behind it is in clear.
            self._left = None
            return None
        except SSL.Error:
            return main.CONNECTION_LOST
        self._without_data = 0
        self._is_inside = False
        self.protocol.dataReceived(data)
        return None

    def _has_whole_record(self) -> bool:
        """
        Tell whether the next record is there, so that a read without data is one that brought a record without data.

        A record that comes in parts is so no flood, and costs one read. What OpenSSL has to judge is for it to read.
        """
        try:
            record = self.socket.recv(SEALED, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            record = b""
        wanted = HEADER
        if len(record) >= HEADER:
            wanted += int.from_bytes(record[HEADER - 2 : HEADER], "big")
        if record[:1] and record[0] in RECORD_TYPES and wanted <= SEALED:
            if self._waits(len(record), wanted):
                return False
            self._is_inside = len(record) < wanted
        return True

    def _waits(self, come: int, wanted: int) -> bool:
        """
        Let the kernel wait until *wanted* bytes are there, of which so many have *come*; False: there is no more.

        A part that stays where it is would make the reactor spin.
        """
        if self._seen < come < wanted:
            self._seen = come
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wanted)
            return True
        if self._seen:
            self._seen = 0
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        return False

    def _read_in_clear(self) -> Exception | None:
        """Twisted would take four times as much, with all its commands, in one turn."""
        try:
            data = self.socket.recv(RECORD)
        except BlockingIOError:
            return None
        except OSError:
            return main.CONNECTION_LOST
        if not data:
            return main.CONNECTION_DONE
        self.protocol.dataReceived(data)
        return None

    @property
    def _is_shaking(self) -> bool:
        return self._handshake is not None or self._choosy is not None or self._begin is not None

    def _look(self, tls: SessionTLS) -> bool:
        """Look at the client's first record before OpenSSL does, and begin the handshake; False: more has to come."""
        assert self._hello is not None
        hello = self._hello.look()
        if hello is None:
            return False
        tls.choose_version(hello)
        self._choosy, self._hello, self._handshake = None, None, tls.control_connection(self.socket)
        return True

    def _has_more(self) -> bool:
        """Tell whether the client goes on, where the socket can be read."""
        try:
            return bool(self.socket.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def _begins_in_clear(self) -> bool:
        """Tell whether the client went on in clear, or has gone, without a single record after our close_notify."""
        if self._are_records_left:
            return False
        try:
            first = self.socket.recv(1, socket.MSG_PEEK)
        except OSError:
            return False
        self._are_records_left = bool(first) and first[0] in RECORD_TYPES
        return not self._are_records_left

    def _shake(self) -> Exception | None:
        """Go on with the handshake."""
        assert self._handshake is not None
        try:
            self._handshake.do_handshake()
        except SSL.WantReadError:
            self.stopWriting()  # type: ignore[no-untyped-call]
            return None
        except SSL.WantWriteError:
            self.startWriting()  # type: ignore[no-untyped-call]
            return None
        except SSL.Error as error:
            # What the protocol is told, and tells the audit log.
            return error
        self.stopWriting()  # type: ignore[no-untyped-call]
        self._tls, self._handshake = self._handshake, None
        IHandshakeListener(self.protocol).handshakeCompleted()
        held, self._held = self._held, b""
        if held:
            self.write(held)
        return self._end() if self.disconnecting and not self._unsent else None

    def _forget(self) -> Exception | None:
        try:
            late = self.socket.recv(RECORD)
        except BlockingIOError:
            return None
        except OSError:
            return main.CONNECTION_LOST
        self._forgotten += len(late)
        if self._forgotten > MOST_FORGOTTEN:
            return main.CONNECTION_LOST
        return None if late else main.CONNECTION_DONE

    # --- the end

    def loseConnection(self) -> None:
        """Close when all is sent."""
        if not self.connected or self.disconnecting:
            return
        self.disconnecting = True
        if self._is_shaking or self._unsent or self._is_leaving:
            return  # the last byte takes care of it
        if self._tls is None:
            # Not here: who closes is still at work and wants to be told later.
            self.stopReading()  # type: ignore[no-untyped-call]
            self.startWriting()  # type: ignore[no-untyped-call]
        else:
            self._end()

    def _end(self) -> Exception | None:
        """End the connection behind the last byte; under TLS the client still has to close."""
        if self._tls is None:
            return main.CONNECTION_DONE
        try:
            self._tls.shutdown()
        except (SSL.WantWriteError, SSL.WantReadError):
            self.startWriting()  # type: ignore[no-untyped-call]
            return None
        except SSL.Error:
            pass  # the client has gone, as reading will tell
        self._has_said_goodbye = True
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        self.startReading()  # type: ignore[no-untyped-call]
        return None

    def connectionLost(self, reason: Failure) -> None:
        """Say close_notify also to a client that closed first: GnuTLS reports an error otherwise (pyftpdlib 162)."""
        if self._tls is not None and not self._has_said_goodbye:
            try:
                self._tls.shutdown()
            except SSL.Error:
                pass
        self._tls = self._handshake = self._choosy = self._left = self._begin = None
        super().connectionLost(reason)
