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

    *order* is the question there, *argument* what it was about, as far as the log takes it. One that was refused has
    the *reason*, as the operator was told it.
    """

    event = "ordered"
    uid: int
    account: str
    order: str
    argument: str | None
    result: Literal["accepted", "refused"]
    reason: str | None = None

    def __post_init__(self) -> None:
        for name in ("argument", "reason"):
            if (text := getattr(self, name)) is not None and len(text) > MOST_TYPED:
                object.__setattr__(self, name, text[:MOST_TYPED])
