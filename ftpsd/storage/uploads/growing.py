"""
A file that grows, and its watchers: each takes all bytes of an upload once, in order, before it is published.

All bytes are those of the whole file, also the beginning that an earlier upload or the published file gave it. Those
are read from the disk in pieces, new bytes are taken as they pass. STOR, APPE, REST, RANG, COMB, SITE CPTO and MODE Z
all end in such a file, so a watcher misses none of them. The first watcher is the digest.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import Protocol

from ftpsd.storage.disk.content import Reading
from ftpsd.storage.disk.digest import CATCH_UP, CHUNK, PIECE
from ftpsd.values.path import VirtualPath


class Watcher(Protocol):
    """
    A watcher of all bytes of one upload, once, in order, before it is published; used by one worker at a time.

    It refuses the upload by a StorageError, of kind REFUSED where its content is the reason. Then nothing is published
    and nothing of it can be resumed.
    """

    def update(self, data: memoryview | bytes, /) -> None:
        """Take the next bytes; *data* is only valid during the call. Raises: StorageError."""

    def finish(self) -> bool:
        """
        Decide about the whole, all of which has been seen; False: ask again, as with `Sink.prepare`.

        One call takes about a tenth of a second at most. Raises: StorageError.
        """

    def close(self) -> None:
        """Let go of everything: the upload is over, published or not. Idempotent."""


# Makes the watcher of one upload, for which the path is that in its own tree. Work that can fail belongs into update().
Watch = Callable[[VirtualPath], Watcher]


class Growing:
    """
    A file that grows behind the *present* bytes that it has already, and its watchers, which it closes.

    The present bytes are read by *reading* piece by piece while others come in, and the rest of them at the end: the
    digest of 4 GiB at once takes ten seconds, which no client waits for its 150.
    """

    def __init__(self, reading: Reading, present: int, watchers: Sequence[Watcher]) -> None:
        self._reading = reading
        self._length = present
        self._seen = 0
        self._watchers = watchers
        self._deciding = [*watchers]
        if present <= PIECE:
            try:
                self._read(PIECE)
            except BaseException:
                self.close()
                raise

    def grew(self, data: memoryview) -> None:
        """Take *data*, which has been written behind the earlier bytes. Raises: OSError, StorageError."""
        count = len(data)
        self._length += count
        if self._seen + count == self._length:
            self._pass_on(data)
        else:
            self._read(CATCH_UP * count)

    def catch_up(self, most: int) -> bool:
        """
        Pass up to *most* bytes that are still unread to the watchers; True when none are left and every watcher has
        decided.

        No more bytes come. Raises: OSError, StorageError.
        """
        if not self._read(most):
            return False
        while self._deciding:
            if not self._deciding[0].finish():
                return False
            del self._deciding[0]
        return True

    def close(self) -> None:
        """End the watchers; idempotent."""
        for watcher in self._watchers:
            watcher.close()

    def _read(self, most: int) -> bool:
        """Pass up to *most* bytes of the file to the watchers; True when none are left."""
        if not self._watchers:
            return True
        buffer = memoryview(bytearray(min(CHUNK, most, self._length - self._seen)))
        while self._seen < self._length and most > 0:
            count = self._reading(buffer[: min(most, self._length - self._seen)], self._seen)
            if not count:
                raise OSError(errno.EIO, "the file has become shorter")
            self._pass_on(buffer[:count])
            most -= count
        return self._seen == self._length

    def _pass_on(self, data: memoryview | bytes) -> None:
        self._seen += len(data)
        for watcher in self._watchers:
            watcher.update(data)
