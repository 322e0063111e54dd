"""
Segments: reading and writing the encrypted bytes of one open file.

* Each segment is bound to its number, and encrypted by a key that this file alone has: none can stand elsewhere.
* Every encryption takes 96 random bits as its nonce, also that of a segment which is written again because more has
  come in. So no resume, append, retry or crash can bring a nonce back: nothing is counted that could be counted twice.
* Each write brings all of its bytes into the file, the last segment too, which the next write replaces. A process that
  is killed in the middle of that leaves a last segment that does not open; `sound_length` finds where to go on.
"""

from __future__ import annotations

import os
import threading

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ftpsd.storage.sealing.ciphers import InvalidTag, cipher, derived, seal_into, unseal_into
from ftpsd.storage.sealing.damage import DamagedError, Reason
from ftpsd.storage.sealing.layout import (
    HEADER,
    MOST_SEGMENTS,
    OVERHEAD,
    SEGMENT,
    STORED_SEGMENT,
    length_of,
    place_of,
)

# Segments in one system call: 256 KiB, as much as a transfer reads or writes at a time.
_MOST = 4
_SEGMENTS = b"ftpsd segments 1"


class _Scratch(threading.local):
    """Memory of a thread for encrypted segments, and the header in front of the first."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(HEADER + (_MOST + 1) * STORED_SEGMENT))


_scratch = _Scratch()


def segment_cipher(key: bytes) -> AESGCM:
    """Return the cipher for the segments of the file with that *key*."""
    return cipher(derived(key, _SEGMENTS))


def _bound(segment: int) -> bytes:
    return segment.to_bytes(8, "big")


class SegmentReader:
    """The plaintext of the file *fd*; *length* is that of a whole file, None for one that grows."""

    __slots__ = ("_fd", "_gcm", "_held", "_length", "_number")

    def __init__(self, fd: int, gcm: AESGCM, length: int | None) -> None:
        self._fd = fd
        self._gcm = gcm
        self._length = length
        # The segment that a read has taken a part of; the next read goes on in it.
        self._held = b""
        self._number = -1

    def read(self, buffer: memoryview, offset: int) -> int:
        """Fill *buffer* from *offset* on. Raises: DamagedError, OSError."""
        length = length_of(os.fstat(self._fd).st_size) if self._length is None else self._length
        wanted = min(len(buffer), length - offset)
        count = 0
        while count < wanted:
            number, skipped = divmod(offset + count, SEGMENT)
            if number == self._number:
                piece = self._held[skipped : skipped + wanted - count]
                buffer[count : count + len(piece)] = piece
                count += len(piece)
            elif skipped or wanted - count < min(SEGMENT, length - number * SEGMENT):
                self._hold(number, length)
            else:
                count += self._fill(buffer[count:wanted], number, length)
        return max(0, count)

    def _fill(self, buffer: memoryview, number: int, length: int) -> int:
        """Fill *buffer* with whole segments from *number* on, which it has room for; return how many bytes."""
        left = length - number * SEGMENT
        count = min(left, len(buffer) if len(buffer) == left else len(buffer) - len(buffer) % SEGMENT, _MOST * SEGMENT)
        raw = self._raw(number, count)
        for at, place in zip(range(0, count, SEGMENT), range(0, len(raw), STORED_SEGMENT), strict=True):
            plain = buffer[at : min(at + SEGMENT, count)]
            self._unseal(raw[place : place + STORED_SEGMENT], number + at // SEGMENT, plain)
        return count

    def _hold(self, number: int, length: int) -> None:
        self._number = -1
        count = min(SEGMENT, length - number * SEGMENT)
        plain = bytearray(count)
        self._unseal(self._raw(number, count), number, memoryview(plain))
        self._held = bytes(plain)
        self._number = number

    def _raw(self, number: int, count: int) -> memoryview:
        """Return the stored form of *count* bytes from the segment *number* on, in the memory of this thread."""
        raw = _scratch.view[: count + -(-count // SEGMENT) * OVERHEAD]
        had = 0
        while had < len(raw):
            more = os.preadv(self._fd, (raw[had:],), place_of(number) + had)
            if not more:
                raise DamagedError(Reason.CUT)
            had += more
        return raw

    def _unseal(self, raw: memoryview, number: int, plain: memoryview) -> None:
        try:
            unseal_into(self._gcm, raw, _bound(number), plain)
        except InvalidTag:
            plain[:] = bytes(len(plain))
            raise DamagedError(Reason.ALTERED, f"the bytes from {number * SEGMENT} on") from None

    def forget(self) -> None:
        """Keep no segment: the file is being written."""
        self._number, self._held = -1, b""


class SegmentWriter:
    """The end of the growing file *fd*, which has *length* bytes; *header* is written in front of the first segment."""

    __slots__ = ("_fd", "_gcm", "_header", "_length", "_tail")

    def __init__(self, fd: int, gcm: AESGCM, length: int, header: bytes = b"") -> None:
        self._fd = fd
        self._gcm = gcm
        self._header = header
        self._length = length
        self._tail = b""
        rest = length % SEGMENT
        if rest:
            tail = bytearray(rest)
            # The segment may be longer than what is left of it here, when the file is about to be cut.
            if SegmentReader(fd, gcm, None).read(memoryview(tail), length - rest) != rest:
                raise DamagedError(Reason.CUT)
            self._tail = bytes(tail)

    def write(self, data: memoryview) -> None:
        """Write all of *data* behind the present bytes. Raises: OSError."""
        while data:
            self._write(data[: _MOST * SEGMENT])
            data = data[_MOST * SEGMENT :]

    def _write(self, data: memoryview) -> None:
        scratch = _scratch.view
        tail = self._tail
        number = self._length // SEGMENT
        if number + _MOST >= MOST_SEGMENTS:
            raise OSError(27, "more segments than one key may have")  # EFBIG
        place = place_of(number)
        end = 0
        if self._header:
            end, place = len(self._header), 0
            scratch[:end] = self._header
        at = 0
        piece: memoryview = data[:0]
        while at < len(data):
            if tail:
                at = min(SEGMENT - len(tail), len(data))
                piece, tail = memoryview(tail + data[:at]), b""
            else:
                piece = data[at : at + SEGMENT]
                at += len(piece)
            seal_into(self._gcm, piece, _bound(number), scratch[end : end + len(piece) + OVERHEAD])
            end += len(piece) + OVERHEAD
            number += 1
        write_at(self._fd, scratch[:end], place)
        self._header = b""
        self._tail = bytes(piece) if len(piece) < SEGMENT else b""
        self._length += len(data)

    def put_tail(self) -> None:
        """Write the last, shorter segment anew, as a cut file needs it."""
        if self._tail:
            number, tail = self._length // SEGMENT, self._tail
            out = memoryview(bytearray(len(tail) + OVERHEAD))
            seal_into(self._gcm, memoryview(tail), _bound(number), out)
            write_at(self._fd, out, place_of(number))


def sound_length(fd: int, gcm: AESGCM, stored: int) -> int:
    """Return how many bytes of a growing file of *stored* bytes can be gone on from: without a last torn segment."""
    length = length_of(stored)
    last = max(0, length - 1) // SEGMENT * SEGMENT
    if not length:
        return 0
    try:
        SegmentReader(fd, gcm, length).read(memoryview(bytearray(length - last)), last)
    except DamagedError:
        return last
    return length


def write_at(fd: int, data: memoryview | bytes, place: int) -> None:
    """Write all of *data* at *place* of the file. Raises: OSError."""
    written = os.pwrite(fd, data, place)
    while written < len(data):
        # A short write is the last room of a disk or quota; the next one raises which.
        more = os.pwrite(fd, data[written:], place + written)
        if not more:
            raise OSError(5, "nothing written")  # EIO
        written += more
