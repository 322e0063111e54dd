"""
The TCP transport of control connections, with TLS on the connection's own socket.

* A reply leaves when it is written. Twisted's own transport waits a turn of the reactor for epoll to report that the
  socket is writable, which it nearly always is.
* Twisted's startTLS moves every byte through memory buffers and three wrappers. Here OpenSSL reads and writes the
  socket: a third less processor time for a login, a tenth for a small file.
* TLS ends with our close_notify and FIN. Bytes that the client still sends are then read and forgotten until it closes
  too: a close() with bytes unread would answer them with a RST, and a RST can overtake our last reply.
* One turn of the reactor reads one record, or as much in clear. A client whose records bring no data, or that goes on
  after our end, is cut.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from enum import IntEnum, auto
from functools import partial
from typing import Any, Protocol

from OpenSSL import SSL
from twisted.internet import main, tcp
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IHandshakeListener, IPushProducer
from twisted.python.failure import Failure

from ftpsd.tls.hello import HelloLook
from ftpsd.tls.native import MOST_WITHOUT_DATA
from ftpsd.tls.record_look import RECORD, RecordLook, refuse_crumbs
from ftpsd.tls.session_tls import SessionTLS

# Bytes that a client may send behind our close_notify: what it had under way.
MOST_FORGOTTEN = 256 * 1024


class RecordsWithoutData(ConnectionLost):
    """The end of a client that sends KeyUpdates, or hellos of refused renegotiations, and nothing else."""


class Transport(Protocol):
    """The transport that a `ServerPI` needs; the names are Twisted's."""

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


class State(IntEnum):
    """The state of TLS on the control connection. Numbers: Python 3.11 hashes other enums slowly."""

    CLEAR = auto()
    PEEKING = auto()
    """TLS begins: the client's first bytes are looked at before OpenSSL reads them."""
    SHAKING = auto()
    SECURE = auto()
    LEAVING = auto()
    """CCC: our close_notify waits for room."""
    LEFT = auto()
    """We write in clear; the client's last records may come, until its own close_notify."""
    FAREWELL = auto()
    """Our close_notify and FIN are on the way, later bytes are forgotten."""
    CLOSED = auto()


MOVES: dict[State, frozenset[State]] = {
    State.CLEAR: frozenset({State.PEEKING, State.SHAKING, State.CLOSED}),
    State.PEEKING: frozenset({State.PEEKING, State.SHAKING, State.CLOSED}),
    State.SHAKING: frozenset({State.SECURE, State.CLOSED}),
    State.SECURE: frozenset({State.LEAVING, State.FAREWELL, State.CLOSED}),
    State.LEAVING: frozenset({State.LEFT, State.CLOSED}),
    State.LEFT: frozenset({State.CLEAR, State.CLOSED}),
    State.FAREWELL: frozenset({State.CLOSED}),
    State.CLOSED: frozenset(),
}

# Output before TLS is there, or before it has gone, waits.
BEGINNING = (State.PEEKING, State.SHAKING)
HOLDING = (*BEGINNING, State.LEAVING)
# Output goes through OpenSSL.
SEALING = (State.SECURE, State.LEAVING)


