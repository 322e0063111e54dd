"""
Bandwidth limits: buckets that compute how long a transfer has to pause.

A session's bucket lasts as long as the session and a user's as long as any session of theirs, so many small files are
held to the same rate as one large one. Without a limit there is no bucket, and nothing is computed.
"""

from __future__ import annotations

from weakref import WeakSet

from twisted.internet.interfaces import IReactorTime

# Seconds of silence that may be made up for. More would let a client that paused overtake its limit for as long.
BURST = 0.1
# Bytes of an unlimited quantum, and the least that is worth one: a TLS record's payload is at most 16 KiB.
UNLIMITED = 1 << 62
LEAST = 4096


class Bucket:
    """A count of bytes against *rate* bytes per second."""

    def __init__(self, rate: int, clock: IReactorTime) -> None:
        self.rate = rate
        self.paces: WeakSet[Pace] = WeakSet()
        self._clock = clock
        # The moment at which everything spent so far is paid for.
        self._paid_at = clock.seconds()

    def spend(self, count: int) -> None:
        """Note that *count* bytes have moved."""
        self._paid_at = max(self._paid_at, self._clock.seconds() - BURST) + count / self.rate

    def pause(self) -> float:
        """Return the seconds until the next bytes may move."""
        return max(0.0, self._paid_at - self._clock.seconds())


class Pace:
    """The buckets that hold for one direction of one session."""

    def __init__(self, *buckets: Bucket) -> None:
        self._buckets = buckets
        for bucket in buckets:
            bucket.paces.add(self)

    def allowance(self) -> int:
        """
        Return how many bytes the next quantum may move: a tenth of a second's worth, so that a limit is smooth.

        Sessions that share a bucket share the tenth. Each moves its quantum before it has to pause: twenty whole ones
        would be two seconds ahead of their limit for good.
        """
        if not self._buckets:
            return UNLIMITED
        return max(LEAST, min(bucket.rate // len(bucket.paces) for bucket in self._buckets) // 10)

    def spend(self, count: int) -> float:
        """Note that *count* bytes have moved; return the seconds to pause now."""
        for bucket in self._buckets:
            bucket.spend(count)
        return self.pause()

    def pause(self) -> float:
        """Return the seconds until the next bytes may move."""
        return max(bucket.pause() for bucket in self._buckets) if self._buckets else 0.0


NO_LIMIT = Pace()
