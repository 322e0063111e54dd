"""
Quanta: the slices of work that move a transfer's bytes, run by a worker or, for small ones, by the reactor thread.

A quantum ends when the socket would block, when its time or its allowance of bytes is spent, or when the transfer has
ended. It never waits for the peer, so a thousand slow clients hold no thread. The thread that runs a quantum owns the
socket meanwhile; nothing here knows the reactor.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Protocol

from ftpsd.data.carry.channel import BLOCKED, ENDED, Channel, Outcome, ThreadBuffer
from ftpsd.data.trouble import Cause, Truncated
from ftpsd.storage.base import Sink, Source
from ftpsd.tls.native import RECORD
from ftpsd.wire.ascii import FromNetwork, ToNetwork

# Seconds of one quantum: long against a hand-over between threads (about 0.1 ms), short against a person's patience.
BUDGET = 0.010
# Bytes handed to OpenSSL or taken from a file in one call. From 64 KiB to 256 KiB bulk downloads gain 6%, beyond
# nothing.
CHUNK = 256 * 1024


_received = ThreadBuffer(CHUNK)
# Written to ask a sink whether more may come.
NOTHING = memoryview(b"")


class Transfer(Protocol):
    """The cargo of a data connection: bytes in one direction, in quanta."""

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

    *decoder* undoes TYPE A; *first* are the bytes received already. Every byte received is with the sink when `step`
    returns, so nothing is kept per connection.
    """

    def __init__(self, sink: Sink, decoder: FromNetwork | None = None, first: bytes | bytearray = b"") -> None:
        self.moved = 0
        self._sink = sink
        self._decoder = decoder
        self._first = first
        self._is_ahead = False

    def step(self, channel: Channel, budget: float, allowance: int) -> Outcome:
        """See `Transfer.step`."""
        deadline = monotonic() + budget
        buffer = _received.view
        if self._is_ahead:
            self._is_ahead = bool(self._sink.write(NOTHING))
            if self._is_ahead:
                return Outcome.PAUSED
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
                    # The client resumes behind the bytes that came before the cut.
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
            is_ahead = self._keep(buffer[:held], is_last=outcome is Outcome.DONE)
            if is_ahead and outcome is not Outcome.DONE:
                self._is_ahead = True
                return Outcome.PAUSED
            if outcome is not None:
                return outcome

    def _keep(self, data: memoryview, *, is_last: bool) -> bool:
        """Write *data*; return whether more should wait."""
        if self._decoder is not None:
            text = self._decoder.feed(bytes(data))
            data = memoryview(text + self._decoder.finish() if is_last else text)
        return bool(data and self._sink.write(data))


class ReceivingSmall:
    """Client to server into memory, up to *limit* bytes: with `is_full` the rest belongs to a `Receiving`."""

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
