"""
MODE Z: a deflate stream (RFC 1950) on the data connection, the file itself in storage.

Both directions work in pieces that fit a quantum. A few bytes can inflate to a thousand times as many, so the bound,
the rate and the count are those of the inflated bytes. Only a stream that ended by its own end marker, with the right
checksum and nothing behind it, is a whole file.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from time import monotonic

from ftpsd.data.carry.channel import BLOCKED, ENDED, Channel, Outcome
from ftpsd.data.carry.quantum import CHUNK, NOTHING
from ftpsd.data.trouble import Cause, Truncated
from ftpsd.storage.base import Sink
from ftpsd.tls.native import RECORD
from ftpsd.wire.ascii import FromNetwork

# Bytes deflated in one call: 1 ms at zlib's default level, and less than a quantum at level 9.
PIECE = 64 * 1024


def deflated(produce: Callable[[], memoryview], level: int) -> Callable[[], memoryview]:
    """Return a producer of the output of *produce* as one deflate stream; *level* from 0 (stored) to 9 (smallest)."""
    stream = zlib.compressobj(level)
    pending = memoryview(b"")
    is_over = False

    def produce_deflated() -> memoryview:
        nonlocal pending, is_over
        if is_over:
            return memoryview(b"")
        pending = pending or produce()
        if not pending:
            is_over = True
            return memoryview(stream.flush())
        piece, pending = pending[:PIECE], pending[PIECE:]
        # zlib may keep megabytes of zeros to itself. Flushed, they count as progress, and no call takes longer than
        # another.
        return memoryview(stream.compress(piece) or stream.flush(zlib.Z_SYNC_FLUSH))

    return produce_deflated


class Inflating:
    """
    Client to server: received bytes are inflated piece by piece and written to *sink*; *decoder* undoes TYPE A.

    `moved` counts the inflated bytes: they cost disk, and rate limits and the audit log count them. At most one
    received record waits to be inflated.
    """

    def __init__(self, sink: Sink, decoder: FromNetwork | None = None) -> None:
        self.moved = 0
        self._sink = sink
        self._decoder = decoder
        self._stream = zlib.decompressobj()
        self._received = b""
        self._has_more = False
        self._is_ahead = False

    def step(self, channel: Channel, budget: float, allowance: int) -> Outcome:
        """See `Transfer.step`."""
        deadline = monotonic() + budget
        buffer = memoryview(bytearray(RECORD))
        if self._is_ahead:
            self._is_ahead = bool(self._sink.write(NOTHING))
        while not self._is_ahead:
            if not self._received and not self._has_more:
                count = channel.receive_into(buffer)
                if count == BLOCKED:
                    return channel.blocked_on
                if count == ENDED:
                    self._finish()
                    return Outcome.DONE
                self._received = bytes(buffer[:count])
            allowance -= self._inflate(min(CHUNK, max(1, allowance)))
            if allowance <= 0 or monotonic() >= deadline:
                return Outcome.AGAIN
        return Outcome.PAUSED

    def _inflate(self, most: int) -> int:
        """Inflate up to *most* bytes, write them, and return how many they were."""
        stream = self._stream
        try:
            data = stream.decompress(self._received, most)
        except zlib.error:
            raise Truncated(Cause.NO_DEFLATE) from None
        self._received = stream.unconsumed_tail
        # A match that *most* cut short goes on without further input.
        self._has_more = len(data) == most
        if stream.unused_data:
            raise Truncated(Cause.BEYOND_DEFLATE)
        self.moved += len(data)
        self._write(data)
        return len(data)

    def _finish(self) -> None:
        if not self._stream.eof:
            raise Truncated(Cause.DEFLATE_CUT)
        if self._decoder is not None:
            self._write(b"", is_last=True)

    def _write(self, data: bytes, *, is_last: bool = False) -> None:
        if self._decoder is not None:
            data = self._decoder.feed(data) + (self._decoder.finish() if is_last else b"")
        if data:
            self._is_ahead = bool(self._sink.write(memoryview(data)))
