"""The audit bus: order, time, and a failing sink that hurts no other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from ftpsd.audit.bus import AuditBus
from ftpsd.audit.events import DAEMON, ConnectionRejected, ConnectionRejectedAgain, Event, LoginRefused, Started
from tests.unit.audit.samples import WHO


class BrokenSink:
    """A sink that takes nothing."""

    def __call__(self, _event: Event, _seconds: float) -> None:
        """Fail."""
        raise RuntimeError("disk on fire")


@implementer(ILogObserver)
class Observer:
    """Keep what is logged."""

    def __init__(self) -> None:
        self.seen: list[LogEvent] = []

    def __call__(self, event: LogEvent) -> None:
        """Keep *event*."""
        self.seen.append(event)


@pytest.fixture
def logged() -> Iterator[list[LogEvent]]:
    """Return what is logged from now on."""
    observer = Observer()
    globalLogPublisher.addObserver(observer)
    yield observer.seen
    globalLogPublisher.removeObserver(observer)


def test_sinks_are_told_in_order_of_subscription() -> None:
    """The sink that subscribed first is told first."""
    told: list[str] = []
    bus = AuditBus()
    bus.subscribe(lambda event, seconds: told.append("first"))
    bus.subscribe(lambda event, seconds: told.append("second"))
    bus.publish(Started(DAEMON))
    assert told == ["first", "second"]


def test_every_sink_sees_the_same_event_and_time() -> None:
    """The bus stamps an event once, with the time of its clock."""
    clock = Clock()
    clock.advance(1_700_000_000.25)
    seen: list[tuple[Event, float]] = []
    bus = AuditBus(clock.seconds)
    bus.subscribe(lambda event, seconds: seen.append((event, seconds)))
    bus.subscribe(lambda event, seconds: seen.append((event, seconds)))
    event = Started(DAEMON)
    bus.publish(event)
    assert seen == [(event, 1_700_000_000.25)] * 2


def test_failing_sink_hurts_no_other() -> None:
    """The sinks behind a failing one, and the publisher, do not notice."""
    seen: list[Event] = []
    bus = AuditBus()
    bus.subscribe(BrokenSink())
    bus.subscribe(lambda event, seconds: seen.append(event))
    bus.publish(Started(DAEMON))
    assert seen == [Started(DAEMON)]


def test_every_failure_is_counted() -> None:
    """Each event a sink did not take is counted, said or not."""
    counted: list[int] = []
    bus = AuditBus(failed=counted.append)
    bus.subscribe(BrokenSink())
    for _ in range(3):
        bus.publish(Started(DAEMON))
    assert (bus.failures, counted) == (3, [1, 1, 1])


def test_failing_sink_is_logged_once_a_minute(logged: list[LogEvent]) -> None:
    """A sink that fails all the time is in the log once, and after a minute again with the number of failures."""
    clock = Clock()
    bus = AuditBus(clock.seconds)
    bus.subscribe(BrokenSink())
    for _ in range(5):
        bus.publish(Started(DAEMON))
    clock.advance(60)
    bus.publish(Started(DAEMON))
    assert [event["count"] for event in logged] == [1, 5]


def test_complaint_holds_nothing_of_the_event(logged: list[LogEvent]) -> None:
    """A text that a client typed does not reach the operator's log through a broken sink."""
    bus = AuditBus()
    bus.subscribe(BrokenSink())
    bus.publish(LoginRefused(WHO, "password", "typed-a-password-here", "wrong-password", 0.1))
    assert "typed-a-password-here" not in repr([(event["log_format"], event["event"]) for event in logged])


def test_a_sink_of_some_kinds_is_told_of_these_only() -> None:
    """Kinds that derive from those asked for are among them; one that subscribes later is told from then on."""
    seen: list[tuple[str, Event]] = []
    bus = AuditBus()
    bus.subscribe(lambda event, _: seen.append(("refused", event)), LoginRefused, ConnectionRejected)
    started, again = Started(DAEMON), ConnectionRejectedAgain(WHO, "banned")
    bus.publish(started)
    bus.publish(again)
    bus.subscribe(lambda event, _: seen.append(("all", event)))
    bus.publish(started)
    assert seen == [("refused", again), ("all", started)]


def test_unsubscribed_sink_is_told_nothing() -> None:
    """A sink that left is not told, and leaving twice is no error."""
    seen: list[Event] = []

    def sink(event: Event, seconds: float) -> None:
        seen.append(event)

    bus = AuditBus()
    bus.subscribe(sink)
    bus.unsubscribe(sink)
    bus.unsubscribe(sink)
    bus.publish(Started(DAEMON))
    assert seen == []
