"""One connection of the admin endpoint: one request at a time, and a bound on all that follows it."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from ftpsd.admin.endpoint import admin_site
from ftpsd.admin.http_channel import HEADER_BYTES, HEADERS, REQUESTS_LIMIT

HERE = IPv4Address("TCP", "127.0.0.1", 9121)
HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Connection:
    """A connection to the endpoint whose kernel takes as much as the test says."""

    def __init__(self) -> None:
        self.clock = Clock()
        site = admin_site(CollectorRegistry(), lambda: True, dict, reactor=self.clock)
        self.transport = StringTransport(HERE, HERE)
        self.channel: Any = site.buildProtocol(HERE)
        self.channel.makeConnection(self.transport)

    @property
    def answers(self) -> list[int]:
        """The codes of the answers so far."""
        return [int(part[:3]) for part in self.transport.value().split(b"HTTP/1.1 ")[1:]]

    @property
    def is_read(self) -> bool:
        """Whether anything is read from it."""
        state: str = self.transport.producerState
        return state == "producing"

    def turn(self, count: int = 1) -> None:
        """Let the reactor turn; unlike in Clock.advance, what a call puts off is due in the turn behind."""
        for _ in range(count):
            for call in [call for call in self.clock.getDelayedCalls() if call.getTime() <= self.clock.seconds()]:
                due: Any = call
                function, arguments = due.func, due.args
                due.cancel()
                function(*arguments)


@pytest.fixture
def connection() -> Connection:
    """A connection."""
    return Connection()


def test_requests_sent_ahead_are_answered_one_a_turn(connection: Connection) -> None:
    """However many one read brings; between two of them others are served."""
    connection.channel.dataReceived(HEALTHZ * 500)
    counts = [len(connection.answers)]
    for _ in range(3):
        connection.turn()
        counts.append(len(connection.answers))
    assert counts == [1, 2, 3, 4]


def test_nothing_is_read_while_requests_wait(connection: Connection) -> None:
    """Lines that a client sends ahead stay with it, until the last of those that were read is answered."""
    connection.channel.dataReceived(HEALTHZ * 3)
    assert not connection.is_read
    connection.turn(2)
    assert (len(connection.answers), connection.is_read) == (3, False)
    connection.turn()
    assert connection.is_read


def test_half_a_request_behind_another_is_completed(connection: Connection) -> None:
    """The rest of it is read, and it is answered."""
    connection.channel.dataReceived(HEALTHZ + HEALTHZ[:20])
    connection.turn()
    assert (len(connection.answers), connection.is_read) == (1, True)
    connection.channel.dataReceived(HEALTHZ[20:])
    assert connection.answers == [200, 200]


def test_answers_that_nobody_takes_are_waited_for(connection: Connection) -> None:
    """While the kernel takes no more, no further request is answered; the timeout ends the connection."""
    connection.channel.dataReceived(HEALTHZ * 100)
    connection.channel.pauseProducing()
    connection.turn(50)
    assert (len(connection.answers), connection.is_read) == (1, False)
    connection.channel.resumeProducing()
    connection.turn()
    assert len(connection.answers) == 2
    connection.channel.pauseProducing()
    connection.clock.advance(100)
    assert connection.transport.disconnecting


def test_a_connection_has_an_end(connection: Connection) -> None:
    """The last of its requests is answered with Connection: close; what was sent behind it is not."""
    connection.channel.dataReceived(HEALTHZ * (REQUESTS_LIMIT + 10))
    connection.turn(REQUESTS_LIMIT - 2)
    assert b"Connection: close" not in connection.transport.value()
    connection.turn(20)
    assert connection.answers == [200] * REQUESTS_LIMIT
    assert connection.transport.value().count(b"Connection: close") == 1
    assert connection.transport.disconnecting


@pytest.mark.parametrize("length", [b"Content-Length: 10000000", b"Transfer-Encoding: chunked"])
def test_a_body_is_not_read(connection: Connection, length: bytes) -> None:
    """The request is answered before its body, and is the last."""
    connection.channel.dataReceived(b"POST /metrics HTTP/1.1\r\nHost: localhost\r\n" + length + b"\r\n\r\n")
    assert connection.answers == [405]
    assert connection.transport.disconnecting
    connection.channel.dataReceived(HEALTHZ * 10)
    connection.turn(10)
    assert connection.answers == [405]


@pytest.mark.parametrize(
    "more", [b"X: " + b"x" * HEADER_BYTES + b"\r\n", b"X: x\r\n" * (HEADERS + 1)], ids=["bytes", "count"]
)
def test_headers_are_bounded(connection: Connection, more: bytes) -> None:
    """In bytes and in number: 400, and the end."""
    connection.channel.dataReceived(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + more + b"\r\n")
    assert connection.answers == [400]
    assert connection.transport.disconnecting


def test_a_client_that_leaves_leaves_no_timer(connection: Connection) -> None:
    """Requests that were sent ahead are forgotten."""

    connection.channel.dataReceived(HEALTHZ * 10)
    connection.channel.connectionLost(Failure(ConnectionDone()))
    assert connection.clock.getDelayedCalls() == []
