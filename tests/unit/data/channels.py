"""
A channel in memory that blocks, cuts and ends where its plan says, and holds quanta to the rules of real ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from ftpsd.data.carry.channel import BLOCKED, ENDED, Outcome
from ftpsd.data.carry.quantum import Transfer
from ftpsd.data.trouble import Cause, Truncated
from ftpsd.storage.base import StorageError

# Ends that never come again must not make a test run for ever.
MOST_STEPS = 10_000


class PlannedChannel:
    """
    Sends and receives up to as many bytes as the *plan* says next, 0 is "would block"; after the plan, all there is.

    *incoming* is what the client sends. After it comes the end, or `Truncated` when *is_cut*.
    """

    def __init__(self, plan: Iterable[int] = (), incoming: bytes = b"", *, is_cut: bool = False) -> None:
        self.blocked_on = Outcome.WRITABLE
        self.sent = bytearray()
        self.calls = 0
        self._plan = iter(plan)
        self._incoming = incoming
        self._is_cut = is_cut
        self._offered: bytes | None = None

    def send(self, data: memoryview) -> int:
        """Take some of *data*."""
        self.calls += 1
        # OpenSSL calls anything else "bad write retry".
        assert self._offered is None or bytes(data) == self._offered, "not the same bytes again"
        count = min(next(self._plan, len(data)), len(data))
        if count == 0:
            self.blocked_on = Outcome.WRITABLE
            self._offered = bytes(data)
            return BLOCKED
        self._offered = None
        self.sent += data[:count]
        return count

    def receive_into(self, buffer: memoryview) -> int:
        """Give some of what the client sends."""
        self.calls += 1
        assert len(buffer) > 0
        if not self._incoming:
            if self._is_cut:
                raise Truncated(Cause.BROKEN)
            return ENDED
        count = min(next(self._plan, len(buffer)), len(buffer), len(self._incoming))
        if count == 0:
            self.blocked_on = Outcome.READABLE
            return BLOCKED
        buffer[:count] = self._incoming[:count]
        self._incoming = self._incoming[count:]
        return count

    def send_file(self, descriptor: int, offset: int, count: int) -> int | None:
        """Take some of a file, as os.sendfile does."""
        self.calls += 1
        assert count > 0, "os.sendfile would take 0 for the end of the file"
        count = min(next(self._plan, count), count)
        if count == 0:
            self.blocked_on = Outcome.WRITABLE
            return ENDED
        data = os.pread(descriptor, count, offset)
        self.sent += data
        return len(data)


class ListSink:
    """Keeps what is written."""

    def __init__(self, error: StorageError | None = None) -> None:
        self.data = bytearray()
        self.writes: list[int] = []
        self._error = error

    def write(self, data: memoryview) -> None:
        """Keep *data*."""
        if self._error is not None:
            raise self._error
        assert len(data) > 0, "an empty write is a system call for nothing"
        self.data += data
        self.writes.append(len(data))


def outcomes(transfer: Transfer, channel: PlannedChannel, budget: float, allowance: int) -> Iterator[Outcome]:
    """Run *transfer* to its end, quantum by quantum."""
    for _ in range(MOST_STEPS):
        outcome = transfer.step(channel, budget, allowance)
        yield outcome
        if outcome is Outcome.DONE:
            return
    raise AssertionError("the transfer does not end")
