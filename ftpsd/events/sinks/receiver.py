"""The interface of a way to another system, which a delivery (events/delivery.py) sends events to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from ftpsd.events.record_tables import Record


class NotTaken(Exception):
    """A sink that has not taken what it was sent; the text says why, in one line without secrets."""


class GivenUp(NotTaken):
    """An event that a sink will not take at any later attempt either: it is a dead letter at once."""


class Receiver(Protocol):
    """A way to another system. *most* events go there in one call, in order."""

    most: int

    def send(self, records: Sequence[Record]) -> Deferred[None]:
        """Fire when all of *records* are taken for good; fail with NotTaken."""

    def stop(self) -> None:
        """Break off what is under way."""
