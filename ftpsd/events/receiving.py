"""
What a delivery needs of the other end: a way to another system, and how it is to be gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from ftpsd.events.record_tables import Record


class Pacing(Protocol):
    """How a sink is delivered to: its *name*, how often an event is tried, how long pauses are, how many go at once."""

    @property
    def name(self) -> str:
        """The name under which cursor and rows are kept."""

    @property
    def attempts(self) -> int:
        """The failed attempts after which an event is a dead letter."""

    @property
    def longest_pause(self) -> float:
        """The longest pause between two attempts, in seconds."""

    @property
    def at_once(self) -> int:
        """The most deliveries at a time."""


class Receiver(Protocol):
    """A way to another system. *most* events go there in one call, in order."""

    most: int

    def send(self, records: Sequence[Record]) -> Deferred[None]:
        """Fire when all of *records* are taken for good; fail with NotTaken."""

    def stop(self) -> None:
        """Break off what is under way."""
