"""
Records: where one TLS record ends and the next begins, on the wire.

For uploads that may end with a FIN alone (`upload_end: fin`). A client that dies is ended by its kernel with a FIN too,
mostly in the middle of a record; that is no end of a file.
"""

from __future__ import annotations

# Type, version and length (RFC 8446, 5.1).
HEADER = 5


class Records:
    """A follower of the bytes that come in."""

    def __init__(self) -> None:
        self._header = b""
        self._left = 0

    @property
    def is_between(self) -> bool:
        """Whether the last record has come in whole, and nothing of the next."""
        return not self._header and self._left == 0

    def feed(self, data: memoryview) -> None:
        """Take note of *data*, the next bytes of the stream."""
        at = 0
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
            else:
                step = min(HEADER - len(self._header), len(data) - at)
                self._header += data[at : at + step]
                if len(self._header) == HEADER:
                    self._left = int.from_bytes(self._header[3:])
                    self._header = b""
            at += step
