"""
Audit events of operators: orders to the running server. The rules of `events.py` hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ftpsd.audit.events import MOST_TYPED, Event


@dataclass(frozen=True, slots=True)
class Ordered(Event):
    """
    The user *account* of this machine, with the number *uid*, gave an order through the control socket.

    *order* is the question there, *argument* what it was about, as far as the log takes it.
    """

    event = "ordered"
    uid: int
    account: str
    order: str
    argument: str | None
    result: Literal["accepted", "refused"]

    def __post_init__(self) -> None:
        if self.argument is not None and len(self.argument) > MOST_TYPED:
            object.__setattr__(self, "argument", self.argument[:MOST_TYPED])
