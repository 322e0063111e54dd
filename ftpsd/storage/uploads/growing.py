"""
A file that grows, and its watchers: each takes all bytes of an upload once, in order, before it is published.

All bytes are those of the whole file, also the beginning that an earlier upload or the published file gave it. Those
are read from the disk in pieces, new bytes are taken as they pass. STOR, APPE, REST, RANG, COMB, SITE CPTO and MODE Z
all end in such a file, so a watcher misses none of them. The first watcher is the digest.

A watcher that cannot take more for the moment, because it hands the bytes to another program, is behind: it gets them
later, from the disk, so that nothing is kept in memory for it. Writers are told when it is `LAG` bytes behind.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from ftpsd.storage.base import NotYet
from ftpsd.storage.disk.content import Reading
from ftpsd.storage.disk.digest import CATCH_UP, CHUNK, PIECE
from ftpsd.values.path import VirtualPath

# Bytes that a watcher may be behind before the client is asked to wait. They are in the page cache still; and the wait
# behind the last byte, in which clients hear nothing, stays short.
LAG = 1 << 20
# Seconds until a watcher that could take nothing is asked again.
PAUSE = 0.005


class Watcher(Protocol):
    """
    A watcher of all bytes of one upload, once, in order, before it is published; used by one worker at a time.

    It refuses the upload by a StorageError, of kind REFUSED where its content is the reason. Then nothing is published
    and nothing of it can be resumed.
    """

    def update(self, data: memoryview | bytes, /) -> int | None:
        """
        Take the next bytes; *data* is only valid during the call.

        Return how many were taken where that was not all of them; the others come again. Raises: StorageError.
        """

    def finish(self) -> bool:
        """
        Decide about the whole, all of which has been seen; False: ask again, as with `Sink.prepare`.

        One call takes about a tenth of a second at most, and does not wait for other programs: for those, NotYet.
        Raises: StorageError, NotYet.
        """

    def close(self) -> None:
        """Let go of everything: the upload is over, published or not. Idempotent."""


# Makes the watcher of one upload, for which the path is that in its own tree. Work that can fail belongs into update().
Watch = Callable[[VirtualPath], Watcher]


class _Seat:
    """A watcher, and the number of bytes it has *seen*."""

    __slots__ = ("seen", "watcher")

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.seen = 0

    def show(self, data: memoryview, start: int) -> bool:
        """Show it what it has not seen of *data*, which begins at *start*; return whether it took all of that."""
        skipped = self.seen - start
        if not 0 <= skipped < len(data):
            return True
        rest = data[skipped:] if skipped else data
        taken = self.watcher.update(rest)
        self.seen += len(rest) if taken is None else taken
        return taken is None or taken == len(rest)


class Growing:
    """
    A file that grows behind the *present* bytes that it has already, and its watchers, which it closes.

    The present bytes are read by *reading* piece by piece while others come in, and the rest of them at the end: the
    digest of 4 GiB at once takes ten seconds, which no client waits for its 150.
    """

    def __init__(self, reading: Reading, present: int, watchers: Sequence[Watcher]) -> None:
        self._reading = reading
        self._length = present
        self._seats = [_Seat(watcher) for watcher in watchers]
        self._deciding = [*watchers]
        if 0 < present <= PIECE:
            try:
                self._read(PIECE)
            except BaseException:
                self.close()
                raise

    def grew(self, data: memoryview) -> bool:
        """
        Take *data*, which has been written behind the earlier bytes; return whether a watcher is too far behind.

        Without data, only those that are behind are asked. Raises: OSError, StorageError.
        """
        start, count = self._length, len(data)
        self._length += count
        is_waiting = not self._show(data, start)
        if not is_waiting and self._behind():
            is_waiting = not self._read(CATCH_UP * count or LAG)
        return is_waiting and self._behind() > LAG

    def catch_up(self, most: int) -> bool:
        """
        Pass up to *most* bytes that are still unread to the watchers; True when none are left and every watcher has
        decided.

        No more bytes come. Raises: OSError, StorageError, NotYet.
        """
        if self._behind():
            if not self._read(most):
                raise NotYet(PAUSE)
            if self._behind():
                return False
        while self._deciding:
            if not self._deciding[0].finish():
                return False
            del self._deciding[0]
        return True

    def shown(self) -> Iterator[float]:
        """
        Pass all that is unread to the watchers, which then decide, and close; yields how many seconds to wait, or 0.

        Raises: OSError, StorageError.
        """
        try:
            while True:
                try:
                    if self.catch_up(PIECE):
                        return
                    yield 0.0
                except NotYet as wait:
                    yield wait.seconds
        finally:
            self.close()

    def has_shown_all(self, watcher: Watcher) -> bool:
        """Return whether *watcher* has seen all bytes there are."""
        return any(seat.watcher is watcher and seat.seen == self._length for seat in self._seats)

    def close(self) -> None:
        """End the watchers; idempotent."""
        for seat in self._seats:
            seat.watcher.close()

    def _behind(self) -> int:
        """Return how many bytes the last of the watchers has not seen."""
        return max((self._length - seat.seen for seat in self._seats), default=0)

    def _read(self, most: int) -> bool:
        """Pass up to *most* bytes of the file to the watchers; False when one that is behind can take no more now."""
        behind = self._behind()
        buffer = memoryview(bytearray(min(CHUNK, most, behind)))
        while behind and most > 0:
            start = self._length - behind
            count = self._reading(buffer[: min(most, behind)], start)
            if not count:
                raise OSError(errno.EIO, "the file has become shorter")
            if not self._show(buffer[:count], start):
                return False
            most -= count
            behind = self._behind()
        return True

    def _show(self, data: memoryview, start: int) -> bool:
        """Show *data*, which begins at *start*, to those who have not seen it; return whether all took what was left"""
        taken = [seat.show(data, start) for seat in self._seats]
        return all(taken)
