"""
Bandwidth limits: buckets that compute how long a transfer has to pause.

A session's bucket lasts as long as the session and a user's as long as any session of theirs, so many small files are
held to the same rate as one large one. Without a limit there is no bucket, and nothing is computed.
"""

from __future__ import annotations

from typing import Protocol
from weakref import WeakSet

from twisted.internet.interfaces import IReactorTime

# Seconds of silence that may be made up for. More would let a client that paused overtake its limit for as long.
BURST = 0.1
# Bytes of an unlimited quantum, and the least that is worth one: a TLS record's payload is at most 16 KiB.
UNLIMITED = 1 << 62
LEAST = 4096


class Due(Protocol):
    """The moment at which everything spent from a bucket so far is paid for."""

    def at(self) -> float:
        """Return the moment, on the clock of the bucket."""

    def put_off(self, seconds: float, earliest: float) -> None:
        """Move it *seconds* on from where it is, or from *earliest* where it is before that."""


class OwnDue:
    """The moment of a bucket of this process."""

    def __init__(self, at: float) -> None:
        self._at = at

    def at(self) -> float:
        """See `Due.at`."""
        return self._at

    def put_off(self, seconds: float, earliest: float) -> None:
        """See `Due.put_off`."""
        self._at = max(self._at, earliest) + seconds


class Bucket:
    """A count of bytes against *rate* bytes per second; buckets of one *due* are spent from together."""

    def __init__(self, rate: int, clock: IReactorTime, due: Due | None = None) -> None:
        self.rate = rate
        self.paces: WeakSet[Pace] = WeakSet()
        self._clock = clock
        self._due = due or OwnDue(clock.seconds())

    def spend(self, count: int) -> None:
        """Note that *count* bytes have moved."""
        self._due.put_off(count / self.rate, self._clock.seconds() - BURST)

    def pause(self) -> float:
        """Return the seconds until the next bytes may move."""
        return max(0.0, self._due.at() - self._clock.seconds())


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
