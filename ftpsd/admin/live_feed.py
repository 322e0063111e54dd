"""
The live part of the status page: what the server does now, and the last hour, as server-sent events.

One snapshot is made for all who watch, and only while somebody does; the last hour is always kept, as sums of a few
counters every ten seconds. A stream ends after a minute, and the browser asks again. A browser that does not read
misses the events until there is room: each is whole, so none is waited for.

There are few streams, and nobody is asked who they are. A new one always gets a place: that of the oldest stream of the
client that has the most. A browser whose stream has ended so asks again, and is told at once what is known, so that the
page of an operator goes on whatever others open.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from ftpsd.wire.address import client_of

# Seconds between two snapshots, two sums, and the length of a stream.
BETWEEN_SNAPSHOTS: Final = 2.0
BETWEEN_SUMS: Final = 10.0
STREAM_SECONDS: Final = 60.0
HISTORY: Final = int(3600 / BETWEEN_SUMS)
# Browsers that watch at once; one more takes the place of another.
MOST_STREAMS: Final = 8

UPLOADED: Final = ("ftpsd_transfer_bytes_total", {"direction": "upload"})
DOWNLOADED: Final = ("ftpsd_transfer_bytes_total", {"direction": "download"})
REFUSED: Final = ("ftpsd_auth_attempts_total", {"result": "refused"})
SUMMED: Final = (UPLOADED, DOWNLOADED, REFUSED)

log = Logger()

Sessions = Callable[[], Deferred[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Sources:
    """
    The sources of a feed.

    *refresh* brings the numbers of *registry* and *status* up to date, *sessions* are the busiest of now, and *ready*
    tells whether new ones are welcome.
    """

    registry: CollectorRegistry
    refresh: Callable[[], Deferred[None]]
    status: Callable[[], Mapping[str, object]]
    sessions: Sessions
    ready: Callable[[], bool]


class LiveFeed:
    """The feed from *sources*; `start` and `stop` belong to the owner of the endpoint. Reactor thread only."""

    def __init__(self, sources: Sources, reactor: IReactorTime) -> None:
        self._sources = sources
        self._reactor = reactor
        # The oldest first.
        self._streams: dict[_Stream, None] = {}
        self._snapshot: dict[str, Any] | None = None
        # The moment (a Unix time) and what moved or was refused in the ten seconds before it.
        self._history: deque[tuple[float, tuple[float, ...]]] = deque(maxlen=HISTORY)
        self._sums: tuple[float, ...] | None = None
        self._summing: IDelayedCall | None = None
        self._looking: IDelayedCall | None = None
        self._is_asking = False

    def start(self) -> None:
        """Begin to keep the last hour."""
        self._sum()

    def stop(self) -> None:
        """End it, and every stream."""
        for timer in (self._summing, self._looking):
            if timer is not None and timer.active():
                timer.cancel()
        self._summing = self._looking = None
        for stream in list(self._streams):
            stream.end()

    def render(self, request: Request) -> Any:
        """Answer *request* with a stream."""
        if request.method == b"HEAD":
            return b""
        if len(self._streams) >= MOST_STREAMS:
            self._one_to_end().end()
        stream = _Stream(request, self._reactor, self._left)
        self._streams[stream] = None
        request.notifyFinish().addBoth(lambda _: stream.gone())
        stream.send("history", self.history())
        if self._looking is None:
            self._look()
        elif self._snapshot is not None:
            stream.send("now", self._snapshot)
        return NOT_DONE_YET

    def _one_to_end(self) -> _Stream:
        """Return the oldest stream of the client that has the most."""
        held = Counter(stream.client for stream in self._streams)
        most = max(held.values())
        return next(stream for stream in self._streams if held[stream.client] == most)

    def _left(self, stream: _Stream) -> None:
        del self._streams[stream]

    def history(self) -> dict[str, Any]:
        """Return the last hour: bytes a second up and down, logins refused a minute."""
        columns = list(zip(*(values for _, values in self._history), strict=True)) or [()] * len(SUMMED)
        up, down, refused = columns
        return {
            "times": [round(moment) for moment, _ in self._history],
            "up": [round(value / BETWEEN_SUMS) for value in up],
            "down": [round(value / BETWEEN_SUMS) for value in down],
            "refused": [round(value * 60 / BETWEEN_SUMS) for value in refused],
        }

    # --- the last hour

    def _sum(self) -> None:
        self._summing = self._reactor.callLater(BETWEEN_SUMS, self._sum)
        self._sources.refresh().addCallback(self._summed).addErrback(_told)

    def _summed(self, _: None) -> None:
        sums = totals(self._sources.registry)
        if self._sums is not None:
            # A process that has died takes its numbers along; none of them went backwards.
            moved = tuple(max(0.0, now - before) for now, before in zip(sums, self._sums, strict=True))
            self._history.append((self._reactor.seconds(), moved))
            for stream in list(self._streams):
                stream.send("history", self.history())
        self._sums = sums

    # --- now

    def _look(self) -> None:
        """Make a snapshot for all streams, and the next one later; none while the last is not there yet."""
        self._looking = None
        if not self._streams:
            self._snapshot = None
            return
        self._looking = self._reactor.callLater(BETWEEN_SNAPSHOTS, self._look)
        if self._is_asking:
            return
        self._is_asking = True

        def asked(_: object) -> None:
            self._is_asking = False

        looking = self._sources.refresh().addCallback(lambda _: self._sources.sessions())
        looking.addCallback(self._seen).addErrback(_told).addBoth(asked)

    def _seen(self, sessions: dict[str, Any]) -> None:
        self._snapshot = snapshot = {
            "ready": self._sources.ready(),
            "status": _plain(self._sources.status()),
            **sessions,
        }
        for stream in list(self._streams):
            stream.send("now", snapshot)


def totals(registry: CollectorRegistry) -> tuple[float, ...]:
    """Return the sums of SUMMED over all other labels."""
    sums = [0.0] * len(SUMMED)
    for family in registry.collect():
        for sample in family.samples:
            for number, (name, labels) in enumerate(SUMMED):
                if sample.name == name and labels.items() <= sample.labels.items():
                    sums[number] += sample.value
    return tuple(sums)


@implementer(IPushProducer)
class _Stream:
    """The answer to one browser; *over* is called with it at its end."""

    def __init__(self, request: Request, reactor: IReactorTime, over: Callable[[_Stream], None]) -> None:
        self.client = client_of(request.getClientAddress().host)
        self._request = request
        self._over = over
        self._has_room = True
        self._is_open = True
        self._timer = reactor.callLater(STREAM_SECONDS, self.end)
        request.registerProducer(self, True)
        # Milliseconds until the browser asks again behind the end.
        request.write(b"retry: 1000\n\n")

    def send(self, event: str, data: object) -> None:
        """Send *data* as an *event*, if there is room."""
        if self._is_open and self._has_room:
            # ASCII and without line ends, so that it is one event whatever clients have called their files.
            self._request.write(f"event: {event}\ndata: {json.dumps(data)}\n\n".encode("ascii"))

    def end(self) -> None:
        """End the answer."""
        if self._is_open:
            self._request.unregisterProducer()
            self._request.finish()
            self.gone()

    def gone(self) -> None:
        """Note that it has ended, by whomever."""
        if self._is_open:
            self._is_open = False
            if self._timer.active():
                self._timer.cancel()
            self._over(self)

    def pauseProducing(self) -> None:
        """Send nothing: what was sent is not read (IPushProducer)."""
        self._has_room = False

    def resumeProducing(self) -> None:
        """Go on with the next event (IPushProducer)."""
        self._has_room = True

    def stopProducing(self) -> None:
        """Nothing to stop; the connection is lost (IPushProducer)."""


def _plain(value: object) -> Any:
    """Return *value* as JSON has it."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _told(failure: Failure) -> None:
    log.failure("the live status page could not be brought up to date", failure)