class ControlTransport(tcp.Server):
    """The `Transport` over a socket."""

    _state = State.CLEAR
    _connection: SSL.Connection | None = None
    _records: RecordLook
    # Looks at the client's first bytes, while PEEKING.
    _peek: Callable[[], Exception | None] | None = None
    # Bytes that the kernel did not take, and bytes that wait while HOLDING.
    _unsent = b""
    _held = b""
    _without_data = 0
    _forgotten = 0

    def _move(self, state: State) -> None:
        assert state in MOVES[self._state], f"{self._state.name} -> {state.name}"
        self._state = state

    @property
    def _tls(self) -> SSL.Connection:
        assert self._connection is not None
        return self._connection

    # --- TLS begins and ends

    def when_client_speaks(self, begin: Callable[[], object]) -> None:
        """Call *begin*, which starts TLS, when the client's first byte is there; later output leaves behind that."""
        self._move(State.PEEKING)
        self._peek = partial(self._await_first_byte, begin)

    def start_tls(self, tls: SessionTLS) -> None:
        """Expect a TLS handshake from here on; output meanwhile leaves behind it."""
        if self._state in (State.LEAVING, State.LEFT):
            # AUTH inside the TLS that CCC ends: the client's close_notify would be taken for the new handshake.
            self.abortConnection()  # type: ignore[no-untyped-call]
            return
        self._move(State.PEEKING)
        self._peek = partial(self._await_hello, tls, HelloLook(self.socket))
        if self._unsent:
            # Our reply in clear comes before anything under TLS.
            self.stopReading()  # type: ignore[no-untyped-call]

    def _await_first_byte(self, begin: Callable[[], object]) -> Exception | None:
        try:
            first = self.socket.recv(1, socket.MSG_PEEK)
        except OSError:
            first = b""
        if not first:
            return main.CONNECTION_DONE
        begin()
        return None

    def _await_hello(self, tls: SessionTLS, look: HelloLook) -> Exception | None:
        try:
            hello = look.look()
        except SSL.Error as error:
            return error
        if hello is None:
            return None
        tls.choose_version(hello)
        self._move(State.SHAKING)
        self._peek = None
        self._connection, self._records = tls.control_connection(self.socket), RecordLook(self.socket)
        return self._shake()

    def _shake(self) -> Exception | None:
        """Go on with the handshake."""
        try:
            refuse_crumbs(self.socket, self._tls)
            self._tls.do_handshake()
        except SSL.WantReadError:
            self.stopWriting()  # type: ignore[no-untyped-call]
            return None
        except SSL.WantWriteError:
            self.startWriting()  # type: ignore[no-untyped-call]
            return None
        except SSL.Error as error:
            # The protocol reads the reason from it, for the audit log.
            return error
        self.stopWriting()  # type: ignore[no-untyped-call]
        self._move(State.SECURE)
        IHandshakeListener(self.protocol).handshakeCompleted()
        self._release()
        return self._end() if self._may_end else None

    def stop_tls(self) -> None:
        """
        Send close_notify behind the pending output, and go on in clear (CCC; RFC 4217, 12.3).

        A client that leaves its own close_notify out and begins in clear at once is understood.
        """
        self._move(State.LEAVING)
        if not self._unsent:
            self._leave()

    def _leave(self) -> None:
        if not self._has_said_close_notify():
            return
        self._move(State.LEFT)
        self._release()

    def _has_said_close_notify(self) -> bool:
        """Send close_notify; False: there is no room for it yet."""
        try:
            self._tls.shutdown()
        except (SSL.WantWriteError, SSL.WantReadError):
            self.startWriting()  # type: ignore[no-untyped-call]
            return False
        except SSL.Error:
            pass  # the client has gone, as reading finds out
        return True

    def _release(self) -> None:
        """Write the held-back bytes."""
        held, self._held = self._held, b""
        if held:
            self.write(held)

    # --- writing

    def write(self, data: bytes) -> None:
        """Send *data* now, as far as the kernel takes it."""
        if not self.connected or self._state is State.FAREWELL:
            return
        if self._state in HOLDING:
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
        """Go on with the bytes that did not fit; the reactor reports room."""
        if self._unsent:
            sent = self._send(self._unsent)
            if sent < 0:
                return main.CONNECTION_LOST
            self._unsent = self._unsent[sent:]
            if self._unsent:
                return None
        elif self._state is State.SHAKING:
            return self._shake()
        if self._state is State.LEAVING:
            self._leave()
            if self._state in HOLDING or self._unsent:
                return None
        self.stopWriting()  # type: ignore[no-untyped-call]
        if self._state in BEGINNING:
            self.startReading()  # type: ignore[no-untyped-call]
        if self.producerPaused and IPushProducer.providedBy(self.producer):
            self.producerPaused = False
            self.producer.resumeProducing()
        return self._end() if self._may_end else None

    def _send(self, data: bytes) -> int:
        """Return how much of *data* the kernel took, -1 for a lost connection."""
        try:
            return self._tls.send(data) if self._state in SEALING else self.socket.send(data)
        except (BlockingIOError, SSL.WantWriteError, SSL.WantReadError):
            return 0
        except (OSError, SSL.Error):
            return -1

    def _isSendBufferFull(self) -> bool:
        return len(self._unsent) + len(self._held) > self.bufferSize

    # --- reading

    def doRead(self) -> Exception | None:  # type: ignore[override]
        """Take what has arrived."""
        if self._state is State.FAREWELL:
            return self._forget()
        if self._state is State.SHAKING:
            return self._shake()
        if self._peek is not None:
            return self._peek()
        if self._state is State.LEFT and self._records.begins_in_clear():
            self._go_clear()
        return self._read_in_clear() if self._state is State.CLEAR else self._read_record()

    def _read_record(self) -> Exception | None:
        if not self._records.is_whole():
            return None
        if self._records.has_ended:
            # Not for OpenSSL to read: it would take the TLS session, which others may use, out of its cache.
            return main.CONNECTION_LOST
        try:
            data = self._tls.recv(RECORD)
        except (SSL.WantReadError, SSL.WantWriteError):
            self._without_data += 1
            return RecordsWithoutData() if self._without_data > MOST_WITHOUT_DATA else None
        except SSL.ZeroReturnError:
            if self._state is not State.LEFT:
                return main.CONNECTION_DONE
            # OpenSSL has read up to here and no further: the bytes behind it are in clear.
            self._go_clear()
            return None
        except SSL.Error:
            return main.CONNECTION_LOST
        self._without_data = 0
        self._records.is_inside = False
        self.protocol.dataReceived(data)
        return None

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

    def _go_clear(self) -> None:
        self._move(State.CLEAR)
        self._connection = None

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
        if self._state in HOLDING or self._unsent:
            return  # the last byte takes care of it
        if self._state is State.SECURE:
            self._end()
        else:
            # Not here: the protocol that closes is still at work, and expects the call later.
            self.stopReading()  # type: ignore[no-untyped-call]
            self.startWriting()  # type: ignore[no-untyped-call]

    @property
    def _may_end(self) -> bool:
        """Whether the connection is to be closed, and the last byte has been sent."""
        return bool(self.disconnecting) and not self._unsent and self._state not in (*HOLDING, State.FAREWELL)

    def _end(self) -> Exception | None:
        """End the connection behind the last byte; under TLS the client still has to close."""
        if self._state is not State.SECURE:
            return main.CONNECTION_DONE
        if not self._has_said_close_notify():
            return None
        self._move(State.FAREWELL)
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        self.startReading()  # type: ignore[no-untyped-call]
        return None

    def connectionLost(self, reason: Failure) -> None:
        """Send close_notify also to a client that closed first: GnuTLS reports an error otherwise (pyftpdlib 162)."""
        if self._state in SEALING:
            try:
                self._tls.shutdown()
            except SSL.Error:
                pass
        if self._state is not State.CLOSED:
            self._move(State.CLOSED)
        self._peek = None
        # Before the connection goes: the protocol asks how far its handshake had come.
        super().connectionLost(reason)
        self._connection = None
