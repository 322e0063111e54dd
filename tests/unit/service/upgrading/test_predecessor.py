"""The process before an upgrade, asked while it ends: it is no process that does not answer."""

from __future__ import annotations

import os
from typing import Any, cast

from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure

from ftpsd.audit.bus import AuditBus
from ftpsd.audit.metrics import Metrics
from ftpsd.service.upgrading.bequest import Bequest
from ftpsd.service.upgrading.generations import Generations
from ftpsd.service.upgrading.predecessor import LOOK, Predecessor


class Linked(Clock):
    """A reactor that connects to nobody; the test is the other end."""

    protocol: Any

    def adoptStreamConnection(self, descriptor: int, family: int, factory: Any) -> None:
        self.protocol = factory.buildProtocol(None)
        self.protocol.makeConnection(cast(Any, StringTransport)())

    def say(self, line: str) -> None:
        """Say *line* as the process before does."""
        self.protocol.dataReceived(line.encode() + b"\n")

    def end(self) -> None:
        """End the link."""
        self.protocol.connectionLost(Failure(ConnectionDone()))

    @property
    def heard(self) -> str:
        """The last that it was asked."""
        lines: list[bytes] = self.protocol.transport.value().splitlines()
        return lines[-1].decode()


class Watching:
    """Nobody waits for this process to serve."""

    def over(self) -> None:
        """Let nobody end."""


class Own:
    """The answers of the process that serves."""

    def progress(self) -> Deferred[dict[str, Any]]:
        return succeed({"sessions": 1, "transfers": 0, "is_stopping": False, "missing": []})


def test_its_sessions_and_its_end() -> None:
    """The metric has its sessions; a question that it takes with it names nobody and warns of nothing."""
    reactor, registry = Linked(), CollectorRegistry()
    before = Predecessor(Bequest(os.open("/dev/null", os.O_RDONLY), 0), cast(Any, Watching()), reactor)
    generations = Generations(cast(Any, Own()), before)
    before.connect()
    before.follow(AuditBus(failed=lambda *_: None), Metrics(registry, "1"))
    before.take_over()
    reactor.say('{"answer": null, "id": 1}')
    assert before.has_handed_over
    reactor.say('{"answer": {"sessions": 7, "transfers": 1}, "id": 2}')
    assert registry.get_sample_value("ftpsd_sessions_before_upgrade") == 7
    told: list[dict[str, Any]] = []
    said: list[Any] = []
    observer = cast(Any, said.append)
    globalLogPublisher.addObserver(observer)
    try:
        reactor.advance(LOOK)
        generations.progress().addCallback(told.append)
        assert "progress" in reactor.heard
        reactor.end()
    finally:
        globalLogPublisher.removeObserver(observer)
    assert told == [{"sessions": 1, "transfers": 0, "is_stopping": False, "missing": []}]
    assert not [each for each in said if each["log_level"].name == "warn"]
    assert not before.is_there
    assert registry.get_sample_value("ftpsd_sessions_before_upgrade") == 0
