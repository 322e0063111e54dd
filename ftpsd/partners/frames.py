"""
The frames between daemon and child: a letter, a length, bytes. Both ends bound what they take.

    child <- order {"do": …}          child -> TOLD {"ok": …} | {"fault": …, "text": …}
    child -> DATA, DATA, …            child <- NEXT for each that was taken; the child is at most AHEAD of them
    child -> NEXT                     child <- DATA, empty at the end
    child <- STOP in place of a NEXT or DATA: the transfer is to be broken off, the session goes on
"""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO, Final

ORDER: Final = b"O"
TOLD: Final = b"T"
MORE: Final = b"M"
DATA: Final = b"D"
NEXT: Final = b"N"
STOP: Final = b"S"

# A page of names, or a piece of a file.
LONGEST: Final = 1 << 20
AHEAD: Final = 2
_HEADER: Final = struct.Struct("!cI")


class FrameError(Exception):
    """The bytes that have come are no frame."""


def frame(kind: bytes, data: bytes = b"") -> bytes:
    """Return a frame of *kind* with *data*."""
    return _HEADER.pack(kind, len(data)) + data


def told(kind: bytes, value: Any) -> bytes:
    """Return a frame of *kind* with *value* as JSON; names that are no UTF-8 come through."""
    return frame(kind, json.dumps(value).encode("ascii"))


def read_frame(stream: BinaryIO) -> tuple[bytes, bytes]:
    """Read one frame, and wait for it. Raises: EOFError, FrameError."""
    header = stream.read(_HEADER.size)
    if len(header) < _HEADER.size:
        raise EOFError
    kind, length = _HEADER.unpack(header)
    if length > LONGEST:
        raise FrameError
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return kind, data


class Frames:
    """Frames out of what comes in pieces."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Take *data*, and return the frames that are whole. Raises: FrameError."""
        self._buffer += data
        found = []
        while len(self._buffer) >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._buffer)
            if length > LONGEST:
                raise FrameError
            end = _HEADER.size + length
            if len(self._buffer) < end:
                break
            found.append((kind, bytes(self._buffer[_HEADER.size : end])))
            del self._buffer[:end]
        return found
