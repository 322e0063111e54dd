"""
Quanta: the slices of work that move a transfer's bytes, run by a worker or, for what is small, by the reactor thread.

A quantum ends when the socket would block, when its time or its allowance of bytes is spent, or when the transfer has
ended. It never waits for the peer, so a thousand slow clients hold no thread. Whoever runs a quantum owns the socket
meanwhile; nothing here knows the reactor.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from enum import Enum, auto
from threading import local
from time import monotonic
from typing import Protocol

from OpenSSL import SSL

from ftpsd.data.trouble import Cause, Truncated
from ftpsd.storage.base import Sink, Source, from_oserror
from ftpsd.tls.native import MOST_WITHOUT_DATA, RECORD, reader
from ftpsd.wire.ascii import FromNetwork, ToNetwork

# Seconds of one quantum: long against a hand-over between threads (about 0.1 ms), short against a person's patience.
BUDGET = 0.010
# Bytes handed to OpenSSL or taken from a file in one call. From 64 KiB to 256 KiB bulk downloads gain 6%, beyond
# nothing.
CHUNK = 256 * 1024

BLOCKED = 0
ENDED = -1

# What sendfile(2) says when it is the file that cannot be read; no TCP socket says one of these.
_OF_THE_DISK = frozenset({errno.EIO, errno.ESTALE, errno.EBADMSG, errno.EUCLEAN, errno.EREMOTEIO})


class ThreadBuffer(local):
    """A buffer of *size* bytes for each thread that asks for it."""

    def __init__(self, size: int) -> None:
        self.view = memoryview(bytearray(size))


_received = ThreadBuffer(CHUNK)


class Outcome(Enum):
    """How a quantum ended."""

    READABLE = auto()
    """Go on when the socket can be read."""
    WRITABLE = auto()
    """Go on when the socket can be written."""
    AGAIN = auto()
    """Time or allowance spent: go on after the others."""
    DONE = auto()
    """The last byte has been handed to the kernel, or the peer has ended properly."""


class Channel(Protocol):
    """One data connection as a quantum sees it."""

    blocked_on: Outcome

    def send(self, data: memoryview) -> int:
        """Return how much of *data* went out; `BLOCKED`: offer the same bytes again when `blocked_on` says so."""

    def receive_into(self, buffer: memoryview) -> int:
        """Return how many bytes arrived, `BLOCKED`, or `ENDED`. Raises `Truncated`."""

    def send_file(self, descriptor: int, offset: int, count: int) -> int | None:
        """
        Send straight from a file (0 at its end, `ENDED` when blocked); None: this channel cannot.

        Raises `Truncated`, and `StorageError` when the file cannot be read.
        """


class ClearChannel:
    """A data connection without TLS (PROT C)."""

    def __init__(self, sock: socket.socket) -> None:
        self.blocked_on = Outcome.WRITABLE
        self._socket = sock

    def send(self, data: memoryview) -> int:
        """See `Channel.send`."""
        try:
            return self._socket.send(data)
        except BlockingIOError:
            self.blocked_on = Outcome.WRITABLE
            return BLOCKED
        except OSError as error:
            raise Truncated(Cause.BROKEN, os.strerror(error.errno or 0)) from None

    def receive_into(self, buffer: memoryview) -> int:
        """See `Channel.receive_into`. In stream mode the connection's end is the file's end (RFC 959, 3.4.1)."""
        try:
            return self._socket.recv_into(buffer) or ENDED
        except BlockingIOError:
            self.blocked_on = Outcome.READABLE
            return BLOCKED
        except OSError as error:
            raise Truncated(Cause.BROKEN, os.strerror(error.errno or 0)) from None

    def send_file(self, descriptor: int, offset: int, count: int) -> int | None:
        """See `Channel.send_file`."""
        try:
            return os.sendfile(self._socket.fileno(), descriptor, offset, count)
        except BlockingIOError:
            self.blocked_on = Outcome.WRITABLE
            return ENDED
        except OSError as error:
            if error.errno in _OF_THE_DISK:
                raise from_oserror(error) from error
            raise Truncated(Cause.BROKEN, os.strerror(error.errno or 0)) from None


class SecureChannel:
    """
    A data connection under TLS (PROT P), which reads and writes *sock* itself.

    With *ends_by_fin* a FIN ends an upload as close_notify does.
    """

    def __init__(self, tls: SSL.Connection, sock: socket.socket, *, ends_by_fin: bool = False) -> None:
        self.blocked_on = Outcome.WRITABLE
        self._tls = tls
        self._socket = sock
        self._ends_by_fin = ends_by_fin
        self._read = reader(tls)
        self._without_data = 0

    def send(self, data: memoryview) -> int:
        """See `Channel.send`. All of *data* goes out or none: partial writes are off in the context."""
        try:
            return self._tls.send(data)
        except SSL.WantWriteError:
            self.blocked_on = Outcome.WRITABLE
            return BLOCKED
        except SSL.WantReadError:
            self.blocked_on = Outcome.READABLE
            return BLOCKED
        except SSL.Error as error:
            raise truncated(error) from None

    def receive_into(self, buffer: memoryview) -> int:
        """See `Channel.receive_into`. Only close_notify ends a file, a bare FIN truncates it (RFC 5246, 7.2.1)."""
        while self._without_data <= MOST_WITHOUT_DATA:
            try:
                received = self._read(buffer)
            except SSL.WantReadError:
                if not self._has_more():
                    self.blocked_on = Outcome.READABLE
                    return BLOCKED
                self._without_data += 1
            except SSL.WantWriteError:
                self._without_data += 1
                self.blocked_on = Outcome.WRITABLE
                return BLOCKED
            except SSL.ZeroReturnError:
                return ENDED
            except SSL.Error as error:
                cut = truncated(error)
                if self._ends_by_fin and cut.cause is Cause.NO_CLOSE_NOTIFY:
                    return ENDED
                raise cut from None
            else:
                self._without_data = 0
                return received
        raise Truncated(Cause.NO_DATA)

    def send_file(self, descriptor: int, offset: int, count: int) -> int | None:
        """See `Channel.send_file`."""
        return None

    def _has_more(self) -> bool:
        """
        Tell whether the socket can be read on, at once.

        A record that has come in part leaves nothing there, so a slow client is not counted as one that sends nothing.
        """
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            pass  # the next read tells
        return True


class Transfer(Protocol):
    """What a data connection carries: bytes in one direction, in quanta."""

    moved: int
    """Bytes that have crossed the connection so far."""

    def step(self, channel: Channel, budget: float, allowance: int) -> Outcome:
        """Move bytes for *budget* seconds, about *allowance* bytes, at most. Raises `Truncated` and `StorageError`."""


class Sending:
    """
    Server to client: *produce* returns the next piece, empty at the end.

    A piece stays referenced until the channel has taken all of it, so *produce* may reuse its buffer after that.
    """

    def __init__(self, produce: Callable[[], memoryview]) -> None:
        self.moved = 0
        self._produce = produce
        self._pending = memoryview(b"")
        # How much of it the channel was offered when it blocked: OpenSSL wants the same again.
        self._offered = 0

    def step(self, channel: Channel, budget: float, allowance: int) -> Outcome:
        """See `Transfer.step`."""
        deadline = monotonic() + budget
        pending = self._pending
        while True:
            if not pending:
                pending = self._pending = self._produce()
                if not pending:
                    return Outcome.DONE
            size = self._offered or min(len(pending), max(allowance, RECORD))
            sent = channel.send(pending if size == len(pending) else pending[:size])
            if sent == BLOCKED:
                self._pending = pending
                self._offered = size
                return channel.blocked_on
            self._offered = 0
            self.moved += sent
            allowance -= sent
            pending = pending[sent:]
            if allowance <= 0 or monotonic() >= deadline:
                self._pending = pending
                return Outcome.AGAIN


class SendingFile:
    """Server to client in clear, straight from the page cache to the socket."""

    def __init__(self, source: Source, descriptor: int) -> None:
        self.moved = 0
        self._descriptor = descriptor
        self._offset = source.offset
        self._size = source.size

    def step(self, channel: Channel, budget: float, allowance: int) -> Outcome:
        """See `Transfer.step`."""
        deadline = monotonic() + budget
        while True:
            sent = channel.send_file(self._descriptor, self._offset, min(CHUNK * 4, allowance))
            assert sent is not None, "only for channels that can send files"
            if sent == 0:
                if self._offset < self._size:
                    # The client must not take the rest for the whole: no proper end follows.
                    raise Truncated(Cause.SHRUNK)
                return Outcome.DONE
            if sent == ENDED:
                return channel.blocked_on
            self._offset += sent
            self.moved += sent
            allowance -= sent
            if allowance <= 0 or monotonic() >= deadline:
                return Outcome.AGAIN


class Receiving:
    """
    Client to server: bytes are gathered in the thread's own buffer and written to *sink* before the quantum ends.

    *decoder* undoes TYPE A; *first* is what has been received already. Every byte received is with the sink when
    `step` returns, so nothing is kept per connection.
    """

    def __init__(self, sink: Sink, decoder: FromNetwork | None = None, first: bytes | bytearray = b"") -> None:
        self.moved = 0
        self._sink = sink
        self._decoder = decoder
        self._first = first

    def step(self, channel: Channel, budget: float, allowance: int) -> Outcome:
        """See `Transfer.step`."""
        deadline = monotonic() + budget
        buffer = _received.view
        if self._first:
            first, self._first = self._first, b""
            self._keep(memoryview(first), is_last=False)
        while True:
            # Writing in large pieces costs a tenth of one write per TLS record.
            held = 0
            outcome = None
            while held <= CHUNK - RECORD and outcome is None:
                try:
                    received = channel.receive_into(buffer[held:])
                except Truncated:
                    # What came before the cut is what the client resumes behind.
                    self.moved += held
                    self._keep(buffer[:held], is_last=False)
                    raise
                if received == BLOCKED:
                    outcome = channel.blocked_on
                elif received == ENDED:
                    outcome = Outcome.DONE
                else:
                    held += received
                    allowance -= received
                    if allowance <= 0 or monotonic() >= deadline:
                        outcome = Outcome.AGAIN
            self.moved += held
            self._keep(buffer[:held], is_last=outcome is Outcome.DONE)
            if outcome is not None:
                return outcome

    def _keep(self, data: memoryview, *, is_last: bool) -> None:
        if self._decoder is not None:
            text = self._decoder.feed(bytes(data))
            data = memoryview(text + self._decoder.finish() if is_last else text)
        if data:
            self._sink.write(data)


class ReceivingSmall:
    """Client to server into memory, up to *limit* bytes: `is_full` tells that the rest belongs to a `Receiving`."""

    def __init__(self, limit: int) -> None:
        self.moved = 0
        self.data = bytearray()
        self.is_full = False
        self._limit = limit

    def step(self, channel: Channel, budget: float, allowance: int) -> Outcome:
        """See `Transfer.step`. Ends with DONE also when the limit is reached."""
        buffer = _received.view
        while True:
            received = channel.receive_into(buffer)
            if received == BLOCKED:
                return channel.blocked_on
            if received == ENDED:
                return Outcome.DONE
            self.data += buffer[:received]
            self.moved += received
            allowance -= received
            if len(self.data) >= self._limit:
                self.is_full = True
                return Outcome.DONE
            if allowance <= 0:
                return Outcome.AGAIN


def whole(data: bytes) -> Callable[[], memoryview]:
    """Return a producer of *data*, all of it at once."""
    pieces = [memoryview(data)]
    return lambda: pieces.pop() if pieces else memoryview(b"")


def file_pieces(source: Source, encoder: ToNetwork | None = None) -> Callable[[], memoryview]:
    """Return a producer of the bytes of *source*, converted by *encoder* for TYPE A."""
    left = source.size - source.offset
    buffer = memoryview(bytearray(min(CHUNK, max(1, left))))

    def produce() -> memoryview:
        nonlocal left
        count = source.read_into(buffer)
        left -= count
        if count == 0 and left > 0:
            raise Truncated(Cause.SHRUNK)
        if encoder is None or count == 0:
            return buffer[:count]
        return memoryview(encoder.feed(bytes(buffer[:count])))

    return produce


def truncated(error: SSL.Error) -> Truncated:
    """Return what an OpenSSL error means for a transfer."""
    if isinstance(error, SSL.SysCallError):
        if error.args[0] == -1:
            return Truncated(Cause.NO_CLOSE_NOTIFY)
        return Truncated(Cause.BROKEN, os.strerror(error.args[0]))
    try:
        return Truncated(Cause.TLS, str(error.args[0][0][2]))
    except (IndexError, TypeError):
        return Truncated(Cause.TLS)
