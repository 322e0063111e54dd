"""
Penalties: addresses that may not connect for some time, for what they have done.

`refusal` is asked before a connection is counted; `note` is a sink of the audit bus. What lies between the two, which
deeds weigh how much and for how long, is the matter of an implementation; here is that of a server without penalties.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from ftpsd.audit.events import Event

# A result of `refusal`: a key of `REJECTIONS` and the reason in audit log and metrics.
BANNED: Final = "banned"


@dataclass(frozen=True, slots=True)
class Ban:
    """A client (`client_of` its address) that is refused *until* a Unix time, for *reason*, a fixed word."""

    client: str
    reason: str
    until: float


class Penalties(Protocol):
    """
    Bans of clients. Every answer comes at once, on the reactor thread, and the table behind them has a bound.

    All addresses of a client (`client_of`) are one.
    """

    def refusal(self, address: str, /) -> str | None:
        """Return why a connection from *address* is refused, a key of `REJECTIONS`; None when it is not."""

    def note(self, event: Event, seconds: float, /) -> None:
        """Take in an event at the Unix time *seconds*. Refusals of its own weigh nothing."""

    def bans(self) -> list[Ban]:
        """Return the bans of now, the one that ends first before the others."""

    def lift(self, address: str, /) -> bool:
        """End the ban of the client at *address*, and forget its causes; False: there was none."""


class NoPenalties:
    """The penalties of a server without any: no client is ever banned."""

    def refusal(self, address: str, /) -> str | None:
        """Return None."""
        return None

    def note(self, event: Event, seconds: float, /) -> None:
        """Note nothing."""

    def bans(self) -> list[Ban]:
        """Return none."""
        return []

    def lift(self, address: str, /) -> bool:
        """Return False."""
        return False


NO_PENALTIES: Final = NoPenalties()
