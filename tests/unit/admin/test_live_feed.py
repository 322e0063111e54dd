"""The feed of the status page: what is sent, when, to how many, and when nobody reads it."""

from __future__ import annotations

import json
from typing import Any, cast

from prometheus_client import CollectorRegistry, Counter
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.web.http_headers import Headers
from twisted.web.server import NOT_DONE_YET, Request

from ftpsd.admin.live_feed import (
    BETWEEN_SNAPSHOTS,
    BETWEEN_SUMS,
    HISTORY,
    MOST_STREAMS,
    STREAM_SECONDS,
    LiveFeed,
    Sources,
)


class FakeRequest:
    """A request whose answer is kept."""

    method = b"GET"

    def __init__(self, client: str) -> None:
        self.client = client
        self.responseHeaders = Headers()
        self.code = 200
        self.sent = b""
        self.is_finished = False
        self.producer: Any = None
        self._gone: Deferred[None] = Deferred()

    def getClientAddress(self) -> IPv4Address:
        return IPv4Address("TCP", self.client, 50000)

    def setResponseCode(self, code: int) -> None:
        self.code = code

    def registerProducer(self, producer: object, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        self.sent += data

    def finish(self) -> None:
        self.is_finished = True

    def notifyFinish(self) -> Deferred[None]:
        return self._gone

    def leave(self) -> None:
        """Close the connection, as its browser."""
        self._gone.errback(ConnectionError())

    def events(self, name: str) -> list[Any]:
        """Return the data of the events called *name*."""
        told = (event.split("\n") for event in self.sent.decode().split("\n\n"))
        return [json.loads(lines[1].removeprefix("data: ")) for lines in told if lines[0] == f"event: {name}"]


class Watched:
    """A feed of a server with two counters."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.asked = 0
        registry = CollectorRegistry()
        labels = {"direction": "upload"}, {"method": "password", "result": "refused"}
        self.uploaded = Counter("ftpsd_transfer_bytes", "x", labels[0], registry=registry).labels(**labels[0])
        self.refused = Counter("ftpsd_auth_attempts", "x", labels[1], registry=registry).labels(**labels[1])
        status = {"version": "1", "processes": {"process 1": "pid 7"}, "names": ("a", "b")}
        sources = Sources(registry, lambda: succeed(None), lambda: status, self._sessions, lambda: True)
        self.feed = LiveFeed(sources, self.clock)
        self.feed.start()

    def _sessions(self) -> Deferred[dict[str, Any]]:
        self.asked += 1
        return succeed({"sessions": [{"path": "/a\n\nevent: now\ndata: {}\udcff"}], "total": 1, "missing": []})

    def watch(self, client: str = "127.0.0.1") -> FakeRequest:
        """Ask for the stream."""
        request = FakeRequest(client)
        if self.feed.render(cast("Request", request)) is not NOT_DONE_YET:
            request.is_finished = True
        return request


def test_who_watches_is_told_every_two_seconds() -> None:
    """At once first, with the snapshot that is there; one serves all, and none is made while nobody watches."""
    it = Watched()
    it.clock.pump([BETWEEN_SNAPSHOTS] * 5)
    assert it.asked == 0
    first, second = it.watch(), it.watch()
    it.clock.pump([BETWEEN_SNAPSHOTS] * 3)
    assert it.asked == 4
    assert (len(first.events("now")), len(second.events("now"))) == (4, 4)
    told = first.events("now")[0]
    assert told["status"] == {"version": "1", "processes": {"process 1": "pid 7"}, "names": ["a", "b"]}
    assert told["sessions"] == [{"path": "/a\n\nevent: now\ndata: {}\udcff"}]
    for request in (first, second):
        request.leave()
    it.clock.pump([BETWEEN_SNAPSHOTS] * 3)
    assert it.asked <= 5


def test_the_last_hour_is_kept() -> None:
    """Also while nobody watches: bytes a second, refused logins a minute, never negative, and no more than an hour."""
    it = Watched()
    it.uploaded.inc(1000)
    it.refused.inc(2)
    it.clock.advance(BETWEEN_SUMS)
    it.uploaded.reset()
    it.clock.advance(BETWEEN_SUMS)
    (history,) = it.watch().events("history")
    assert (history["up"], history["down"], history["refused"]) == ([100, 0], [0, 0], [12, 0])
    it.clock.pump([BETWEEN_SUMS] * (HISTORY + 5))
    (history,) = it.watch().events("history")
    assert len(history["times"]) == HISTORY


def test_a_stream_has_an_end() -> None:
    """The browser asks again."""
    it = Watched()
    stream = it.watch()
    it.clock.pump([BETWEEN_SNAPSHOTS] * int(STREAM_SECONDS / BETWEEN_SNAPSHOTS))
    assert stream.is_finished
    again = it.watch()
    it.feed.stop()
    assert again.is_finished
    assert it.clock.getDelayedCalls() == []


def test_nobody_is_shut_out() -> None:
    """One more than there may be takes the place of the oldest of the client that has the most, and is told at once."""
    it = Watched()
    operator = it.watch("192.0.2.1")
    others = [it.watch() for _ in range(MOST_STREAMS)]
    ended = [stream.is_finished for stream in (operator, *others)]
    assert ended == [False, True] + [False] * (MOST_STREAMS - 1)
    others += [it.watch() for _ in range(3 * MOST_STREAMS)]
    ended = [stream.is_finished for stream in (operator, *others)]
    assert ended == [False] + [True] * (3 * MOST_STREAMS + 1) + [False] * (MOST_STREAMS - 1)


def test_one_that_was_ended_comes_again() -> None:
    """All are from one address, as on loopback: a browser that is ended for others misses nothing."""
    it = Watched()
    browser, *_ = (it.watch() for _ in range(MOST_STREAMS + 1))
    assert browser.is_finished
    asked, again = it.asked, it.watch()
    assert (again.is_finished, len(again.events("history")), len(again.events("now")), it.asked) == (False, 1, 1, asked)
    it.feed.stop()
    assert it.clock.getDelayedCalls() == []


def test_who_does_not_read_gets_no_more() -> None:
    """Until there is room again."""
    it = Watched()
    request = it.watch()
    request.producer.pauseProducing()
    length = len(request.sent)
    it.clock.pump([BETWEEN_SNAPSHOTS] * 3)
    assert len(request.sent) == length
    request.producer.resumeProducing()
    it.clock.advance(BETWEEN_SNAPSHOTS)
    assert len(request.events("now")) == 2
